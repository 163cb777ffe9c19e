"""What stands for a model's weights without them."""

import os
from pathlib import Path

import pytest

from radnet.models import ModelName
from radnet.models.fingerprint import fingerprint
from radnet.models.weights import WEIGHTS_VARIABLE


def said(name: str, seed: int = 0, size: int = 64) -> str | None:
    return fingerprint(ModelName.parse(name), seed=seed, size=size)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Files where an export has them."""
    directory = tmp_path / "run" / "export"
    directory.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (directory / name).write_text("x")
    return directory


def test_random_weights_follow_from_name_seed_and_size() -> None:
    assert said("random:resnet10t") == said("random:resnet10t")
    others = {said("random:resnet10t", seed=1), said("random:resnet10t", size=32), said("random:resnet14t")}
    assert len(others | {said("random:resnet10t")}) == 4


@pytest.mark.parametrize("change", ["content", "time", "new file", "gone"])
def test_a_change_of_the_files_is_another_model(export: Path, change: str) -> None:
    weights = export / "model.safetensors"
    before = {name: said(name) for name in (f"run:{export.parent}", f"local-dir:{export}")}
    assert None not in before.values()
    if change == "content":
        weights.write_text("longer")
    elif change == "time":
        os.utime(weights, ns=(1, 1))
    elif change == "new file":
        (export / "more.json").write_text("{}")
    else:
        weights.unlink()
    for name, value in before.items():
        assert said(name) not in (None, value)


def test_only_loading_tells_what_a_hub_or_a_missing_directory_holds(
    export: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    for name in ("hf-hub:org/name", "timm:resnet50", "timm:radnet_mine", "run:nowhere", f"local-dir:{tmp_path}"):
        assert said(name) is None
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    (tmp_path / "resnet50").symlink_to(export)
    assert said("timm:resnet50") is not None
