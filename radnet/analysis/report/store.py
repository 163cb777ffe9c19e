"""Numbers of a report on disk: parts as they are finished, so that an interrupted report goes on, then whole tables."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radnet.errors import RadnetError
from radnet.files import write_atomically
from radnet.hashing import settings_hash

NUMBERS, PARTS = "numbers", ".parts"
REVISION = 2
"""Raised when a measure begins to give other numbers: older parts are then computed again."""

Row = dict[str, Any]
_SHOWN = ("model", "other_model", "set", "other", "label", "column")
"""Parts of an identity that say in a table what has no value."""


class Store:
    """The tables of one report.

    Args:
        out: Directory of the report.
        base: What decides all numbers of the report, besides what a part names.
    """

    def __init__(self, out: Path, base: Mapping[str, Any]) -> None:
        self._out, self._base = out, dict(base)
        self._tables: dict[str, list[Row]] = {}
        self.computed = 0
        self.kept = 0

    def part(self, table: str, identity: Mapping[str, Any], compute: Callable[[], Sequence[Row]]) -> list[Row]:
        """Rows of a table, computed or read from an earlier start of the same report.

        Args:
            table: Name of the table they belong to.
            identity: What decides these rows: hashes of weights and sets, names as they are shown.
            compute: Gives them; a RadnetError that concerns no file becomes a row that says why there is no value.

        Raises:
            RadnetError: A file cannot be read or written. Nothing is kept of the part: the file may be mended.
        """
        key = settings_hash({"revision": REVISION, "table": table, "base": self._base, "part": dict(identity)})
        path = self._out / PARTS / f"{table}-{key[:24]}.json"
        if path.is_file():
            rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
            self.kept += 1
        else:
            try:
                rows = [_plain(row) for row in compute()]
            except RadnetError as error:
                if error.file is not None:
                    raise
                shown = {name: value for name, value in identity.items() if name in _SHOWN and value is not None}
                rows = [_plain({**shown, "reason": error.what + _seen(error)})]
            write_atomically(path, json.dumps(rows))
            self.computed += 1
        self._tables.setdefault(table, []).extend(rows)
        return rows

    def rows(self, table: str) -> list[Row]:
        """All rows of a table so far."""
        return self._tables.get(table, [])

    def write_tables(self) -> list[str]:
        """Write each table as parquet and JSON; returns their names."""
        for name, rows in self._tables.items():
            path = self._out / NUMBERS / name
            write_atomically(path.with_suffix(".json"), json.dumps(rows, indent=1) + "\n")
            buffer = io.BytesIO()
            pd.DataFrame(rows).to_parquet(buffer, index=False)
            write_atomically(path.with_suffix(".parquet"), buffer.getvalue())
        return sorted(self._tables)


def _seen(error: RadnetError) -> str:
    return "" if error.seen is None else f" (seen: {error.seen})"


def _plain(row: Mapping[str, Any]) -> Row:
    """Values as JSON has them; what is not finite becomes null."""
    plain: Row = {}
    for name, value in row.items():
        scalar = value.item() if hasattr(value, "item") else value
        plain[name] = None if isinstance(scalar, float) and not math.isfinite(scalar) else scalar
    return plain
