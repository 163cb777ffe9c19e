"""What a protocol on frozen features takes and gives back, and what every protocol has in common.

Shape legend: N items, D feature dimensions, K classes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from radnet.errors import RadnetError, UsageError
from radnet.hashing import settings_hash


@dataclass(frozen=True)
class FeatureSplit:
    """Features of one split with their labels.

    Attributes:
        features: float32, shape (N, D), finite.
        target: Class number of each item, int64, shape (N,).
        patients: Patient key of each item, text, shape (N,).
    """

    features: NDArray[np.float32]
    target: NDArray[np.int64]
    patients: NDArray[np.str_]

    def __post_init__(self) -> None:
        check_features(self.features)
        if self.target.shape != (len(self.features),) or self.target.dtype != np.int64:
            raise ValueError(f"target must be int64 of shape (N,), not {self.target.dtype} of {self.target.shape}")
        if self.patients.shape != self.target.shape or self.patients.dtype.kind != "U":
            raise ValueError(f"patients must be text of shape (N,), not {self.patients.dtype} {self.patients.shape}")
        if len(self.target) and self.target.min() < 0:
            raise ValueError("target holds a negative class number")

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class ProtocolResult:
    """What a protocol says about the test items.

    Attributes:
        scores: float64, shape (N, K); every row is a distribution over the classes.
        selected: What was chosen or met on the way, as JSON values for the result record.
    """

    scores: NDArray[np.float64]
    selected: dict[str, Any]


@dataclass(frozen=True)
class Protocol(ABC):
    """A way to turn frozen features into class scores; a subclass adds its settings as dataclass fields.

    Attributes:
        name: Name in records and on the command line.
        REVISION: Raised when the same settings begin to give other numbers; part of the hash.
        threads: Threads the computation may take. It changes no result, so it is no setting.
    """

    name: ClassVar[str]
    REVISION: ClassVar[int] = 1

    threads: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError("A protocol needs at least one thread", seen=self.threads, fix="Give 1 or more")

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Names of the settings that decide the result."""
        return tuple(entry.name for entry in fields(cls) if entry.name != "threads")

    def settings(self) -> dict[str, Any]:
        """Every setting that decides the result, as JSON values."""
        values = {name: getattr(self, name) for name in self.setting_names()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def hash(self) -> str:
        """SHA-256 over name, revision and settings, 64 hex digits."""
        return settings_hash({"name": self.name, "revision": self.REVISION, "settings": self.settings()})

    @abstractmethod
    def fit_predict(
        self,
        train: FeatureSplit,
        val: FeatureSplit,
        test_features: NDArray[np.float32],
        *,
        classes: int,
        metric: str,
        seed: int,
    ) -> ProtocolResult:
        """Learn from `train`, choose on `val`, score the test items (whose labels are not passed in).

        Args:
            train: Items to learn from.
            val: Items to choose settings on; may be empty where nothing is chosen.
            test_features: float32, shape (N, D).
            classes: Number of classes K of the task.
            metric: Name of the task's primary metric, by which choices are made.
            seed: Seed of everything random.

        Raises:
            RadnetError: The features or labels cannot be used; the text says why.
        """


def check_features(features: NDArray[np.float32]) -> None:
    """Refuse features that are no finite float32 matrix.

    Raises:
        ValueError: Another dtype or number of axes.
        RadnetError: A value is NaN or infinite.
    """
    if features.ndim != 2 or features.dtype != np.float32:
        raise ValueError(f"features must be float32 of shape (N, D), not {features.dtype} of {features.shape}")
    broken = int((~np.isfinite(features).all(1)).sum())
    if broken:
        raise RadnetError(
            f"The backbone gives features that are NaN or infinite for {broken} of {len(features)} items",
            fix="Check the weights (a diverged run?) and the precision of the feature extraction",
        )


def check_inputs(train: FeatureSplit, val: FeatureSplit, test_features: NDArray[np.float32], classes: int) -> None:
    """Refuse splits that do not fit each other.

    Raises:
        UsageError: No training or test item, other feature dimensions, or a class number beyond `classes`.
    """
    check_features(test_features)
    if not len(train):
        raise UsageError("The training split is empty", fix="Raise the fraction, or use a task with training items")
    if not len(test_features):
        raise UsageError("The test split is empty", fix="Use a task with test items")
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
    for name, split in (("train", train), ("val", val)):
        if len(split) and split.target.max() >= classes:
            raise UsageError(
                f"The {name} split holds a class number beyond the task's {classes} classes",
                seen=int(split.target.max()),
                fix="Prepare the task again",
            )


def missing_classes(split: FeatureSplit, classes: int) -> list[int]:
    """Numbers of the classes of which the split holds no item."""
    return sorted(set(range(classes)) - set(np.unique(split.target).tolist()))
