"""Locks between processes, held by files: who waits says so, and who dies lets go."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from radnet.console import say
from radnet.errors import UsageError
from radnet.files import explained_disk_errors

SAY_EVERY_S = 10.0


@contextmanager
def waiting_lock(path: Path, what: str, *, patience_s: float = math.inf) -> Iterator[None]:
    """Hold a lock for a block; wait for another process that holds it, and say so.

    The file goes away with the lock.

    Args:
        path: The lock's file.
        what: What the other process makes, in words.
        patience_s: So long is waited, for ever by default.

    Raises:
        UsageError: The other process still holds it after that time.
        RadnetError: No permission to write here, or the disk is full.
    """
    lock = FileLock(path)
    waited_s = 0.0
    while True:
        try:
            with explained_disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=min(SAY_EVERY_S, patience_s))
        except Timeout:
            waited_s += min(SAY_EVERY_S, patience_s)
            if waited_s >= patience_s:
                raise UsageError(
                    f"Another process makes {what}", file=path.parent, fix="Wait until it has ended, or end it"
                ) from None
            say(f"waiting for another process that makes {what} ({waited_s:.0f} s)")
        else:
            break
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock for a block if nobody else does; says whether it is held. The file goes away with the lock.

    Args:
        path: The lock's file.

    Raises:
        RadnetError: No permission to write here, or the disk is full.
    """
    lock = FileLock(path, timeout=0)
    try:
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        lock.release()
