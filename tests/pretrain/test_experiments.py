"""Every recipe of configs/experiment/: it composes, is what it says, and takes two steps on a small network."""

import math
from pathlib import Path

import pytest

from radnet.configs import compose, names_in, validated
from radnet.errors import UsageError
from radnet.models import ModelName, load_model
from radnet.pretrain.run import pretrain
from radnet.pretrain.settings import PretrainSettings
from radnet.shards import ShardSet
from tests.pretrain.methods_for_tests import BACKBONES, SMALL
from tests.pretrain.runs_for_tests import BACKBONE, QUICK, losses

FEW = Path(__file__).parents[2] / "shards" / "examples" / "phantom"
EVERYWHERE = ["device=cpu", "workers=0", "compile=false", "schedule.warmup_epochs=0", *QUICK[5:]]
"""What a CPU in a hurry needs; precision, optimizer, rates and views stay those of the recipe."""


def _settings(name: str, *more: str) -> PretrainSettings:
    return validated(PretrainSettings, compose("pretrain", [f"experiment={name}", "data=SET", *more]), name)


@pytest.mark.parametrize("name", names_in("experiment"))
def test_a_recipe_takes_two_steps(name: str, phantom_set: ShardSet, tmp_path: Path) -> None:
    method = str(_settings(name).method["name"])
    architecture, arguments = BACKBONES[BACKBONE[method]]
    slices = len(ShardSet.open(FEW).rows("train"))
    data = [f"data={FEW}"]
    if name == "reference_ixrm":
        data, slices = [f"data=[{FEW},{phantom_set.path}]", "data_weights=[1,1]"], 2 * slices
    overrides = [f"experiment={name}", *data]
    if not _settings(name).backbone_arguments:  # those of the demos are small already
        overrides.append(f"backbone={architecture}")
        overrides += [f"++backbone_arguments.{key}={value}" for key, value in arguments.items()]
    overrides += [*SMALL[method], *EVERYWHERE, "epochs=1", f"batch_size={slices // 2}"]
    if name == "reference_ixrs_2":
        first = ["experiment=reference_ixrs_1", *overrides[1:], f"out={tmp_path / 'first'}"]
        overrides.append(f"initial_weights=run:{pretrain(first)}")
    run = pretrain([*overrides, f"out={tmp_path / 'run'}"])
    assert len(losses(run)) == 2
    assert all(math.isfinite(loss) for loss in losses(run))
    assert (run / "export" / "model.safetensors").is_file()


def test_the_reference_study_is_what_it_published() -> None:
    own = _settings("reference_simclr")
    assert own.peak_lr == pytest.approx(0.075 * math.sqrt(4096))
    assert (own.optimizer.name, own.optimizer.weight_decay) == ("lars", 1e-6)
    assert (own.backbone, own.batch_size, own.epochs, own.schedule.warmup_epochs) == ("resnet50", 4096, 100, 0)
    assert (own.method["temperature"], own.method["output_dim"]) == (0.5, 256)
    views = own.method["views"]
    assert (views["name"], views["size"], views["window"], views["colour"]) == (
        "reference_study",
        256,
        {"policy": "minmax"},
        False,
    )
    for name in ("reference_ixrm", "reference_ixrs_1", "reference_ixrs_2"):
        variant = _settings(name)
        assert (variant.epochs, variant.method["views"]["colour"]) == (50, True)
        assert variant.optimizer == own.optimizer


def test_the_second_half_wants_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _settings("reference_ixrs_2").initial_weights == f"run:{_settings('reference_ixrs_1').out}"
    with pytest.raises(UsageError, match="No model at run:runs/ixrs_1"):
        load_model(ModelName.parse(str(_settings("reference_ixrs_2").initial_weights)))


@pytest.mark.parametrize(
    ("method", "backbone", "rule"),
    [
        ("simclr", "resnet50", lambda batch: 0.075 * math.sqrt(batch)),
        ("dino", "vit_small_patch16_224", lambda batch: 0.0005 * batch / 256),
        ("mae", "vit_base_patch16_224", lambda batch: 1.5e-4 * batch / 256),
    ],
)
def test_both_scales_follow_the_rule_of_the_paper(method: str, backbone: str, rule: object) -> None:
    single, node = _settings(f"{method}_single_gpu"), _settings(f"{method}_node")
    for own in (single, node):
        assert (own.method["name"], own.backbone, own.precision, own.compile) == (method, backbone, "bf16", True)
        assert own.peak_lr == pytest.approx(rule(own.batch_size))  # type: ignore[operator]
    assert node.batch_size == {"simclr": 4096, "dino": 1024, "mae": 4096}[method]
    assert node.batch_size % (8 * node.accumulate) == 0
    assert node.optimizer == single.optimizer
