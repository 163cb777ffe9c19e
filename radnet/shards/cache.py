"""A local cache of shards by the hash of their bytes, shared by any number of processes and sets.

One process fetches at a time, under a lock, so that the limit holds for all of them together. The shard that was not
used for longest goes first. A reader opens a shard for one read only: a file that is removed meanwhile stays
readable until it is closed.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from radnet.console import say
from radnet.errors import RadnetError
from radnet.files import explained_disk_errors
from radnet.hashing import sha256_of_file

DEFAULT_CACHE_BYTES = 100 * 2**30
SAY_EVERY_S = 10.0


def cache_directory(given: Path | None = None) -> Path:
    """The argument, else RADNET_CACHE, else the platform's directory for caches of this user."""
    if given is not None:
        return given
    if named := os.environ.get("RADNET_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "radnet"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "radnet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radnet"


@dataclass(frozen=True)
class Cache:
    """See the module.

    Attributes:
        directory: Where it lies.
        limit_bytes: Shards take no more than this, the one under way included.
    """

    directory: Path
    limit_bytes: int = DEFAULT_CACHE_BYTES

    def path(self, sha256: str) -> Path:
        """Where a shard of this hash lies when it is there."""
        return self.directory / "shards" / f"{sha256}.tar"

    def open(self, sha256: str, size: int, fetch: Callable[[Path], None]) -> int:
        """A descriptor of a whole, verified shard; the caller closes it.

        Args:
            sha256: Hash of its bytes.
            size: Its bytes.
            fetch: Writes it to a path that does not exist yet.

        Raises:
            RadnetError: What was fetched has another hash, or the disk is full.
        """
        descriptor = self._opened(sha256)
        if descriptor is not None:
            return descriptor
        with explained_disk_errors(self.directory):
            self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
            lock = self._locked()
            try:
                descriptor = self._opened(sha256)
                if descriptor is not None:  # another process fetched it meanwhile
                    return descriptor
                self._make_room(size)
                partial = self.path(sha256).with_suffix(".partial")
                try:
                    fetch(partial)
                    require_hash(partial, sha256)
                    # opened under the lock: no other process can remove it in between
                    descriptor = os.open(partial, os.O_RDONLY)
                    partial.replace(self.path(sha256))
                finally:
                    partial.unlink(missing_ok=True)
                return descriptor
            finally:
                lock.release()

    def _opened(self, sha256: str) -> int | None:
        path = self.path(sha256)
        try:
            descriptor = os.open(path, os.O_RDONLY)
            os.utime(path)
        except FileNotFoundError:
            return None
        return descriptor

    def _locked(self) -> FileLock:
        lock = FileLock(self.directory / "shards.lock")
        waited_s = 0.0
        while True:
            try:
                lock.acquire(timeout=SAY_EVERY_S)
            except Timeout:
                waited_s += SAY_EVERY_S
                say(f"waiting for another process that fetches a shard ({waited_s:.0f} s)")
            else:
                return lock

    def _make_room(self, size: int) -> None:
        """Under the lock, whatever is partial was left by a process that died."""
        found = []
        for path in self.path("x").parent.iterdir():
            if path.suffix == ".partial":
                path.unlink(missing_ok=True)
            else:
                found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        held = sum(bytes_ for _, bytes_, _ in found)
        for _, bytes_, path in sorted(found):
            if held + size <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            held -= bytes_


def require_hash(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one of the manifest.

    Raises:
        RadnetError: Its hash differs.
    """
    if sha256_of_file(path) != sha256:
        raise RadnetError(
            "Another file came than the manifest names (sha256)",
            file=path.name,
            fix="Publish the set again: its files and its manifest do not belong together",
        )
