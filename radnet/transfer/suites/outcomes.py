"""What became of the cells of a run, one small file a cell: any process can write them and any can sum them up."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from radnet.files import write_atomically

Status = Literal["computed", "there already", "unavailable", "failed"]


@dataclass(frozen=True)
class Done:
    """What became of one planned cell.

    Attributes:
        key: Of the planned cell.
        status: "computed" now, "there already", "unavailable" (its weights are out of reach), or "failed".
        seconds: How long it took.
        cell: Cell of its record, None where there is none.
        reason: Why it failed or is unavailable, and what mends it; of a computed one its score.
    """

    key: str
    status: Status
    seconds: float
    cell: str | None
    reason: str


def write_done(run: Path, done: Done) -> None:
    """Leave word of a cell in the directory of a run."""
    write_atomically(run / f"{done.key}.json", json.dumps(asdict(done)) + "\n")


def read_done(run: Path, known: Iterable[str] = ()) -> dict[str, Done]:
    """What became of cells so far, by key.

    Args:
        run: Directory of the run.
        known: Keys that need not be read again.
    """
    seen = set(known)
    found = {}
    for file in run.glob("*.json"):
        if file.stem not in seen and not file.name.startswith("."):
            done = Done(**json.loads(file.read_text(encoding="utf-8")))
            found[done.key] = done
    return found
