"""Writing samples into plain webdataset tars whose bytes depend on the samples alone."""

import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from radnet.files import HashingFile
from radnet.shards.manifest import ShardFile
from radnet.shards.sample import DEFAULT_SHARD_BYTES, Sample
from radnet.shards.tables import write_fragment

KEY_DIGITS = 9
OWNER = "radnet"
_BUFFER_BYTES = 1 << 20


class ShardWriter:
    """Writes `NAME-000000.tar`, …; a new one begins when the next sample would make the file larger than allowed.

    Tars have mtime 0, one owner and sorted members, so that identical samples give identical bytes. Offsets of
    members are where the tar stands after each of them. The index rows of a closed shard go to a file of
    their own (a fragment), so that memory does not grow with the set. As a context manager it lets go of its file
    when the block raises; the open shard is then worth nothing.

    Args:
        directory: Directory of the shards.
        name: Name of the set.
        fragments: Directory of the fragments, which `tables.write_index` joins in the end.
        shard_bytes: Largest size of a shard's file.
        finished: Shards that are there already, with their fragments; the writer goes on behind them.
        on_shard: Called after a shard and its fragment are closed and on the disk.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        fragments: Path,
        shard_bytes: int = DEFAULT_SHARD_BYTES,
        *,
        finished: Sequence[ShardFile] = (),
        on_shard: Callable[[ShardFile], None] = lambda _: None,
    ) -> None:
        self._directory, self._name, self._fragments, self._shard_bytes = directory, name, fragments, shard_bytes
        self._on_shard = on_shard
        self._tar: tarfile.TarFile | None = None
        self._file: HashingFile | None = None
        self._rows_of_shard: list[dict[str, Any]] = []
        self._blocks_of_shard = 0
        self._samples_before = sum(shard.samples for shard in finished)
        self.shards: list[ShardFile] = list(finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tar is not None:  # unfinished: an error is on its way, and a full disk must not raise another one
            for opened in (self._tar, self._file):
                with suppress(OSError):
                    opened.close()  # type: ignore[union-attr]
            self._tar = None

    def __len__(self) -> int:
        """Samples so far."""
        return self._samples_before + len(self._rows_of_shard)

    def add(self, sample: Sample) -> None:
        """Append one sample under the next running number."""
        key = f"{len(self):0{KEY_DIGITS}d}"
        members = {f"image.{sample.row['image_format']}": sample.image}
        if sample.mask is not None:
            members["mask.b2nd"] = sample.mask
        members["json"] = json.dumps({"key": key, **sample.row}, sort_keys=True, ensure_ascii=False).encode()
        blocks = _tar_blocks(members.values())
        full = self._rows_of_shard and _tar_bytes(self._blocks_of_shard + blocks) > self._shard_bytes
        if self._tar is None or full:
            self._next_shard()
        row = {"key": key, **sample.row, "shard": self._path.name}
        for name in sorted(members):
            row |= _write_member(self._tar, f"{key}.{name}", members[name])  # type: ignore[arg-type]
        self._rows_of_shard.append(row)
        self._blocks_of_shard += blocks

    def close(self) -> None:
        """Finish the last shard."""
        self._finish_shard()

    @property
    def _path(self) -> Path:
        """File of the open shard."""
        return self._directory / f"{self._name}-{len(self.shards):06d}.tar"

    def _next_shard(self) -> None:
        self._finish_shard()
        self._file = HashingFile(self._path.open("wb", buffering=_BUFFER_BYTES))
        # the bytes of webdataset.TarWriter, whose tar cuts members into pieces of 10 KiB, which takes quite a while
        self._tar = tarfile.TarFile(
            fileobj=self._file,  # type: ignore[arg-type]
            mode="w",
            format=tarfile.USTAR_FORMAT,
            copybufsize=_BUFFER_BYTES,
        )

    def _finish_shard(self) -> None:
        if self._tar is None or self._file is None:
            return
        self._tar.close()
        path, sha256 = self._file.finish()
        self._tar = None
        rows = self._rows_of_shard
        write_fragment(rows, fragment_path(self._fragments, len(self.shards)))
        shard = ShardFile(file=path.name, bytes=path.stat().st_size, samples=len(rows), sha256=sha256)
        self.shards.append(shard)
        self._samples_before += len(rows)
        self._rows_of_shard, self._blocks_of_shard = [], 0
        self._on_shard(shard)


def fragment_path(directory: Path, shard: int) -> Path:
    """File of the index rows of one shard while the set is not finished."""
    return directory / f"rows-{shard:06d}.parquet"


def _write_member(tar: tarfile.TarFile, path: str, data: bytes) -> dict[str, int]:
    """Append one file; returns the columns of the index that say where it lies and what it holds."""
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.uname, member.gname = len(data), 0o444, OWNER, OWNER
    tar.addfile(member, io.BytesIO(data))
    kind, padding = _kind(path.partition(".")[2]), -len(data) % tarfile.BLOCKSIZE
    return {
        f"{kind}_offset": tar.offset - padding - len(data),
        f"{kind}_bytes": len(data),
        f"{kind}_crc32": zlib.crc32(data),
    }


def _kind(member: str) -> str:
    """`image.b2nd` -> `image`."""
    return member.partition(".")[0]


def _tar_blocks(members: Iterable[bytes]) -> int:
    """Blocks of 512 bytes that members take in a tar: a header each, and their padded data."""
    return sum(1 + -(-len(data) // tarfile.BLOCKSIZE) for data in members)


def _tar_bytes(blocks: int) -> int:
    """Size of a tar with so many blocks: two empty ones end it, and records of 20 blocks fill it up."""
    return -(-(blocks + 2) * tarfile.BLOCKSIZE // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
