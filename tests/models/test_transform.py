"""The preprocessing that goes with a model, however it was loaded, and written out for timm alone."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.models import transform_for
from radnet.views import EvaluationView, FixedWindow, MultiWindow
from radnet.views.window import MinMaxWindow
from tests.models.exports_for_tests import SIZE, small_export


@pytest.fixture
def hu() -> NDArray[np.int16]:
    """A slice that is not square, with air, fat, tissue and metal."""
    rows, columns = np.mgrid[:90, :70]
    return (2000 * np.sin(rows / 9) * np.cos(columns / 7) + rows * 5).astype(np.int16)


def _blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.S)


@pytest.mark.parametrize(
    "view",
    [
        EvaluationView(size=SIZE, window=FixedWindow(50, 350), mean=(0.4,), std=(0.3,)),
        EvaluationView(size=SIZE, window=MultiWindow(), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)),
        EvaluationView(size=SIZE, window=MinMaxWindow(), mean=(0.0,) * 3, std=(1.0,) * 3),
        EvaluationView(size=128, window=FixedWindow(), mean=(0.5,) * 3, std=(0.5,) * 3),
    ],
    ids=["fixed", "multi", "minmax", "growing"],
)
@torch.inference_mode()
def test_the_code_of_a_card_gives_the_features_with_radnet_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hu: NDArray[np.int16], view: EvaluationView
) -> None:
    model, out = small_export(tmp_path / "mine", view=view)
    expected = model(torch.from_numpy(view(hu)[0])[None])
    monkeypatch.chdir(tmp_path)
    blocks = _blocks((out / "README.md").read_text())
    assert len(blocks) == 2
    assert len(blocks[0].strip().splitlines()) == 5
    assert "radnet" not in blocks[1]
    for code in blocks:
        known = {"hu": hu}
        exec(code, known)  # noqa: S102
        assert (known["features"] - expected).abs().max() <= 1e-5


def test_a_module_knows_its_view_whatever_its_channels_and_wherever_its_export_went(tmp_path: Path) -> None:
    _, out = small_export(tmp_path / "mine")
    view = transform_for(out)
    models = {
        channels: timm.create_model(f"local-dir:{out}", pretrained=True, in_chans=channels) for channels in (1, 3)
    }
    maps = timm.create_model(f"local-dir:{out}", pretrained=True, features_only=True, in_chans=3)
    out.rename(tmp_path / "elsewhere")
    assert transform_for(models[1]) == view
    for model in (models[3], maps):
        assert transform_for(model) == EvaluationView(SIZE, FixedWindow(50, 350), (0.4,) * 3, (0.3,) * 3)
    assert transform_for(f"local-dir:{tmp_path / 'elsewhere'}") == view


@torch.inference_mode()
def test_three_channels_of_a_one_channel_export_see_the_same(tmp_path: Path, hu: NDArray[np.int16]) -> None:
    model, out = small_export(tmp_path / "mine")
    adapted = timm.create_model(f"local-dir:{out}", pretrained=True, in_chans=3).eval()
    one, three = (torch.from_numpy(transform_for(it)(hu)[0])[None] for it in (model_of(out), adapted))
    assert (adapted(three) - model(one)).abs().max() <= 1e-5


def model_of(out: Path) -> torch.nn.Module:
    """An export as timm loads it."""
    model: torch.nn.Module = timm.create_model(f"local-dir:{out}", pretrained=True)
    return model


def test_different_windows_are_not_merged_into_one_channel(tmp_path: Path) -> None:
    view = EvaluationView(SIZE, MultiWindow(), (0.5,) * 3, (0.5,) * 3)
    _, out = small_export(tmp_path / "mine", view=view)
    model = timm.create_model(f"local-dir:{out}", pretrained=True, in_chans=1)
    with pytest.raises(RadnetError, match="in_chans=3"):
        transform_for(model)


def test_a_model_that_radnet_did_not_export_has_no_view() -> None:
    with pytest.raises(RadnetError, match="radnet did not write"):
        transform_for(timm.create_model("test_resnet"))


def test_a_vit_of_another_size_gets_pictures_of_that_size(tmp_path: Path) -> None:
    view = EvaluationView(32, FixedWindow(), (0.5,), (0.5,))
    small = {"embed_dim": 24, "depth": 1, "num_heads": 2, "img_size": 32, "patch_size": 8}
    _, out = small_export(tmp_path / "vit", "vit_tiny_patch16_224", view, **small)
    assert transform_for(timm.create_model(f"local-dir:{out}", pretrained=True, img_size=48)).size == 48
    assert cv2.__version__  # the second block of a card needs OpenCV beside timm
