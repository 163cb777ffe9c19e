"""Tasks: which label of a shard set is to be told from one slice. One YAML each in `configs/task/`."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radnet.configs import names_in, read_member, validated
from radnet.errors import UsageError, did_you_mean
from radnet.records import Counts
from radnet.shards import ShardSet
from radnet.shards.manifest import MANIFEST, read_manifest
from radnet.shards.shard_set import REMOTE
from radnet.transfer.metrics import METRICS
from radnet.transfer.segmentation.scores import DICE, SCORES
from radnet.transfer.segmentation.structures import MaskSettings
from radnet.views import EvaluationView, window_policy

TaskKind = Literal["single", "multi", "segment"]
PREPARED = "prepared"
"""Key of a manifest's settings under which a set that was prepared for a task says so."""
MASK = "mask_offset"
"""Column of the index that is empty where a slice has no mask."""
MULTI_METRICS = ("macro_auroc", "macro_average_precision")
"""What is measured on a set of several labels whose task leaves kind and classes to it."""


class Preparation(BaseModel):
    """How a set for a task is made.

    Attributes:
        converter: Name in `radnet.transfer.prepare.CONVERTERS`.
        source: What SOURCE is, for people: which files of which download.
        home: Where the data set is described and to be had, and under which terms.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    converter: str
    source: str
    home: str = ""


class Task(BaseModel):
    """`configs/task/NAME.yaml`.

    Attributes:
        name: Name in records and tables.
        description: One line for people.
        kind: "single": one class an image. "multi": each class is there or not. "segment": a mask.
        label: Column of the set's index that holds the label as text; for "multi" what the columns begin with, one
            a class (`column_of`), each "0" or "1".
        classes: The classes, in the order of their numbers; slices with another or no label take no part. Empty where
            the set says which there are (`resolved_task`).
        metric: Primary metric, by which models are ranked: higher is better.
        metrics: All metrics that are recorded.
        size: Side of the pictures the models see, in pixels.
        window: Window policy, the same for every model.
        masks: For "segment": which labels of the masks make each structure; the classes are the structures.
        prepare: How a set is made; None where `radnet shards build` does it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    kind: TaskKind = "single"
    label: str
    classes: tuple[str, ...]
    metric: str
    metrics: tuple[str, ...] = Field(min_length=1)
    size: int = Field(ge=8)
    window: dict[str, Any]
    masks: MaskSettings | None = None
    prepare: Preparation | None = None

    def column_of(self, name: str) -> str:
        """Column of the index that says whether a class is there, for a task of several labels."""
        return f"{self.label}_{column_name(name)}"

    def definition(self) -> dict[str, Any]:
        """All of it that results depend on, as JSON values; what has its default is left out where it came later."""
        words = self.model_dump(mode="json", exclude={"description", "prepare"})
        defaults = {"kind": "single", "masks": None}
        return {name: value for name, value in words.items() if name not in defaults or value != defaults[name]}

    def with_classes(self, kind: TaskKind, classes: Sequence[str]) -> "Task":
        """The same with the kind and classes of a set, where the task leaves them to it."""
        if self.classes:
            return self
        require_classes(classes, kind)
        update: dict[str, Any] = {"kind": kind, "classes": tuple(classes)}
        if kind == "multi":
            update |= {"metric": MULTI_METRICS[0], "metrics": MULTI_METRICS}
        return self.model_copy(update=update)

    def view(self, mean: tuple[float, ...], std: tuple[float, ...]) -> EvaluationView:
        """What a model with this normalisation sees of a slice; of a study with sequences, a channel of each."""
        if self.masks is not None and self.masks.sequences:
            channels = range(len(self.masks.sequences))
            mean, std = (tuple(values[channel % len(values)] for channel in channels) for values in (mean, std))
        return EvaluationView(size=self.size, window=window_policy(self.window), mean=mean, std=std)


def column_name(text: str) -> str:
    """A class as a part of a column's name: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text)


def require_classes(classes: Sequence[str], kind: TaskKind) -> None:
    """Refuse classes that no task can have.

    Raises:
        UsageError: Fewer than two to tell apart, or two that are the same (also as names of columns).
    """
    if kind != "segment" and len(classes) < 2:
        raise UsageError("A task needs two classes", seen=list(classes), fix="Name more classes, or another label")
    names = [column_name(name) if kind == "multi" else name for name in classes]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError("Two classes have one name", seen=twice[0], fix="Letters, digits and underscores must differ")


def task_from_settings(settings: dict[str, Any]) -> Task:
    """The task that the `task` part of a config describes.

    Raises:
        UsageError: A setting is wrong, a metric unknown, or the primary one is better where it is lower.
    """
    task = validated(Task, settings, "the task")
    if task.classes:
        require_classes(task.classes, task.kind)
    known: Collection[str] = METRICS
    if task.kind == "segment":
        task = _with_structures(task)
        known = [name for score in SCORES for name in (score, *(f"{score}_{one}" for one in task.classes))]
    for metric in (task.metric, *task.metrics):
        if metric not in known:
            raise UsageError("Unknown metric", seen=metric, fix=did_you_mean(metric, known))
    if task.kind == "segment":
        _require_rank(task)
    window_policy(task.window)
    return task


def _require_rank(task: Task) -> None:
    """Refuse a primary metric of masks that falls where a model is better: tables rank the highest first.

    Raises:
        UsageError: It is a distance or a volume of false alarms.
    """
    ranked = [DICE, *(f"{DICE}_{one}" for one in task.classes)]
    if task.metric not in ranked:
        raise UsageError(
            "The metric of a task ranks models, higher is better, and of this one less is better",
            seen=task.metric,
            fix=f"Set task.metric to one of {', '.join(ranked)}; in task.metrics it may stay",
        )


def _with_structures(task: Task) -> Task:
    """A task of masks with its structures as classes.

    Raises:
        UsageError: There are none, or the classes are others.
    """
    if task.masks is None or task.classes not in ((), task.masks.names):
        raise UsageError(
            f"The task {task.name!r} of kind segment needs its structures in masks.structures, and classes: []",
            seen={"classes": task.classes, "structures": task.masks and task.masks.names},
            fix="For example masks: {structures: {liver: [1, 2], tumour: [2]}}",
        )
    return task.model_copy(update={"classes": task.masks.names})


def task_named(name: str, *, size: int | None = None) -> Task:
    """A task that ships with radnet.

    Args:
        name: File in `configs/task/` without its ending.
        size: Another picture size than the task's own.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in (known := names_in("task")):
        raise UsageError("There is no task of this name", seen=name, fix=did_you_mean(name, known))
    settings = read_member("task", name)
    return task_from_settings(settings | ({"size": size} if size else {}))


def resolved_task(task: Task, shards: ShardSet) -> Task:
    """The task with the kind and classes of a set, where it leaves them to it.

    Raises:
        UsageError: The set does not say which classes there are.
    """
    if task.classes:
        return task
    about = shards.manifest.settings.get(PREPARED, {})
    if about.get("task") == task.name:
        return task.with_classes(about["kind"], about["classes"])
    values = sorted(shards.index[task.label].dropna().unique()) if task.label in shards.index.columns else []
    if len(values) < 2:
        raise UsageError(
            f"The set {shards.path} was not prepared for the task {task.name!r}, which takes its classes from the set",
            seen=about.get("task"),
            fix=how_to_prepare(task, shards.path),
        )
    return task.with_classes("single", values)


def how_to_prepare(task: Task, out: Path | str = "OUT") -> str:
    """The command that makes a set for a task, and what it takes."""
    if task.prepare is None:
        needs = "masks" if task.kind == "segment" else f"the label {task.label!r}"
        return f"Make it with: radnet shards build ARCHIVE {out} (it needs {needs})"
    return f"Make it with: radnet task prepare {task.name} SOURCE {out}, where SOURCE is {task.prepare.source}"


def open_task_set(task: Task, path: Path | str) -> ShardSet:
    """The set of a task.

    Raises:
        UsageError: It is not there; the message says how to make it.
        RadnetError: It is damaged.
    """
    if not str(path).startswith(REMOTE) and not (Path(path) / MANIFEST).is_file():
        raise UsageError(f"There is no set for the task {task.name!r}", file=path, fix=how_to_prepare(task, path))
    return ShardSet.open(path)


def sets_for(task: Task, directory: Path) -> list[str]:
    """Names of the finished sets directly below a directory that can serve a task, sorted.

    A set that was prepared says for which task it was; of another one the labels are looked at.
    """
    return sorted(place.parent.name for place in directory.glob(f"*/{MANIFEST}") if _serves(place.parent, task))


def _serves(path: Path, task: Task) -> bool:
    try:
        manifest = read_manifest(path)
        names = set(pq.read_schema(path / manifest.index.file).names)
    except (UsageError, OSError, pa.ArrowException):
        return False
    about = manifest.settings.get(PREPARED)
    if about is not None:
        return bool(about.get("task") == task.name)
    if not task.classes:
        return False
    if task.kind == "segment":
        return bool(pq.read_table(path / manifest.index.file, columns=[MASK])[MASK].is_valid().to_numpy().any())
    return {task.column_of(name) for name in task.classes} <= names if task.kind == "multi" else task.label in names


def list_tasks() -> list[Task]:
    """Every task that ships with radnet."""
    return [task_named(name) for name in names_in("task")]


@dataclass(frozen=True)
class TaskItems:
    """The slices of a set that take part in a task.

    Attributes:
        rows: Row numbers in the set's index, int64, (N,).
        target: Class numbers, int64, (N,); of several labels 0 or 1 for each class, (N, K).
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

    def seen_test_patients(self) -> int:
        """Patients of the test side that are on another side as well: only in sets that keep a split that leaks."""
        test = self.split == "test"
        return len(set(self.patients[test]) & set(self.patients[~test]))

    def counts(self, train: NDArray[np.int64]) -> Counts:
        """Numbers of items and patients, with `train` as the positions that are really used for training."""
        sides = {"train": train, "val": self.side("val"), "test": self.side("test")}
        return counts_of({name: self.patients[side] for name, side in sides.items()})

    def fraction(self, fraction: float, seed: int) -> NDArray[np.int64]:
        """Training positions of a share of the training patients.

        Patients are drawn in one random order a seed, so smaller fractions are parts of larger ones.
        """
        train = self.side("train")
        patients = np.unique(self.patients[train])
        np.random.default_rng([seed, len(patients)]).shuffle(patients)
        kept = patients[: max(1, round(fraction * len(patients)))]
        return train[np.isin(self.patients[train], kept)]


def counts_of(sides: Mapping[str, NDArray[np.str_]]) -> Counts:
    """Numbers of items and patients from the patient of each item of "train", "val" and "test"."""
    items = {f"{name}_items": len(patients) for name, patients in sides.items()}
    return Counts(**items, **{f"{name}_patients": len(set(patients)) for name, patients in sides.items()})


def task_items(task: Task, shards: ShardSet, needs: Sequence[str] = ("train", "test")) -> TaskItems:
    """The labelled slices of a set.

    Args:
        task: The task.
        shards: The set.
        needs: Splits without which it is refused; a protocol that chooses on validation asks for it itself.

    Raises:
        UsageError: The set has no such label, or a side has no labelled slice.
    """
    target, used = _targets(task, shards)
    chosen = shards.index.loc[used]
    items = TaskItems(
        rows=np.flatnonzero(used).astype(np.int64),
        target=target[used],
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


def _targets(task: Task, shards: ShardSet) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Target of every slice of a set, and which slices have one."""
    index = shards.index
    if task.kind == "segment":
        there = index[MASK].notna().to_numpy()
        if not there.any():
            raise UsageError(f"The set {shards.path} has no masks", fix=how_to_prepare(task))
        return np.zeros(len(index), np.int64), there
    columns = [task.column_of(name) for name in task.classes] if task.kind == "multi" else [task.label]
    missing = [column for column in columns if column not in index.columns]
    if missing:
        labels = [name for name in index.columns if name == "body_region" or name.startswith("label_")]
        raise UsageError(
            f"The set {shards.path} has no label {missing[0]!r}, which the task {task.name!r} needs",
            fix=f"Take a task for one of its labels: {', '.join(labels)}; or: {how_to_prepare(task)}",
        )
    if task.kind == "multi":
        each = index[columns].to_numpy(dtype=object)
        there = each == "1"
        return np.asarray(there, dtype=np.int64), np.asarray((there | (each == "0")).all(1))
    numbers = {name: number for number, name in enumerate(task.classes)}
    target = index[task.label].map(numbers)
    used = np.asarray(target.notna(), dtype=np.bool_)
    return np.asarray(target.fillna(-1), dtype=np.int64), used
