"""Sets that are not on this machine: http through urllib, anything else through a webdataset `pipe:` command.

The manifest comes first, then the index by its hash, then shards when a sample of them is read, each checked against
the hash in the manifest. Every read has a time limit, so that a stalled transfer ends; a few tries, then an error.
"""

import hashlib
import http.client
import os
import select
import shlex
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import webdataset as wds

from radnet.console import say, warn
from radnet.errors import RadnetError, UsageError
from radnet.files import write_atomically
from radnet.shards.cache import Cache, cache_directory, require_hash
from radnet.shards.manifest import MANIFEST, Manifest, ShardFile, read_manifest
from radnet.shards.shard_set import ShardSet

PIECE_BYTES = 1 << 20
MAX_TABLE_BYTES = 16 << 30
MAX_MANIFEST_BYTES = 256 << 20
SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Remote:
    """Files of one set somewhere else.

    Attributes:
        url: `http(s)://…/set`, or `pipe:` with `{file}`.
        stall_s: A transfer that brings nothing for so long is stopped.
        tries: Times that a file is asked for.
        pause_s: Pause before the second try; it doubles.
    """

    url: str
    stall_s: float = 20.0
    tries: int = 3
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith("pipe:"):
            _require_address(self.url)

    def fetch(self, name: str, path: Path, *, most_bytes: int, sha256: str | None = None) -> None:
        """Write the file `name` of the set to `path`.

        Args:
            name: A plain name.
            path: Where to; removed again when it fails.
            most_bytes: A longer transfer is a wrong file.
            sha256: What it must be.

        Raises:
            RadnetError: Every try failed; a line said why each did.
        """
        for number in range(1, self.tries + 1):
            try:
                self._copy(name, path, most_bytes)
                if sha256 is not None:
                    require_hash(path, sha256)
                return
            except (OSError, http.client.HTTPException, RadnetError) as error:
                path.unlink(missing_ok=True)
                if number == self.tries:
                    raise RadnetError(
                        f"{name} could not be fetched, tried {self.tries} times: {error}",
                        file=shown(self.url),
                        fix="Check the address and the connection; a run goes on where it was",
                    ) from error
                warn(f"{name} could not be fetched ({error}), try {number + 1} of {self.tries} follows")
                time.sleep(self.pause_s * 2 ** (number - 1))

    def _copy(self, name: str, path: Path, most_bytes: int) -> None:
        got, last_s = 0, time.monotonic()
        with path.open("wb") as file:
            for piece in self._pieces(name):
                got += len(piece)
                if got > most_bytes:
                    raise RadnetError(f"the file is longer than {most_bytes} bytes")
                file.write(piece)
                if time.monotonic() - last_s >= SAY_EVERY_S:
                    last_s = time.monotonic()
                    say(f"fetching {name}: {got / 2**20:.0f} MiB")

    def _pieces(self, name: str) -> Iterator[bytes]:
        return self._from_pipe(name) if self.url.startswith("pipe:") else self._from_http(name)

    def _from_http(self, name: str) -> Iterator[bytes]:
        url = f"{self.url.rstrip('/')}/{urllib.parse.quote(name)}"
        with urllib.request.urlopen(url, timeout=self.stall_s) as answer:  # noqa: S310 - only http(s) comes here
            expected = answer.headers.get("Content-Length")
            got = 0
            while piece := answer.read1(PIECE_BYTES):
                got += len(piece)
                yield piece
            if expected is not None and got != int(expected):
                raise ConnectionError(f"the connection was dropped after {got} of {expected} bytes")

    def _from_pipe(self, name: str) -> Iterator[bytes]:
        with wds.gopen(self.url.replace("{file}", shlex.quote(name))) as pipe:
            pipe.ignore_errors = True  # webdataset's error holds the command, and that may hold a password
            descriptor = pipe.stream.fileno()
            try:
                while True:
                    if not select.select([descriptor], [], [], self.stall_s)[0]:
                        raise TimeoutError(f"nothing came for {self.stall_s:g} s")
                    piece = os.read(descriptor, PIECE_BYTES)
                    if not piece:
                        break
                    yield piece
            except BaseException:
                pipe.proc.kill()
                raise
        if pipe.status not in pipe.ignore_status:
            raise ConnectionError(f"the command ended with exit code {pipe.status}")


class RemoteShardSet(ShardSet):
    """A `ShardSet` whose shards come through a cache; tables and manifest lie in `path`."""

    def __init__(self, path: Path, manifest: Manifest, remote: Remote, cache: Cache) -> None:
        super().__init__(path, manifest)
        self.remote, self.cache = remote, cache

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "remote": self.remote, "cache": self.cache}

    def _bytes(self, shard: ShardFile, offset: int, size: int) -> bytes:
        descriptor = self.cache.open(
            shard.sha256,
            shard.bytes,
            lambda path: self.remote.fetch(shard.file, path, most_bytes=shard.bytes, sha256=shard.sha256),
        )
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)

    def _shard_path(self, shard: ShardFile) -> Path:
        return self.cache.path(shard.sha256)


def open_remote(url: str, cache: Path | None, cache_bytes: int, **limits: float) -> RemoteShardSet:
    """Open a set that is not local; see `ShardSet.open`.

    Args:
        url: Where the set lies.
        cache: Directory of the cache, or None for the usual one.
        cache_bytes: Most bytes of shards in it.
        limits: `stall_s`, `tries` and `pause_s` of `Remote`.

    Raises:
        UsageError: The address or the limit cannot work, or there is no set.
        RadnetError: A file cannot be fetched.
    """
    if url.startswith("pipe:") and "{file}" not in url:
        raise UsageError("A pipe: address needs {file}", seen=shown(url), fix="For example pipe:cat /sets/ct/{file}")
    directory = cache_directory(cache)
    remote = Remote(url, **limits)  # type: ignore[arg-type]
    (directory / "incoming").mkdir(parents=True, exist_ok=True)
    # a name of its own: process numbers are the same in containers that share a cache, and in threads
    with tempfile.TemporaryDirectory(dir=directory / "incoming", ignore_cleanup_errors=True) as incoming:
        home, manifest = _tables(remote, Path(incoming), directory, cache_bytes)
    return RemoteShardSet(home, manifest, remote, Cache(directory, cache_bytes))


def _tables(remote: Remote, incoming: Path, directory: Path, cache_bytes: int) -> tuple[Path, Manifest]:
    """Fetch manifest and tables through `incoming`; returns the directory of the cache where they lie then."""
    url = remote.url
    remote.fetch(MANIFEST, incoming / MANIFEST, most_bytes=MAX_MANIFEST_BYTES)
    manifest = read_manifest(incoming, shown_as=f"{MANIFEST} of {shown(url)}")
    for name in (manifest.index.file, manifest.rejects.file, *(shard.file for shard in manifest.shards)):
        if Path(name).name != name or "\\" in name or name in ("", ".", "..", MANIFEST):
            raise UsageError("The manifest names a file outside its directory", seen=name, file=shown(url))
    largest = max((shard.bytes for shard in manifest.shards), default=0)
    if largest > cache_bytes:
        raise UsageError(
            f"The cache may hold {cache_bytes} bytes and the largest shard has {largest}",
            file=directory,
            fix=f"Allow at least {largest} bytes",
        )
    text = (incoming / MANIFEST).read_bytes()
    home = directory / "sets" / hashlib.sha256(text).hexdigest()[:32]
    home.mkdir(parents=True, exist_ok=True)
    for table in (manifest.index, manifest.rejects):
        if not (home / table.file).is_file():
            remote.fetch(table.file, incoming / table.file, most_bytes=MAX_TABLE_BYTES, sha256=table.sha256)
            (incoming / table.file).replace(home / table.file)
    write_atomically(home / MANIFEST, text)
    return home, manifest


def shown(url: str) -> str:
    """An address without what may be a secret: the words of a command behind its first, the query of a URL."""
    if url.startswith("pipe:"):
        command = url.split()[0]
        return "pipe:…" if "=" in command else f"{command} …"
    address, mark, _ = url.partition("?")
    return f"{address}?…" if mark else address


def _require_address(url: str) -> None:
    """Refuse an address that urllib cannot use; what is refused is not shown, for a password may stand in it.

    Raises:
        UsageError: It holds a user or a password, or has no host or no port that is a number.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            "The address of a set cannot be read (it is not shown: it may hold a password)",
            fix="It has the form http://HOST/SET or http://HOST:PORT/SET",
        )
    if "@" in parts.netloc:
        raise UsageError(
            "An address of a set holds no user and no password",
            file=f"{parts.scheme}://…@{parts.netloc.rpartition('@')[2]}{parts.path}",
            fix="Keep them in ~/.netrc and read the set through pipe:curl -sf --netrc https://HOST/SET/{file}",
        )
