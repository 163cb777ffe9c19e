"""The record of a run: one JSON line every few steps."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radnet.files import explained_disk_errors, write_atomically


@dataclass(frozen=True)
class RunLog:
    """Appends lines that have a "step"; a continued run drops the lines after the step it continues from.

    Attributes:
        path: The file.
    """

    path: Path

    def rewind(self, step: int) -> None:
        """Forget the lines of steps later than `step`, and a last line that a crash cut off."""
        if self.path.exists():
            write_atomically(self.path, "".join(line + "\n" for line in self._whole_lines() if _step(line) <= step))

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one line."""
        with explained_disk_errors(self.path), self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def _whole_lines(self) -> Iterator[str]:
        for line in self.path.read_text().splitlines():
            try:
                json.loads(line)
            except ValueError:
                continue
            yield line


def _step(line: str) -> int:
    return int(json.loads(line)["step"])
