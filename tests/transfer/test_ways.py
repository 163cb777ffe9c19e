"""What a protocol that trains the model is handed, and what of its answer enters the record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from radnet.errors import UsageError
from radnet.models import ModelName
from radnet.shards import ShardSet
from radnet.transfer.cells import EvaluationSettings
from radnet.transfer.changed_set import ChangedSet
from radnet.transfer.conditions import condition_named
from radnet.transfer.contract import EpochPoint, ModelProtocol, ProtocolResult, UnitValues
from radnet.transfer.evaluate import evaluate
from radnet.transfer.protocols import build_protocol
from radnet.transfer.tasks import task_named
from radnet.views.noisy import NoisyView

TASK = task_named("vertebra_group", size=32)
CURVE = (EpochPoint(0, 5, 2.0, {"balanced_accuracy": 0.2}), EpochPoint(1, 10, 1.5, {"balanced_accuracy": float("nan")}))


@dataclass(frozen=True)
class Listening(ModelProtocol):
    """Gives every class the same score and remembers what it was handed."""

    name: ClassVar[str] = "listening"
    heard: ClassVar[dict[str, Any]] = {}

    def fit_predict(self, model: Any, train: Any, val: Any, test: Any, **more: Any) -> ProtocolResult:
        self.heard.update(more, train=train, val=val, test=test)
        classes = more["classes"]
        return ProtocolResult(np.full((len(test), classes), 1 / classes), {"epoch": 1}, curve=CURVE)


@dataclass(frozen=True)
class Measuring(Listening):
    """Gives one value a patient, as segmentation gives one a volume."""

    name: ClassVar[str] = "measuring"

    def fit_predict(self, model: Any, train: Any, val: Any, test: Any, **more: Any) -> ProtocolResult:
        keys = np.unique(test.patients)
        values = np.linspace(0.2, 0.8, len(keys))
        values[0] = np.nan
        units = UnitValues(keys, keys, {"balanced_accuracy": values, "hd95_mm": 10 * values})
        return ProtocolResult(np.zeros((0, more["classes"])), {}, units=units)


def _evaluate(protocol: ModelProtocol, shards: ShardSet, out: Path, **settings: Any) -> Any:
    own = EvaluationSettings(cache=out / "cache", resamples=100, fraction=0.5, seed=3, **settings)
    names = [ModelName.parse("random:resnet10t")]
    return evaluate(names, TASK, protocol, shards, out / "results", own)[0]


def test_it_gets_the_slices_of_each_side_and_its_curve_enters_the_record(phantom_set: ShardSet, tmp_path: Path) -> None:
    record = _evaluate(Listening(), phantom_set, tmp_path, condition=condition_named("noise2"))
    heard = Listening.heard
    assert isinstance(heard["train"].view, NoisyView)
    assert not isinstance(heard["val"].view, NoisyView)
    assert not isinstance(heard["test"].view, NoisyView)
    assert len(heard["train"]) == record.counts.train_items
    assert len(set(heard["train"].patients)) == record.counts.train_patients
    assert (heard["seed"], heard["metric"]) == (3, "balanced_accuracy")
    courses = {name: curve.model_dump()["values"] for name, curve in record.curves.items()}
    assert courses == {"train_loss": (2.0, 1.5), "val_balanced_accuracy": (0.2, None)}
    assert record.selected["epoch"] == 1
    assert not (tmp_path / "cache").exists()


def test_a_shift_of_ct_reaches_the_test_slices_alone(phantom_set: ShardSet, tmp_path: Path) -> None:
    _evaluate(Listening(), phantom_set, tmp_path, condition=condition_named("dose"))
    sets = [Listening.heard[split].shards for split in ("train", "val", "test")]
    assert [isinstance(one, ChangedSet) for one in sets] == [False, False, True]


def test_values_of_units_have_intervals_and_are_kept(phantom_set: ShardSet, tmp_path: Path) -> None:
    record = _evaluate(Measuring(), phantom_set, tmp_path)
    assert record.metrics["balanced_accuracy"].value == pytest.approx(np.nanmean(np.linspace(0.2, 0.8, 100)), abs=0.1)
    assert set(record.metrics) == {"balanced_accuracy", "hd95_mm"}
    table = pd.read_parquet(tmp_path / "results" / record.predictions)
    assert list(table) == ["key", "patient", "value_balanced_accuracy", "value_hd95_mm"]
    again = _evaluate(Measuring(), phantom_set, tmp_path)
    assert again == record


def test_masks_need_the_protocol_for_masks(phantom_set: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not for a task of kind"):
        _evaluate(build_protocol("segment"), phantom_set, tmp_path)  # type: ignore[arg-type]
