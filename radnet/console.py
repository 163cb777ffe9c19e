"""Messages and progress for people: stderr, rank 0 only, plain lines when it is not a terminal.

Results that a program may want to read (tables, paths) go to stdout through `show`; everything else goes to
stderr through `say`, `warn` and `progress`.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_LINE_EVERY_S = 10.0
PLAIN_WIDTH = 140
"""Columns of a table that goes to a file or a pipe."""


def is_main_process() -> bool:
    """Whether this process speaks for the run: rank 0 under torchrun or Slurm, or the only one."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """One line to stderr, from rank 0 only."""
    if is_main_process():
        _stderr().print(message, markup=False)


def warn(message: str) -> None:
    """A line that must not be overlooked, to stderr, from rank 0 only."""
    if is_main_process():
        _stderr().print(f"warning: {message}", style="yellow", markup=False)


def show(result: RenderableType) -> None:
    """A result to stdout (rich renderable or text), from rank 0 only."""
    if is_main_process():
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        Console(file=sys.stdout, highlight=False, soft_wrap=isinstance(result, str), width=width).print(
            result, markup=False
        )


@dataclass
class Meter:
    """Progress of one piece of work; `advance` after each unit, `note` for a few words beside the bar."""

    description: str
    total: int | None
    bar: Progress | None
    done: int = 0
    note: str = ""
    _started_s: float = field(default_factory=time.monotonic)
    _last_line_s: float = field(default_factory=time.monotonic)

    def advance(self, units: int = 1, note: str | None = None) -> None:
        """Count `units` as done; `note` replaces the words beside the bar."""
        self.done += units
        if note is not None:
            self.note = note
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, note=self.note)
        elif is_main_process() and time.monotonic() - self._last_line_s >= PLAIN_LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            say(self.line())

    def line(self) -> str:
        """The progress as one plain line."""
        share = f"{self.done}/{self.total} ({100 * self.done / max(self.total, 1):.0f} %)" if self.total else self.done
        elapsed_s = time.monotonic() - self._started_s
        return f"{self.description}: {share}, {elapsed_s:.0f} s{', ' + self.note if self.note else ''}"


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Meter]:
    """A progress bar on a terminal, a line every ten seconds elsewhere, nothing on ranks other than 0.

    Args:
        description: What is being done, in a few words.
        total: Number of units, or None when it is not known.
    """
    if is_main_process() and sys.stderr.isatty():
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=_stderr(),
        )
        with bar:
            bar.add_task(description, total=total, note="")
            yield Meter(description, total, bar)
        return
    meter = Meter(description, total, None)
    yield meter
    if time.monotonic() - meter._started_s >= PLAIN_LINE_EVERY_S:
        say(meter.line() + ", done")
