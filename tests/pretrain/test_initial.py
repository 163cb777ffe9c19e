"""Runs that start from trained weights: strict, adapted to the channels, in the provenance."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from radnet.errors import UsageError
from radnet.models import ModelName, Provenance, create_backbone, export_backbone, load_model
from radnet.pretrain.initial import load_initial_weights
from radnet.pretrain.run import pretrain
from radnet.shards import ShardSet
from radnet.views import EvaluationView
from tests.pretrain.methods_for_tests import BACKBONES, ONE_FAMILY, small_method
from tests.pretrain.runs_for_tests import losses, tiny

FIRST = {"residual": "conv1.0.weight", "vit": "patch_embed.proj.weight"}


def _export(out: Path, family: str, channels: int, size: int) -> str:
    """A trained network of this family, as a name."""
    architecture, arguments = BACKBONES[family]
    sized = {"img_size": size} if family == "vit" else {}
    network = create_backbone(architecture, in_chans=channels, seed=77, **arguments, **sized)
    view = EvaluationView(size=size, mean=(0.5,) * channels, std=(0.5,) * channels)
    origin = Provenance("simclr", {"birds": "b" * 64}, steps=9)
    return f"local-dir:{export_backbone(network, out, architecture=architecture, view=view, provenance=origin)}"


@pytest.mark.parametrize(("name", "family"), ONE_FAMILY)
def test_every_network_of_a_method_starts_from_the_weights(name: str, family: str, tmp_path: Path) -> None:
    method = small_method(name, family)
    weights = _export(tmp_path / "export", family, 3, method.views.size)
    said = load_initial_weights(method, weights)
    given = load_model(ModelName.parse(weights), size=method.views.size)
    expected = given.backbone.state_dict()
    own, student = method.backbone.state_dict(), method.trained_backbone.state_dict()
    assert own.keys() == expected.keys()
    for key, tensor in own.items():
        assert torch.equal(student[key], tensor)
        if tensor.shape == expected[key].shape:
            assert torch.equal(tensor, expected[key])
        else:  # the first convolution: grey repeated three times gives what grey gives
            assert torch.allclose(tensor, expected[key].sum(1, keepdim=True), atol=1e-6)
    assert (said["weights_sha256"], said["data"]) == (given.weights_sha256, ["b" * 64])


def test_one_channel_becomes_three(tmp_path: Path) -> None:
    method = small_method("simclr", "residual", views={"colour": True})
    load_initial_weights(method, _export(tmp_path / "export", "residual", 1, 32))
    given = load_model(ModelName.parse(f"local-dir:{tmp_path / 'export'}")).backbone.eval()
    picture = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(method.backbone.eval()(picture.expand(2, 3, 32, 32)), given(picture), atol=1e-4)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("random:test_resnet", "trained ones"),
        ("resnet50", "SCHEME:VALUE"),
        ("run:/nowhere", "No model at"),
        ("OTHER", "another backbone, test_convnext"),
    ],
)
def test_weights_that_do_not_fit_are_refused(phantom_set: ShardSet, tmp_path: Path, weights: str, words: str) -> None:
    if weights == "OTHER":
        weights = _export(tmp_path / "export", "convnext", 1, 32)
    with pytest.raises(UsageError, match=words):
        pretrain(tiny("simclr", phantom_set, tmp_path / "run", f"initial_weights={weights}"))
    assert not (tmp_path / "run").exists()


def test_a_second_run_goes_on_from_the_first_and_says_so(phantom_set: ShardSet, tmp_path: Path) -> None:
    weights = _export(tmp_path / "birds", "residual", 1, 32)
    short = ["epochs=1", "batch_size=60"]
    run = pretrain(tiny("simclr", phantom_set, tmp_path / "run", f"initial_weights={weights}", *short))
    fresh = pretrain(tiny("simclr", phantom_set, tmp_path / "fresh", *short))
    assert losses(run)[0] != losses(fresh)[0]
    model = load_model(ModelName.parse(f"run:{run}"))
    assert model.pretraining.startswith("birds, 9 steps; then set (synthetic)")
    assert model.data == (phantom_set.manifest.content_hash(), "b" * 64)
    assert json.loads((run / "export" / "config.json").read_text())["radnet"]["provenance"]["initial_weights"]
    shutil.move(tmp_path / "birds", tmp_path / "moved")
    moved = f"initial_weights=local-dir:{tmp_path / 'moved'}"
    assert pretrain(tiny("simclr", phantom_set, run, moved, *short)) == run
    for change in ("initial_weights=null", f"initial_weights=run:{fresh}"):
        with pytest.raises(UsageError, match="initial_weights"):
            pretrain(tiny("simclr", phantom_set, run, change, *short))
