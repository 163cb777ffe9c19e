"""Per-sample predictions beside the records: parquet with key, patient, target and one score a class."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.files import write_atomically
from radnet.records import ResultRecord, read_record, record_path
from radnet.transfer.tasks import TaskItems

PREDICTIONS = "predictions"


def write_predictions(results: Path, cell: str, items: TaskItems, scores: NDArray[np.float64]) -> str:
    """Write the scores of the test items.

    Args:
        results: Directory of the records.
        cell: Hash of the cell.
        items: The labelled slices.
        scores: float64, (N_test, K).

    Returns:
        Path of the file relative to `results`.
    """
    test = items.side("test")
    table = pd.DataFrame({"key": items.keys[test], "patient": items.patients[test], "target": items.target[test]})
    for number in range(scores.shape[1]):
        table[f"score_{number}"] = scores[:, number]
    relative = f"{PREDICTIONS}/{cell}.parquet"
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(results / relative, buffer.getvalue())
    return relative


def read_known(results: Path, cell: str, items: TaskItems) -> tuple[ResultRecord, NDArray[np.float64]] | None:
    """Record and scores of a finished cell that is there already, else None.

    Raises:
        RadnetError: The predictions are of other slices.
    """
    path = record_path(results, cell)
    if not path.exists():
        return None
    record = read_record(path)
    if record.predictions is None or not (results / record.predictions).exists():
        return None
    table = pd.read_parquet(results / record.predictions)
    if table["key"].tolist() != items.keys[items.side("test")].tolist():
        raise RadnetError(
            "These predictions are of other slices than the set's test split",
            file=results / record.predictions,
            fix="Give another results=…, or repeat=true to replace the cell",
        )
    scores = table[[name for name in table.columns if name.startswith("score_")]].to_numpy(dtype=np.float64)
    return record, np.asarray(scores)
