"""The sets of a report: which items of each take part, and what is known of them.

Shape legend: N items of a set that take part.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.analysis.arrays import labelled
from radnet.configs import names_in
from radnet.errors import UsageError, did_you_mean
from radnet.shards import ShardSet
from radnet.transfer.tasks import task_named

REGION, LABEL_PREFIX = "body_region", "label_"
UNKNOWN = ""
MOST_CLASSES = 50


@dataclass(frozen=True)
class DomainSet:
    """One set of a report.

    Attributes:
        name: How the report calls it.
        shards: The set.
        rows: Rows of its index that take part, int64, (N,), sorted.
        table: Those rows of the index.
        patients: Patient keys, (N,).
        series: Series keys, (N,).
        label: Column that holds the label, None when there is none.
        labels: Labels as text, (N,); "" where unknown.
    """

    name: str
    shards: ShardSet
    rows: NDArray[np.int64]
    table: pd.DataFrame
    patients: NDArray[np.str_]
    series: NDArray[np.str_]
    label: str | None
    labels: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> NDArray[np.str_]:
        """A column of the index as text, "" where it is empty or not there, (N,)."""
        if name not in self.table.columns:
            return np.full(len(self), UNKNOWN)
        return _text(self.table[name])

    def identity(self) -> dict[str, object]:
        """What decides its part of a result."""
        return {"set": self.shards.manifest.content_hash(), "items": len(self), "label": self.label}


def _text(column: "pd.Series[Any]") -> NDArray[np.str_]:
    values = column.astype(object).where(column.notna(), UNKNOWN).astype(str).to_numpy(dtype=np.str_)
    return np.where(labelled(values), values, UNKNOWN)


def open_sets(entries: tuple[str, ...], items: int, *, seed: int) -> list[DomainSet]:
    """Open the sets that `tasks=[…]` names.

    Args:
        entries: `SET` or `LABEL@SET`, see `configs/analyze.yaml`.
        items: Items of a set, at most.
        seed: Of the choice among more.

    Raises:
        UsageError: No such set, or no such label.
    """
    sets: list[DomainSet] = []
    for entry in entries:
        label, _, place = entry.rpartition("@")
        shards = ShardSet.open(place)
        name, taken = shards.manifest.name, {known.name for known in sets}
        if name in taken:
            name = next(f"{name}_{number}" for number in range(2, 1000) if f"{name}_{number}" not in taken)
        sets.append(_opened(name, shards, label or None, items, seed))
    return sets


def _opened(name: str, shards: ShardSet, label: str | None, items: int, seed: int) -> DomainSet:
    index = shards.index
    column = _label_column(shards, label)
    rows = choose_items(index["patient_key"].to_numpy(dtype=np.str_), items, seed=seed)
    table = index.iloc[rows].reset_index(drop=True)
    return DomainSet(
        name=name,
        shards=shards,
        rows=rows,
        table=table,
        patients=table["patient_key"].to_numpy(dtype=np.str_),
        series=table["series_key"].to_numpy(dtype=np.str_),
        label=column,
        labels=_text(table[column]) if column else np.full(len(rows), UNKNOWN),
    )


def _label_column(shards: ShardSet, label: str | None) -> str | None:
    """The column that was asked for, or the body region, or the first label that tells at least two classes apart."""
    columns = [name for name in shards.index.columns if name == REGION or name.startswith(LABEL_PREFIX)]
    if label is not None:
        wanted = task_named(label).label if label in names_in("task") else label
        if wanted not in shards.index.columns:
            raise UsageError(
                f"The set {shards.path} has no label {wanted!r}",
                fix=did_you_mean(wanted, columns) + ", or leave LABEL@ out",
            )
        return wanted
    for name in sorted(columns, key=lambda name: name != REGION):
        values = _text(shards.index[name])
        if 2 <= len(np.unique(values[values != UNKNOWN])) <= MOST_CLASSES:
            return name
    return None


def choose_items(patients: NDArray[np.str_], items: int, *, seed: int) -> NDArray[np.int64]:
    """Rows of at most so many items: patients take turns, so that one with many slices does not crowd out the rest.

    Args:
        patients: Patient of each row.
        items: How many, at most.
        seed: Of the order of each patient's items and of the last turn.

    Returns:
        Sorted, int64.
    """
    if len(patients) <= items:
        return np.arange(len(patients), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(patients))
    sorted_order = order[np.argsort(patients[order], kind="stable")]
    _, first, count = np.unique(patients[sorted_order], return_index=True, return_counts=True)
    turn = np.arange(len(patients)) - np.repeat(first, count)
    random = np.random.default_rng([seed, 1]).random(len(patients))
    return np.sort(sorted_order[np.lexsort((random, turn))[:items]]).astype(np.int64)


def shared_patients(sets: list[DomainSet]) -> list[dict[str, object]]:
    """How many patients every two sets share; equal keys mean one patient only where one secret made both sets."""
    found: list[dict[str, object]] = []
    for i, a in enumerate(sets):
        for b in sets[i + 1 :]:
            both = len(np.intersect1d(a.patients, b.patients))
            if both:
                found.append({"set": a.name, "other": b.name, "shared_patients": both})
    return found
