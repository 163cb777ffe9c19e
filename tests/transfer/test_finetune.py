"""Finetuning and the reference study's protocols on small phantom slices."""

import copy
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radnet.configs import compose
from radnet.errors import RadnetError, UsageError
from radnet.models import LoadedModel, ModelName, load_model
from radnet.shards import ShardSet
from radnet.transfer import training as training_module
from radnet.transfer.contract import ModelProtocol
from radnet.transfer.finetune import FinetuneProtocol
from radnet.transfer.paper import PAPER_CELLS, PaperFinetuneProtocol, PaperLinearProtocol
from radnet.transfer.pictures import Augmentation, training_batches
from radnet.transfer.splits import SliceSplit
from radnet.transfer.tasks import task_items, task_named
from radnet.transfer.training import Classifier, Training, factor, parameter_groups
from radnet.views import EvaluationView

TASK = task_named("body_region", size=32)
CPU = torch.device("cpu")
QUICK = FinetuneProtocol(lr=(3e-4, 3e-3), epochs=2, batch_size=24)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(ModelName.parse("random:resnet10t"), size=32)


@pytest.fixture(scope="module")
def sides(phantom_set: ShardSet) -> dict[str, SliceSplit]:
    """At most 48 slices a side."""
    items = task_items(TASK, phantom_set)
    found = {}
    for name in ("train", "val", "test"):
        chosen = items.side(name)[:: max(1, len(items.side(name)) // 48)][:48]
        parts = items.rows[chosen], items.target[chosen], items.patients[chosen]
        found[name] = SliceSplit(phantom_set, *parts, EvaluationView(size=32))
    return found


def run(protocol: ModelProtocol, model: LoadedModel, sides: dict[str, SliceSplit], **changes: object):
    settings = {"classes": 6, "metric": "accuracy", "seed": 1, "device": CPU} | changes
    return protocol.fit_predict(model, sides["train"], sides["val"], sides["test"], **settings)  # type: ignore[arg-type]


def test_learns_chooses_on_validation_and_repeats_itself(model: LoadedModel, sides: dict[str, SliceSplit]) -> None:
    before = copy.deepcopy(model.backbone.state_dict())
    first, second = run(QUICK, model, sides), run(QUICK, model, sides, workers=1)
    assert np.array_equal(first.scores, second.scores), "workers change nothing"
    assert first.scores.sum(1) == pytest.approx(np.ones(len(sides["test"])))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())
    selected = first.selected
    assert json.loads(json.dumps(selected)) == selected
    assert (selected["tries"], len(selected["val_by_lr"])) == (2, 2)
    assert selected["val_accuracy"] == max(selected["val_by_lr"].values())
    assert [point.epoch for point in first.curve] == [0, 1]
    assert first.curve[selected["epoch"]].val["accuracy"] == selected["val_accuracy"]
    assert first.curve[0].as_json()["steps"] == 2
    assert not np.array_equal(first.scores, run(QUICK, model, sides, seed=2).scores)


@pytest.mark.parametrize("architecture", ["resnet10t", "vit_tiny_patch16_224"])
def test_the_learning_rate_really_falls_from_layer_to_layer_and_everything_moves(
    architecture: str, sides: dict[str, SliceSplit]
) -> None:
    start = load_model(ModelName.parse(f"random:{architecture}"), size=32)
    recipe = replace(QUICK.recipe(1e-3), layer_decay=0.6, warmup=0.0, epochs=1, batch_size=16)
    training = Training(start, sides["train"], 6, recipe, 0, CPU)
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    rates = {
        names[id(one)]: (group["lr"], group["weight_decay"])
        for group in training._optimizer.param_groups
        for one in group["params"]
    }
    assert set(rates) == set(names.values()), "every tensor is in exactly one group"
    assert rates["head.weight"][0] == 1e-3
    assert len({lr for lr, _ in rates.values()}) > 3
    lowest = min(rates, key=lambda name: rates[name][0])
    assert lowest.split(".")[1] in ("conv1", "bn1", "cls_token", "pos_embed", "patch_embed")
    assert max(lr for name, (lr, _) in rates.items() if name.startswith("backbone")) == pytest.approx(0.6e-3)
    assert all(decay == 0 for name, (_, decay) in rates.items() if name.endswith(("bias", "cls_token", "pos_embed")))
    before = {name: parameter.detach().clone() for name, parameter in training.model.named_parameters()}
    list(training.epochs(sides["val"], "accuracy", 0))
    moved = {
        name: float((parameter.detach() - before[name]).abs().max())
        for name, parameter in training.model.named_parameters()
    }
    assert [name for name, change in moved.items() if change == 0] == []
    # AdamW's first steps are about one learning rate long, so the first layer's are far shorter than the head's.
    assert moved[lowest] < 0.3 * moved["head.weight"]


def test_schedules_multiply_the_rate_of_each_group() -> None:
    cosine = replace(QUICK.recipe(1.0), epochs=10, warmup=0.2)
    values = [factor(cosine, step, 5) for step in range(50)]
    assert values[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert values[10] == 1
    assert values[30] == pytest.approx(0.5)
    assert values == sorted(values[:10]) + sorted(values[10:], reverse=True)
    paper = PaperFinetuneProtocol(cell="CX8").recipe(15)
    assert [factor(paper, step, 4) for step in (0, 3, 4, 8)] == pytest.approx([1, 1, 0.97, 0.97**2])


@pytest.mark.parametrize("kind", [PaperFinetuneProtocol, PaperLinearProtocol])
def test_the_study_s_protocols_take_the_last_epoch(
    kind: type[PaperFinetuneProtocol], model: LoadedModel, sides: dict[str, SliceSplit]
) -> None:
    result = run(kind(cell="RXS", epochs=2, batch_size=24), model, sides)
    assert result.selected["epoch"] == 1
    assert (result.selected["lr"], result.selected["optimizer"]) == (1e-4, "adamw")
    assert len(result.curve) == 2


@pytest.mark.parametrize(("trainable", "statistics"), [("head", False), ("head_and_statistics", True)])
def test_a_frozen_encoder_keeps_its_weights_and_the_study_s_moves_its_statistics(
    trainable: str, statistics: bool, model: LoadedModel, sides: dict[str, SliceSplit]
) -> None:
    recipe = replace(PaperLinearProtocol(cell="R", epochs=1, batch_size=24).recipe(6), trainable=trainable)
    training = Training(model, sides["train"], 6, recipe, 0, CPU)
    before = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    list(training.epochs(sides["val"], "accuracy", 0))
    moved = {name for name, tensor in training.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {"head.weight", "head.bias"} <= moved
    rest = moved - {"head.weight", "head.bias"}
    assert bool(rest) == statistics
    assert all("running" in name or "num_batches" in name for name in rest)


def test_the_study_s_settings_are_those_that_it_published(shared: Path) -> None:
    seen = set()
    with (shared / "paper" / "configs.csv").open() as file:
        for row in csv.DictReader(file):
            if row["task"].startswith(("LiTS", "BraTS")):
                continue
            cell = PAPER_CELLS[row["task"]]
            seen.add(row["task"])
            assert (cell.batch_size, cell.epochs) == (int(row["batch_size"]), int(row["epochs"]))
            assert (cell.optimizer, cell.lr) == (row["optimizer"].lower(), float(row["lr"]))
            assert (cell.weight_decay, cell.epoch_decay) == (float(row["weight_decay"]), float(row["decay_per_epoch"]))
            assert list(cell.class_weights) == [float(part) for part in row["w_l"].split(";") if part]
    assert seen == set(PAPER_CELLS)


def test_several_labels_a_slice_are_learned_each_on_its_own(model: LoadedModel, sides: dict[str, SliceSplit]) -> None:
    findings = {
        name: replace(side, target=np.stack([side.target == 1, side.target < 3, side.target != 0], 1).astype(np.int64))  # type: ignore[operator]
        for name, side in sides.items()
    }
    result = run(replace(QUICK, lr=(1e-3,), epochs=1), model, findings, classes=3, metric="macro_auroc")
    assert result.scores.shape == (len(sides["test"]), 3)
    assert not np.allclose(result.scores.sum(1), 1)
    assert "val_macro_auroc" in result.selected


def test_every_slice_is_seen_once_an_epoch_in_another_order_and_no_batch_has_one_slice(
    sides: dict[str, SliceSplit],
) -> None:
    train = sides["train"]

    def order(epoch: int) -> list[int]:
        batches = list(
            training_batches(
                train, seed=0, epoch=epoch, batch_size=len(train) - 1, augmentation=Augmentation(), workers=0
            )
        )
        assert min(len(positions) for _, positions in batches) > 1
        assert batches[0][0].shape[1:] == (1, 32, 32)
        return [int(position) for _, positions in batches for position in positions]

    assert sorted(order(0)) == sorted(order(1)) == list(range(len(train)))
    assert order(0) != order(1)


def test_augmentation_keeps_shape_and_can_be_left_out() -> None:
    picture = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    same = Augmentation((1.0, 1.0), 0.0)(picture, np.random.default_rng(1))
    assert np.array_equal(same, picture)
    mirrored = Augmentation((1.0, 1.0), 1.0)(picture, np.random.default_rng(1))
    assert np.array_equal(mirrored, picture[:, :, ::-1])
    cropped = Augmentation((0.3, 0.5), 0.0)(picture, np.random.default_rng(1))
    assert cropped.shape == picture.shape
    assert cropped.dtype == np.float32


def test_what_cannot_be_trained_is_a_clear_error(model: LoadedModel, sides: dict[str, SliceSplit]) -> None:
    nobody = replace(sides["val"], rows=np.zeros(0, np.int64), target=np.zeros(0, np.int64), patients=np.zeros(0, "U1"))
    with pytest.raises(UsageError, match="validation split, which is empty"):
        run(QUICK, model, sides | {"val": nobody})
    with pytest.raises(UsageError, match="training split is empty"):
        run(QUICK, model, sides | {"train": nobody})
    one_class = replace(sides["train"], target=np.zeros(len(sides["train"]), np.int64))
    with pytest.raises(RadnetError, match="one class only"):
        run(QUICK, model, sides | {"train": one_class})
    with pytest.raises(UsageError, match="masks only"):
        run(QUICK, model, sides | {"train": replace(sides["train"], target=None)})
    with pytest.raises(UsageError, match="beyond the task's 2 classes"):
        run(QUICK, model, sides, classes=2)
    one_in_val = {"val": replace(sides["val"], target=np.zeros(len(sides["val"]), np.int64))}
    with pytest.raises(RadnetError, match="undefined on the validation split") as undefined:
        run(replace(QUICK, lr=(1e-3,), epochs=1), model, sides | one_in_val, metric="macro_auroc")
    assert (
        compose("evaluate", ["model=M", "data=S", undefined.value.fix.split()[-1]])["task"]["metric"]
        == "balanced_accuracy"
    )
    fixed = load_model(ModelName.parse("random:vit_tiny_patch16_224"))
    with pytest.raises(UsageError, match="does not take images of 32 x 32"):
        run(QUICK, fixed, sides)


def test_a_class_missing_from_a_split_is_named(model: LoadedModel, sides: dict[str, SliceSplit]) -> None:
    target = np.asarray(sides["train"].target)
    kept = target != 1
    parts = {"rows": sides["train"].rows[kept], "target": target[kept], "patients": sides["train"].patients[kept]}
    result = run(replace(QUICK, lr=(1e-3,), epochs=1), model, sides | {"train": replace(sides["train"], **parts)})
    assert 1 in result.selected["classes_missing_in_train"]


def test_a_try_that_diverges_is_counted_and_all_of_them_are_an_error(
    model: LoadedModel, sides: dict[str, SliceSplit], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Training._step

    def broken(self: Training, *arguments: object) -> float:
        return real(self, *arguments) if self.recipe.lr < 1e-3 else float("nan")  # type: ignore[arg-type]

    monkeypatch.setattr(training_module.Training, "_step", broken)
    selected = run(replace(QUICK, epochs=1), model, sides).selected
    assert selected["diverged"] == [3e-3]
    assert selected["val_by_lr"]["0.003"] is None
    with pytest.raises(RadnetError, match="diverged"):
        run(replace(QUICK, lr=(3e-3,), epochs=1), model, sides)
    with pytest.raises(RadnetError, match="diverged"):
        run(PaperFinetuneProtocol(cell="R", epochs=1, batch_size=24), model, sides)


def test_the_groups_of_a_frozen_encoder_hold_the_head_alone(model: LoadedModel) -> None:
    recipe = PaperLinearProtocol().recipe(6)
    groups = parameter_groups(Classifier(copy.deepcopy(model.backbone), 512, 6, recipe.trainable), recipe)
    assert [len(group["params"]) for group in groups] == [1, 1]
