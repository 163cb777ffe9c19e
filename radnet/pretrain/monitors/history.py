"""The log in memory: whole where it is recent, thinned where it is old."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIMIT = 1000


class History:
    """Lines of `log.jsonl` for the diagnosis.

    Args:
        limit: Lines kept; beyond it every second line of the older half goes.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self.lines: list[dict[str, float]] = []

    def add(self, line: Mapping[str, float]) -> None:
        """Keep one line."""
        self.lines.append(dict(line))
        if len(self.lines) > self._limit:
            half = self._limit // 2
            self.lines[:half] = self.lines[:half:2]


def read_lines(path: Path, until_step: int | None = None) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file, without one that a crash cut off.

    Args:
        path: The file; none there is the same as an empty one.
        until_step: Lines of later steps are left out.
    """
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if until_step is None or line["step"] <= until_step:
            lines.append(line)
    return lines
