"""Predictions beside the records: parquet with key, patient, target and scores of each test item.

Of several labels an item there is a target and a score a class; of volumes there is one value a metric.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from radnet.errors import RadnetError
from radnet.files import write_atomically
from radnet.records import ResultRecord, read_record, record_path
from radnet.transfer.outcomes import Outcome
from radnet.transfer.tasks import TaskItems

PREDICTIONS = "predictions"
TARGET, SCORE, VALUE = "target", "score_", "value_"


def write_predictions(results: Path, cell: str, outcome: Outcome) -> str:
    """Write what is known of each test item or volume.

    Args:
        results: Directory of the records.
        cell: Hash of the cell.
        outcome: The predictions.

    Returns:
        Path of the file relative to `results`.
    """
    columns: dict[str, object] = {"key": outcome.keys, "patient": outcome.patients}
    if outcome.target is not None and outcome.target.ndim == 1:
        columns[TARGET] = outcome.target
    elif outcome.target is not None:
        columns |= {f"{TARGET}_{number}": column for number, column in enumerate(outcome.target.T)}
    if outcome.scores is not None:
        columns |= {f"{SCORE}{number}": column for number, column in enumerate(outcome.scores.T)}
    columns |= {f"{VALUE}{name}": values for name, values in outcome.unit_values.items()}
    relative = f"{PREDICTIONS}/{cell}.parquet"
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    write_atomically(results / relative, buffer.getvalue())
    return relative


def known_record(results: Path, cell: str) -> ResultRecord | None:
    """Record of a finished cell whose predictions are there as well, else None.

    Raises:
        UsageError: The record is broken, or of a version that this radnet does not know.
    """
    path = record_path(results, cell)
    if not path.exists():
        return None
    record = read_record(path)
    there = record.predictions is not None and (results / record.predictions).exists()
    return record if there else None


def known_outcome(results: Path, record: ResultRecord, items: TaskItems) -> Outcome:
    """The predictions of a finished cell.

    Raises:
        RadnetError: They are of other slices, or cannot be read.
    """
    path = results / str(record.predictions)
    outcome = read_predictions(path)
    if outcome.scores is not None and outcome.keys.tolist() != items.keys[items.side("test")].tolist():
        raise RadnetError(
            "These predictions are of other slices than the set's test split",
            file=path,
            fix="Give another results=…, or repeat=true to replace the cell",
        )
    return outcome


def read_predictions(path: Path) -> Outcome:
    """The predictions of one cell.

    Raises:
        RadnetError: The file cannot be read.
    """
    try:
        table = pd.read_parquet(path)
        keys, patients = (table[name].to_numpy(dtype=np.str_) for name in ("key", "patient"))
    except (OSError, ValueError, KeyError) as error:
        raise RadnetError(
            f"These predictions cannot be read ({error})",
            file=path,
            fix="Remove the file, and its cell is computed again",
        ) from error
    names = [str(name) for name in table.columns]
    targets = [name for name in names if name == TARGET or name.startswith(f"{TARGET}_")]
    scores = [name for name in names if name.startswith(SCORE)]
    values = {name.removeprefix(VALUE): table[name].to_numpy(np.float64) for name in names if name.startswith(VALUE)}
    target = table[TARGET if targets == [TARGET] else targets].to_numpy(np.int64) if targets else None
    return Outcome(keys, patients, target, table[scores].to_numpy(np.float64) if scores else None, values)
