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
from radnet.records import ResultRecord, located_records

TARGET, SCORE = "target", "score_"


@dataclass(frozen=True)
class Votes:
    """Models on the same test items.

    Attributes:
        title: Task, protocol, fraction, condition and seed.
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

    Models are compared under one condition only: what was done to the images decides who is right.

    Args:
        results: Directory of result records, at any depth, with their predictions beside them.

    Raises:
        UsageError: There is no such directory, or a record is broken.
    """
    groups: dict[tuple[Any, ...], dict[str, tuple[ResultRecord, Path]]] = {}
    for file, record in located_records(results):
        task, protocol = record.task, record.protocol
        condition = record.condition.words if record.condition else ""
        key = (task.name, task.manifest_hash, protocol.name, protocol.hash, record.fraction, condition, record.seed)
        predictions = None if record.predictions is None else file.parent / record.predictions
        if predictions is not None and predictions.is_file():
            groups.setdefault(key, {}).setdefault(record.model.name, (record, predictions))
    for key, members in sorted(groups.items(), key=lambda group: str(group[0])):
        tables = {name: _votes(predictions) for name, (_, predictions) in members.items()}
        usable = {name: table for name, table in tables.items() if table is not None}
        if len(usable) < 2:
            continue
        names = list(usable)[:MOST_MODELS]
        condition = f", {key[5]}" if key[5] else ""
        title = f"{key[0]}, {key[2]}, {100 * key[4]:g} % of the training patients{condition}, seed {key[6]}"
        if len(usable) > MOST_MODELS:
            warn(f"{title}: {len(usable) - MOST_MODELS} of {len(usable)} models are left out of who knew what")
        first = usable[names[0]]
        names = [name for name in names if usable[name]["key"].tolist() == first["key"].tolist()]
        classes = members[names[0]][0].task.classes
        yield Votes(
            title,
            names,
            np.stack([usable[name]["right"].to_numpy(dtype=bool) for name in names]),
            first["key"].to_numpy(dtype=np.str_),
            first["patient"].to_numpy(dtype=np.str_),
            np.array([classes[number] for number in first[TARGET]], dtype=np.str_),
        )


def _votes(predictions: Path) -> pd.DataFrame | None:
    """Key, patient, target and whether the vote is right; None where an item has several labels or is a volume."""
    table = pd.read_parquet(predictions)
    scores = [name for name in table.columns if name.startswith(SCORE)]
    if TARGET not in table.columns or not scores:
        return None
    right = table[scores].to_numpy(dtype=np.float64).argmax(1) == table[TARGET].to_numpy()
    return table[["key", "patient", TARGET]].assign(right=right)
