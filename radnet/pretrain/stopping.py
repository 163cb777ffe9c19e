"""Leaving in good order: SIGTERM and SIGUSR1 end a run after the step at hand, with a checkpoint.

Slurm sends one of them before a job's time is over (`--signal`); the exit code tells it that the job may be queued
again. Under torchrun the code is torchrun's own, so the run also leaves `stopped.json` in its directory, which is
there exactly while a stopped run waits to be continued.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from radnet.errors import RadnetError

EXIT_CODE_STOPPED = getattr(os, "EX_TEMPFAIL", 75)
"""A run that was asked to stop and can be continued leaves with this code: 75, EX_TEMPFAIL of sysexits.h."""

STOPPED = "stopped.json"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StoppedError(RadnetError):
    """The run was asked to stop, and saved where it stands."""

    exit_code = EXIT_CODE_STOPPED


@dataclass
class StopRequest:
    """Whether this process was asked to stop.

    Attributes:
        by: Name of the signal that came, None before.
    """

    by: str | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        """The signal handler: take note and go on."""
        self.by = signal.Signals(number).name


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Listen for `SIGNALS` while the block runs.

    Only the main thread of a process may do so; elsewhere the request never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
