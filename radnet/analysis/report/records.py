"""Votes of models that were evaluated before: who was right, read from the predictions beside result records."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.analysis.wkw import MOST_MODELS
from radnet.console import warn
from radnet.records import ResultRecord, read_records

TARGET, SCORE = "target", "score_"


@dataclass(frozen=True)
class Votes:
    """Models on the same test items.

    Attributes:
        title: Task, protocol, fraction and seed.
        models: Their names.
        correct: Whether a model is right on an item, bool, (M, N).
        keys: Sample keys, (N,).
        patients: Patient keys, (N,).
        target: Class names, (N,).
    """

    title: str
    models: list[str]
    correct: NDArray[np.bool_]
    keys: NDArray[np.str_]
    patients: NDArray[np.str_]
    target: NDArray[np.str_]


def votes_of_records(results: Path) -> Iterator[Votes]:
    """Every comparison of at least two models on one test set that records hold, with one label an item.

    Args:
        results: Directory of result records with their predictions.

    Raises:
        UsageError: There is no such directory, or a record is broken.
    """
    groups: dict[tuple[Any, ...], dict[str, ResultRecord]] = {}
    for record in read_records(results):
        task, protocol = record.task, record.protocol
        key = (task.name, task.manifest_hash, protocol.name, protocol.hash, record.fraction, record.seed)
        if record.predictions is not None and (results / record.predictions).is_file():
            groups.setdefault(key, {}).setdefault(record.model.name, record)
    for key, members in sorted(groups.items(), key=lambda group: str(group[0])):
        tables = {name: _votes(results, record) for name, record in members.items()}
        usable = {name: table for name, table in tables.items() if table is not None}
        if len(usable) < 2:
            continue
        names = list(usable)[:MOST_MODELS]
        title = f"{key[0]}, {key[2]}, {100 * key[4]:g} % of the training patients, seed {key[5]}"
        if len(usable) > MOST_MODELS:
            warn(f"{title}: {len(usable) - MOST_MODELS} of {len(usable)} models are left out of who knew what")
        first = usable[names[0]]
        names = [name for name in names if usable[name]["key"].tolist() == first["key"].tolist()]
        classes = next(iter(members.values())).task.classes
        yield Votes(
            title,
            names,
            np.stack([usable[name]["right"].to_numpy(dtype=bool) for name in names]),
            first["key"].to_numpy(dtype=np.str_),
            first["patient"].to_numpy(dtype=np.str_),
            np.array([classes[number] for number in first[TARGET]], dtype=np.str_),
        )


def _votes(results: Path, record: ResultRecord) -> pd.DataFrame | None:
    """Key, patient, target and whether the vote is right; None where an item has several labels or is a volume."""
    table = pd.read_parquet(results / str(record.predictions))
    scores = [name for name in table.columns if name.startswith(SCORE)]
    if TARGET not in table.columns or not scores:
        return None
    right = table[scores].to_numpy(dtype=np.float64).argmax(1) == table[TARGET].to_numpy()
    return table[["key", "patient", TARGET]].assign(right=right)
