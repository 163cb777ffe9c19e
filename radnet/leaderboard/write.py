"""Writing the leaderboard beside its records."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from radnet.files import write_atomically
from radnet.leaderboard.markdown import render_markdown
from radnet.leaderboard.tables import Row, Table, Value, build_tables
from radnet.records import ResultRecord, read_records

MARKDOWN_NAME = "LEADERBOARD.md"
CSV_NAME = "leaderboard.csv"


def write_leaderboard(results_dir: Path) -> Path:
    """Write `LEADERBOARD.md` and `leaderboard.csv` from every record below `results_dir`.

    Returns:
        The path of the markdown page.

    Raises:
        UsageError: There is no such directory, or a record in it is broken.
        RadnetError: The disk is full or not writable.
    """
    records = read_records(results_dir)
    page = results_dir / MARKDOWN_NAME
    write_atomically(results_dir / CSV_NAME, table_frame(records).to_csv(index=False, lineterminator="\n"))
    write_atomically(page, render_markdown(records))
    return page


def table_frame(records: Iterable[ResultRecord]) -> pd.DataFrame:
    """One line a leaderboard row, unrounded; metrics have a column each for mean, ends and range over seeds."""
    lines = [_line(table, row) for table in build_tables(records) for row in table.rows]
    fixed = ["task", "manifest_hash", "protocol", "protocol_hash", "fraction", "primary_metric", "rank", "model"]
    frame = pd.DataFrame(lines, columns=list(dict.fromkeys([*fixed, *(key for line in lines for key in line)])))
    return frame.astype({"rank": "Int64"})


def _line(table: Table, row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {
        "task": table.task.name,
        "manifest_hash": table.task.manifest_hash,
        "protocol": table.protocol.name,
        "protocol_hash": table.protocol.hash,
        "fraction": table.fraction,
        "primary_metric": table.task.metric,
        "rank": row.rank,
        "model": row.label,
        "arm": row.model.arm,
        "architecture": row.model.architecture,
        "pretraining": row.model.pretraining,
        "method": row.model.method,
        "parameters": row.model.parameters,
        "in_chans": row.model.in_chans,
        "synthetic": row.synthetic,
        "status": "done" if row.available else "unavailable",
        "standing": row.standing,
        "seeds": " ".join(map(str, row.seeds)),
        "train_items": row.count("train_items"),
        "test_items": row.count("test_items"),
        "test_patients": row.count("test_patients"),
        "message": " ".join(sorted({record.message for record in row.records} - {""})),
    }
    for name, value in sorted({**row.metrics, **row.differences}.items()):
        line |= _value_columns(name, value)
    return line


def _value_columns(name: str, value: Value) -> dict[str, float]:
    return {
        name: value.mean,
        f"{name} low": value.low,
        f"{name} high": value.high,
        f"{name} seed min": value.seed_low,
        f"{name} seed max": value.seed_high,
    }
