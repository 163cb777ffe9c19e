"""The record of a run: one JSON line every few steps."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class RunLog:
    """Appends to `log.jsonl`; a continued run drops the lines after the step it continues from.

    Attributes:
        path: The file.
    """

    path: Path
    _started_s: float = field(default_factory=time.monotonic)

    def rewind(self, step: int) -> None:
        """Forget the lines of steps later than `step`."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if json.loads(line)["step"] <= step]
        self.path.write_text("".join(line + "\n" for line in lines))

    def write(self, values: dict[str, float | int]) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
