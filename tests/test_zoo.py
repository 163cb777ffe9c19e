"""Exports under names in timm: before and after `import timm`, in a zoo directory and published elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

import radnet
from radnet.models import ModelName, load_model, transform_for
from radnet.zoo import ZOO_VARIABLE, name_in_timm, read_zoo, register_zoo, remember_published, zoo_directory
from tests.models.exports_for_tests import small_export


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty zoo of this test's own."""
    monkeypatch.setenv(ZOO_VARIABLE, str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def test_import_radnet_is_quick_and_brings_nothing_along() -> None:
    code = "import sys; before = set(sys.modules); import radnet; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=_root())
    assert done.stdout.split() == ["radnet", "radnet.timm_names"]


def _root() -> Path:
    return Path(radnet.__file__).parents[1]


@torch.inference_mode()
def test_both_orders_of_import_and_every_way_to_load_work(zoo: Path) -> None:
    model, _ = small_export(zoo / "Chest CT.v2")
    torch.save(model(torch.ones(1, 1, 64, 64)), zoo / "expected.pt")
    code = f"""
import {{first}}, {{second}}, timm, torch
assert timm.list_models("radnet*", pretrained=True) == ["radnet_chest_ct_v2"], timm.list_models("radnet*")
expected = torch.load({str(zoo / "expected.pt")!r})
for name in ("radnet_chest_ct_v2", "radnet_chest_ct_v2.any_tag"):
    for channels in (1, 3):
        one = timm.create_model(name, pretrained=True, num_classes=0, in_chans=channels).eval()
        with torch.inference_mode():
            assert (one(torch.ones(1, channels, 64, 64)) - expected).abs().max() <= 1e-5
maps = timm.create_model("radnet_chest_ct_v2", pretrained=True, features_only=True, out_indices=(1, 2), in_chans=3)
assert len(maps(torch.ones(1, 3, 64, 64))) == 2
assert timm.create_model("radnet_chest_ct_v2", pretrained=True, num_classes=5).num_classes == 5
"""
    for order in ({"first": "radnet", "second": "timm"}, {"first": "timm", "second": "radnet"}):
        subprocess.run([sys.executable, "-c", code.format(**order)], check=True, cwd=_root())


def test_what_is_broken_in_a_zoo_is_named_and_left_out(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_export(zoo / "good")
    small_export(zoo / "half")
    (zoo / "half" / "model.safetensors").unlink()
    small_export(zoo / "Good")
    (zoo / "text").mkdir()
    small_export(zoo / "odd")
    config = json.loads((zoo / "odd" / "config.json").read_text())
    config["pretrained_cfg"]["colour"] = "red"
    (zoo / "odd" / "config.json").write_text(json.dumps(config))
    (zoo / "published.json").write_text("{")
    assert register_zoo() == ["radnet_good"]
    said = capsys.readouterr().err
    for words in (
        "half: there is no model.safetensors",
        "the name radnet_good is taken",
        "text",
        "colour",
        "published",
    ):
        assert words in said
    assert timm.is_model("radnet_good")
    assert not timm.is_model("radnet_odd")


def test_a_registered_name_is_a_model_everywhere_in_radnet(zoo: Path) -> None:
    _, out = small_export(zoo / "everywhere")
    assert register_zoo() == ["radnet_everywhere"]
    loaded = load_model(ModelName.parse("timm:radnet_everywhere"))
    assert (loaded.arm, loaded.architecture, loaded.in_chans) == ("in-domain", "test_resnet", 1)
    assert transform_for("radnet_everywhere") == transform_for(out)
    assert transform_for(timm.create_model("radnet_everywhere", pretrained=True)) == transform_for(out)


def test_a_published_model_is_remembered_and_the_last_of_a_name_counts(zoo: Path, tmp_path: Path) -> None:
    assert (zoo_directory(), read_zoo(zoo)) == (zoo, ([], []))
    for place in ("one", "two"):
        _, out = small_export(tmp_path / place)
        config = json.loads((out / "config.json").read_text())
        remember_published("dino-ct", f"local-dir:{out}", config["pretrained_cfg"])
    remember_published("far", "hf-hub:org/far", config["pretrained_cfg"])
    entries, problems = read_zoo(zoo)
    assert [(entry.name, entry.source) for entry in entries] == [
        ("radnet_dino_ct", f"local-dir:{tmp_path / 'two'}"),
        ("radnet_far", "hf-hub:org/far"),
    ]
    assert problems == []
    assert {"radnet_dino_ct", "radnet_far"} <= set(timm.list_models("radnet*", pretrained=True))


@pytest.mark.parametrize(
    ("label", "name"),
    [("CT.v2", "radnet_ct_v2"), ("radnet-dino", "radnet_dino"), ("a  b", "radnet_a_b"), ("radnet_x", "radnet_x")],
)
def test_names_in_timm(label: str, name: str) -> None:
    assert name_in_timm(label) == name
