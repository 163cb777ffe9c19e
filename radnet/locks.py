"""Locks between processes, held by files: who waits says so, and who dies lets go."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from radnet.console import say
from radnet.files import explained_disk_errors

SAY_EVERY_S = 10.0


@contextmanager
def waiting_lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock for a block; wait for another process that holds it, and say so.

    The file goes away with the lock.

    Args:
        path: The lock's file.
        what: What the other process makes, in words.

    Raises:
        RadnetError: No permission to write here, or the disk is full.
    """
    lock = FileLock(path)
    waited_s = 0.0
    while True:
        try:
            with explained_disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=SAY_EVERY_S)
        except Timeout:
            waited_s += SAY_EVERY_S
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
