"""Files and directories that are either whole or not there."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from radnet.errors import RadnetError, UsageError


def require_new_directory(path: Path, *, overwrite: bool = False, replaceable: bool = True) -> None:
    """Refuse an output path that exists.

    Args:
        path: Where something shall be made.
        overwrite: Whether the user asked to replace what is there.
        replaceable: Whether the command has --overwrite, so that the message may name it.

    Raises:
        UsageError: `path` exists and `overwrite` was not asked for, or it is no directory.
    """
    if path.exists() and not path.is_dir():
        raise UsageError("The output path is a file, a directory is needed", file=path, fix="Choose another path")
    if path.exists() and not overwrite and any(path.iterdir()):
        raise UsageError(
            "The output directory exists and is not empty",
            file=path,
            fix="Choose another path" + (", or give --overwrite to replace it" if replaceable else ""),
        )


def require_directory(path: Path, what: str) -> None:
    """Refuse an input path that is missing or no directory.

    Args:
        path: The path that was given.
        what: What it should be, for the message ("an archive of scans").

    Raises:
        UsageError: There is no such directory.
    """
    if not path.exists():
        raise UsageError(f"No such directory; {what} was expected", file=path, fix="Check the path")
    if not path.is_dir():
        raise UsageError(f"This is a file; {what} was expected", file=path, fix="Give the directory that holds it")


@contextmanager
def new_directory(path: Path, *, overwrite: bool = False, replaceable: bool = True) -> Iterator[Path]:
    """Fill a directory under a temporary name beside `path`; rename it when the block ends well.

    When the block raises, the temporary directory is removed and `path` is untouched, so a later command never
    takes half a result for a whole one.

    Args:
        path: Final directory; it must not exist (or be empty) unless `overwrite`.
        overwrite: Replace an existing directory, after the new one is complete.
        replaceable: As for `require_new_directory`.

    Yields:
        The temporary directory to write into.

    Raises:
        UsageError: `path` exists and is not empty.
        RadnetError: The disk is full.
    """
    require_new_directory(path, overwrite=overwrite, replaceable=replaceable)
    path = path.resolve()  # a link stays, what it points to is replaced
    if path.is_mount():
        raise UsageError(
            "A mounted directory cannot be replaced in one step", file=path, fix=f"Give a path in it: {path}/NAME"
        )
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        partial.chmod(0o755)
    try:
        with explained_disk_errors(path):
            yield partial
            move_into_place(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def move_into_place(partial: Path, path: Path) -> None:
    """Rename a finished directory to its final name; an older one stays until the new one stands there.

    Args:
        partial: The finished directory, on the file system of `path`.
        path: Its final name; what lies there is replaced.
    """
    if not path.exists():
        partial.rename(path)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent)) / "old"
    path.rename(aside)
    try:
        partial.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


@contextmanager
def explained_disk_errors(path: Path, kept: str = "nothing was kept of the unfinished output") -> Iterator[None]:
    """Turn a full disk, a quota, a size limit or a missing permission into an error that says so.

    Args:
        path: What is being written.
        kept: What becomes of what was written so far.

    Raises:
        RadnetError: The operating system refused to write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RadnetError(
                f"The disk is full, {kept}",
                file=path,
                fix="Free some space or choose an output on another disk, then run the command again",
            ) from error
        if error.errno == errno.EFBIG:
            raise RadnetError(
                f"A file would become larger than this account or file system allows, {kept}",
                file=path,
                fix="Raise the limit (ulimit -f) or choose an output on another disk, then run the command again",
            ) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise UsageError("A part of this path is a file", file=path, fix="Choose another path") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RadnetError("No permission to write here", file=path, fix="Choose another output path") from error
        raise


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Fill a file under a temporary name; when the block ends well, flush it to disk and rename it to `path`.

    When the block raises, the temporary file is removed and `path` is untouched. A process that is killed leaves a
    file named `.NAME.…` behind.

    Args:
        path: Final name.
        mode: Permissions, before the umask.

    Yields:
        The temporary file, open for writing.

    Raises:
        RadnetError: The disk is full or not writable.
    """
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(mode & ~umask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_atomically(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Write a file under a temporary name, flush it to disk, then rename it to `path`.

    Raises:
        RadnetError: The disk is full or not writable.
    """
    with atomic_file(path, mode=mode) as file:
        file.write(data.encode() if isinstance(data, str) else data)


FLUSH_BYTES = 1 << 24
"""Bytes after which a long file is sent on to the disk."""


class HashingFile:
    """A new file whose SHA-256 is known when the last byte is written, without reading it again.

    What is written goes to the disk meanwhile, in a thread, so that little is left for which `finish` must wait.

    Args:
        file: Opened for writing, empty.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, "flush")
        self._flush: Future[None] | None = None
        self._unflushed = 0

    def write(self, data: bytes) -> int:
        """Append some bytes."""
        self._digest.update(data)
        self._unflushed += len(data)
        if self._unflushed > FLUSH_BYTES and (self._flush is None or self._flush.done()):
            self._wait()
            self._unflushed = 0
            self._flush = self._thread.submit(os.fsync, self._file.fileno())
        return self._file.write(data)

    def tell(self) -> int:
        """Bytes so far."""
        return self._file.tell()

    def finish(self) -> tuple[Path, str]:
        """Flush to the disk and close.

        Returns:
            The path, and the SHA-256 of what was written as 64 hex digits.

        Raises:
            OSError: Not all of it came to the disk.
        """
        self._file.flush()
        self._wait()
        os.fsync(self._file.fileno())
        self.close()
        return Path(self._file.name), self._digest.hexdigest()

    def close(self) -> None:
        """Close a file that is not to be finished."""
        self._thread.shutdown()
        self._file.close()

    def _wait(self) -> None:
        if self._flush is not None:
            self._flush.result()
