"""ONNX on request: the same features without torch, for any number of pictures."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from radnet.errors import RadnetError, UsageError
from radnet.models import onnx_form
from tests.models.exports_for_tests import SIZE, small_export


@torch.inference_mode()
def test_the_onnx_model_gives_the_features_of_torch(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model, out = small_export(tmp_path / "mine", onnx=True)
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        pictures = np.random.default_rng(count).normal(size=(count, 1, SIZE, SIZE)).astype(np.float32)
        (found,) = session.run(["features"], {"pictures": pictures})
        assert np.abs(found - model(torch.from_numpy(pictures)).numpy()).max() <= 1e-5
    assert "model.onnx" in (out / "README.md").read_text()


def test_a_model_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: None)
    monkeypatch.setattr(onnx_form, "_difference", lambda *_: 0.1)
    with pytest.raises(RadnetError, match=r"other features than torch, by up to 0\.1"):
        small_export(tmp_path / "mine", onnx=True)
    assert not (tmp_path / "mine").exists()


def test_without_the_packages_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"radnet\[onnx\]"):
        onnx_form.require_onnx()
