"""What a protocol takes and gives back, and what every protocol has in common.

There are two sorts. A `FeatureProtocol` (kNN, linear probe) works on frozen features that were extracted once for all
protocols. A `ModelProtocol` (finetuning, segmentation) trains the model itself and therefore gets slices and views.

Shape legend: N items, U units, D feature dimensions, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.hashing import settings_hash
from radnet.models import LoadedModel
from radnet.transfer.splits import FeatureRows, Features, FeatureSplit, SliceSplit, blocks, check_features

__all__ = [
    "EpochPoint",
    "FeatureProtocol",
    "FeatureRows",
    "FeatureSplit",
    "Features",
    "ModelProtocol",
    "Protocol",
    "ProtocolResult",
    "SliceSplit",
    "UnitValues",
    "blocks",
    "check_features",
    "check_inputs",
    "missing_classes",
]


@dataclass(frozen=True)
class EpochPoint:
    """What was seen at the end of one epoch of a training.

    Attributes:
        epoch: Number of the epoch, from 0.
        steps: Optimizer steps so far.
        train_loss: Mean loss of the epoch's steps.
        val: Metric name -> its value on the validation split; NaN becomes None in records.
    """

    epoch: int
    steps: int
    train_loss: float
    val: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        numbers = {name: value if np.isfinite(value) else None for name, value in self.val.items()}
        loss = self.train_loss if np.isfinite(self.train_loss) else None
        return {"epoch": self.epoch, "steps": self.steps, "train_loss": loss, "val": numbers}


@dataclass(frozen=True)
class UnitValues:
    """Metrics that are measured on whole units of the test set (volumes), not computed from scores of items.

    Attributes:
        keys: Key of each unit, text, (U,).
        patients: Patient of each unit, text, (U,).
        values: Metric name -> value of each unit, float64, (U,); NaN where it is undefined, which is left out of the
            mean. Higher is better where a task ranks by it.
    """

    keys: NDArray[np.str_]
    patients: NDArray[np.str_]
    values: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        for name, value in {"patients": self.patients, **self.values}.items():
            if value.shape != self.keys.shape:
                raise ValueError(f"{name} has the shape {value.shape}, the units {self.keys.shape}")


@dataclass(frozen=True)
class ProtocolResult:
    """What a protocol says about the test items.

    Attributes:
        scores: float64, shape (N, K). Single-label: every row is a distribution over the classes. Multi-label: every
            value is a probability of its own. Shape (0, K) where `units` holds the outcome.
        selected: What was chosen or met on the way, as JSON values for the result record.
        variants: Name -> other scores (N, K) of the same items that came out of the same pass (kNN with another k).
            Their metrics are recorded as METRIC_NAME ("accuracy_k10") and never decide a rank.
        curve: One point an epoch, of the training that gave the scores; empty where nothing was trained.
        units: Metrics of whole volumes, for segmentation.
        used: Side -> patient of each item that took part, text (N,), where that is not every item of the side: slices
            that make no volume. Empty where all took part.
    """

    scores: NDArray[np.float64]
    selected: dict[str, Any]
    variants: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    curve: tuple[EpochPoint, ...] = ()
    units: UnitValues | None = None
    used: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol(ABC):
    """A way to judge a model on a task; a subclass adds its settings as dataclass fields.

    Attributes:
        name: Name in records and on the command line.
        REVISION: Raised when the same settings begin to give other numbers; part of the hash.
        REPORTED_BESIDE: Settings that add to what is reported and change nothing of what decides a rank. They are no
            part of the hash, so that results with and without them stay comparable.
        threads: Threads the computation may take. It changes no result, so it is no setting.
    """

    name: ClassVar[str]
    REVISION: ClassVar[int] = 1
    REPORTED_BESIDE: ClassVar[tuple[str, ...]] = ()

    threads: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError("A protocol needs at least one thread", seen=self.threads, fix="Give 1 or more")

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Names of the settings."""
        return tuple(entry.name for entry in fields(cls) if entry.name != "threads")

    def settings(self) -> dict[str, Any]:
        """Every setting, as JSON values."""
        values = {name: getattr(self, name) for name in self.setting_names()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def hash(self) -> str:
        """SHA-256 over name, revision and deciding settings, 64 hex digits."""
        deciding = {name: value for name, value in self.settings().items() if name not in self.REPORTED_BESIDE}
        return settings_hash({"name": self.name, "revision": self.REVISION, "settings": deciding})


@dataclass(frozen=True)
class FeatureProtocol(Protocol):
    """A way to turn frozen features into class scores."""

    @abstractmethod
    def fit_predict(
        self,
        train: FeatureSplit,
        val: FeatureSplit,
        test_features: Features,
        *,
        classes: int,
        metric: str,
        seed: int,
    ) -> ProtocolResult:
        """Learn from `train`, choose on `val`, score the test items (whose labels are not passed in).

        Args:
            train: Items to learn from.
            val: Items to choose settings on; may be empty where nothing is chosen.
            test_features: float32, shape (N, D); may lie on disk.
            classes: Number of classes K of the task.
            metric: Name of the task's primary metric, by which choices are made.
            seed: Seed of everything random.

        Raises:
            RadnetError: The features or labels cannot be used; the text says why.
        """


@dataclass(frozen=True)
class ModelProtocol(Protocol):
    """A way to judge a model by training it, or a part on top of it, on the slices themselves."""

    @abstractmethod
    def fit_predict(
        self,
        model: LoadedModel,
        train: SliceSplit,
        val: SliceSplit,
        test: SliceSplit,
        *,
        classes: int,
        metric: str,
        seed: int,
        device: torch.device,
        workers: int = 0,
    ) -> ProtocolResult:
        """Train on `train`, choose on `val`, score the test slices once.

        Args:
            model: Where training starts. It is left as it is: the protocol trains a copy of `model.backbone`.
            train: Slices to learn from.
            val: Slices to choose epochs and settings on.
            test: Slices to score; a protocol never looks at their labels, except to score whole volumes at the end.
            classes: Number of classes K of the task.
            metric: Name of the task's primary metric, by which choices are made.
            seed: Seed of everything random: order, augmentation, the head's weights, dropout.
            device: Where to train.
            workers: Loader processes; no result depends on them.

        Returns:
            Scores or unit values, with the validation curve of the training that gave them.

        Raises:
            RadnetError: The slices, labels or model cannot be used; the text says why.
        """


def check_inputs(train: FeatureSplit, val: FeatureSplit, test_features: Features, classes: int) -> None:
    """Refuse splits that do not fit each other.

    Raises:
        UsageError: No training or test item, other feature dimensions, or labels that do not fit `classes`.
    """
    check_features(test_features)
    check_sizes(len(train), len(test_features))
    dimensions = {
        name: features.shape[1]
        for name, features in (("train", train.features), ("val", val.features), ("test", test_features))
    }
    if len(set(dimensions.values())) > 1:
        raise UsageError(
            "The splits have features of different dimensions",
            seen=dimensions,
            fix="Extract the features of all splits with the same model (remove the feature cache of this task)",
        )
    check_labels({"train": train.target, "val": val.target}, classes)


def check_sizes(train: int, test: int) -> None:
    """Refuse an empty training or test split.

    Raises:
        UsageError: One of them holds no item.
    """
    if not train:
        raise UsageError("The training split is empty", fix="Raise the fraction, or use a task with training items")
    if not test:
        raise UsageError("The test split is empty", fix="Use a task with test items")


def check_labels(targets: Mapping[str, NDArray[np.int64]], classes: int) -> None:
    """Refuse labels of several splits that do not fit each other or the number of classes.

    Raises:
        UsageError: A class number beyond `classes`, another number of columns, or both forms of labels.
    """
    filled = {name: target for name, target in targets.items() if len(target)}
    if len({target.ndim for target in filled.values()}) > 1:
        raise UsageError(
            "Some splits have one class an item and others several",
            seen={name: target.shape for name, target in filled.items()},
            fix="Prepare the task again",
        )
    for name, target in filled.items():
        if target.ndim == 2 and target.shape[1] != classes:
            raise UsageError(
                f"The {name} split has labels of {target.shape[1]} classes, the task has {classes}",
                fix="Prepare the task again",
            )
        if target.ndim == 1 and target.max() >= classes:
            raise UsageError(
                f"The {name} split holds a class number beyond the task's {classes} classes",
                seen=int(target.max()),
                fix="Prepare the task again",
            )


def missing_classes(split: FeatureSplit | SliceSplit, classes: int) -> list[int]:
    """Numbers of the classes of which the split holds no item."""
    target = split.target
    if target is None or (target.ndim == 2 and not len(target)):
        return list(range(classes))
    present = np.flatnonzero(target.any(0)) if target.ndim == 2 else np.unique(target)
    return sorted(set(range(classes)) - set(present.tolist()))
