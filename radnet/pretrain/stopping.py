"""Leaving in good order: SIGTERM and SIGUSR1 end a run after the step at hand, with a checkpoint.

Slurm sends one of them before a job's time is over (`--signal`); the exit code tells it that the job may be queued
again. Under torchrun the code is torchrun's own, so the run also leaves `stopped.json` in its directory, which is
there exactly while a stopped run waits to be continued.

torchrun that is killed takes nobody along: its processes would train on, unseen, beside those of the next start. They
look whether it is still there, and leave in the same way.
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
LOOK_EVERY_S = 0.5


class StoppedError(RadnetError):
    """The run was asked to stop, and saved where it stands."""

    exit_code = EXIT_CODE_STOPPED


@dataclass
class StopRequest:
    """Whether this process was asked to stop.

    Attributes:
        by: Name of the signal that came, or what else it was, in words; None before.
    """

    by: str | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        """The signal handler: take note and go on."""
        self.by = signal.Signals(number).name


@contextmanager
def listening(launcher: int | None = None) -> Iterator[StopRequest]:
    """Listen for `SIGNALS`, and for the end of torchrun, while the block runs.

    Only the main thread of a process may listen for signals; elsewhere none comes.

    Args:
        launcher: Process number of the torchrun that started this process, None where none did.
    """
    request, over = StopRequest(), threading.Event()
    if launcher is not None:
        threading.Thread(target=_look, args=(launcher, request, over), daemon=True).start()
    try:
        with _signals_to(request):
            yield request
    finally:
        over.set()


def _look(launcher: int, request: StopRequest, over: threading.Event) -> None:
    """Whoever loses the process that started it gets another parent."""
    while not over.wait(LOOK_EVERY_S):
        if os.getppid() != launcher:
            request.by = request.by or "the end of its torchrun"
            return


@contextmanager
def _signals_to(request: StopRequest) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
