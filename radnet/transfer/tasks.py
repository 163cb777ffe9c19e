"""Tasks: which label of a shard set is to be told from one slice. One YAML each in `configs/task/`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radnet.configs import compose, names_in, validated
from radnet.errors import UsageError, did_you_mean
from radnet.records import Counts
from radnet.shards import ShardSet
from radnet.transfer.metrics import METRICS
from radnet.views import EvaluationView, window_policy


class Task(BaseModel):
    """`configs/task/NAME.yaml`.

    Attributes:
        name: Name in records and tables.
        description: One line for people.
        label: Column of the set's index that holds the label as text.
        classes: The classes, in the order of their numbers; slices with another or no label take no part.
        metric: Primary metric.
        metrics: All metrics that are recorded.
        size: Side of the pictures the models see, in pixels.
        window: Window policy, the same for every model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    label: str
    classes: tuple[str, ...] = Field(min_length=2)
    metric: str
    metrics: tuple[str, ...] = Field(min_length=1)
    size: int = Field(ge=8)
    window: dict[str, Any]

    def view(self, mean: tuple[float, ...], std: tuple[float, ...]) -> EvaluationView:
        """What a model with this normalisation sees of a slice."""
        return EvaluationView(size=self.size, window=window_policy(self.window), mean=mean, std=std)


def task_from_settings(settings: dict[str, Any]) -> Task:
    """The task that the `task` part of a config describes.

    Raises:
        UsageError: A setting is wrong or a metric unknown.
    """
    task = validated(Task, settings, "the task")
    for metric in {task.metric, *task.metrics}:
        if metric not in METRICS:
            raise UsageError("Unknown metric", seen=metric, fix=did_you_mean(metric, METRICS))
    window_policy(task.window)
    return task


def task_named(name: str, *, size: int | None = None) -> Task:
    """A task that ships with radnet.

    Args:
        name: File in `configs/task/` without its ending.
        size: Another picture size than the task's own.

    Raises:
        UsageError: There is none of this name.
    """
    overrides = [f"task={name}", "model=none", "data=none"] + ([f"task.size={size}"] if size else [])
    return task_from_settings(compose("evaluate", overrides)["task"])


def list_tasks() -> list[Task]:
    """Every task that ships with radnet."""
    return [task_named(name) for name in names_in("task")]


@dataclass(frozen=True)
class TaskItems:
    """The slices of a set that take part in a task.

    Attributes:
        rows: Row numbers in the set's index, int64, (N,).
        target: Class numbers, int64, (N,).
        patients: Patient keys, text, (N,).
        keys: Sample keys, text, (N,).
        split: "train", "val" or "test", text, (N,).
        unlabelled: Slices of the set without a usable label.
    """

    rows: NDArray[np.int64]
    target: NDArray[np.int64]
    patients: NDArray[np.str_]
    keys: NDArray[np.str_]
    split: NDArray[np.str_]
    unlabelled: int

    def side(self, split: str) -> NDArray[np.int64]:
        """Positions 0…N-1 of one side."""
        return np.flatnonzero(self.split == split).astype(np.int64)

    def counts(self, train: NDArray[np.int64]) -> Counts:
        """Numbers of items and patients, with `train` as the positions that are really used for training."""
        sides = {"train": train, "val": self.side("val"), "test": self.side("test")}
        items = {f"{name}_items": len(side) for name, side in sides.items()}
        patients = {f"{name}_patients": len(set(self.patients[side])) for name, side in sides.items()}
        return Counts(**items, **patients)

    def fraction(self, fraction: float, seed: int) -> NDArray[np.int64]:
        """Training positions of a share of the training patients.

        Patients are drawn in one random order a seed, so smaller fractions are parts of larger ones.
        """
        train = self.side("train")
        patients = np.unique(self.patients[train])
        np.random.default_rng([seed, len(patients)]).shuffle(patients)
        kept = patients[: max(1, round(fraction * len(patients)))]
        return train[np.isin(self.patients[train], kept)]


def task_items(task: Task, shards: ShardSet, needs: Sequence[str] = ("train", "test")) -> TaskItems:
    """The labelled slices of a set.

    Args:
        task: The task.
        shards: The set.
        needs: Splits without which it is refused; a protocol that chooses on validation asks for it itself.

    Raises:
        UsageError: The set has no such label, or a side has no labelled slice.
    """
    index = shards.index
    if task.label not in index.columns:
        labels = [name for name in index.columns if name == "body_region" or name.startswith("label_")]
        raise UsageError(
            f"The set {shards.path} has no label {task.label!r}, which the task {task.name!r} needs",
            fix=f"Take a task for one of its labels: {', '.join(labels)}",
        )
    numbers = {name: number for number, name in enumerate(task.classes)}
    target = index[task.label].map(numbers)
    used = target.notna().to_numpy()
    chosen = index.loc[used]
    items = TaskItems(
        rows=np.flatnonzero(used).astype(np.int64),
        target=np.asarray(target[used], dtype=np.int64),
        patients=chosen["patient_key"].to_numpy(dtype=np.str_),
        keys=chosen["key"].to_numpy(dtype=np.str_),
        split=chosen["split"].to_numpy(dtype=np.str_),
        unlabelled=int((~used).sum()),
    )
    for split in needs:
        if not len(items.side(split)):
            raise UsageError(
                f"No slice of the {split} split has a label of the task {task.name!r}",
                seen=dict(Counter(items.split.tolist())),
                file=shards.path,
                fix="Use a set with more labelled patients, or build it with other --split-fractions",
            )
    return items
