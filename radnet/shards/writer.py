"""Writing samples into plain webdataset tars whose bytes depend on the samples alone."""

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import webdataset as wds

from radnet.hashing import sha256_of_file
from radnet.shards.manifest import ShardFile

DEFAULT_SHARD_BYTES = 256 * 2**20
KEY_DIGITS = 9


@dataclass(frozen=True)
class Sample:
    """One slice, ready to be written.

    Attributes:
        image: Encoded HU slice (`.image.b2nd`).
        mask: Encoded mask slice (`.mask.b2nd`), or None.
        row: What the index and the `.json` member say of it, JSON values only.
    """

    image: bytes
    mask: bytes | None
    row: Mapping[str, Any]


class ShardWriter:
    """Writes `NAME-000000.tar`, …; a new one begins when the next sample would make it larger than allowed.

    Tars have mtime 0, one owner and sorted members, so that identical samples give identical bytes. Offsets of
    every member are read back from the finished tar, not computed.
    """

    def __init__(self, directory: Path, name: str, shard_bytes: int = DEFAULT_SHARD_BYTES) -> None:
        self._directory, self._name, self._shard_bytes = directory, name, shard_bytes
        self._open: wds.TarWriter | None = None
        self._file: Any = None
        self._rows: list[dict[str, Any]] = []
        self._rows_of_shard: list[dict[str, Any]] = []
        self._size = 0
        self.shards: list[ShardFile] = []

    def add(self, sample: Sample) -> None:
        """Append one sample under the next running number."""
        payload = len(sample.image) + len(sample.mask or b"")
        if self._open is None or (self._rows_of_shard and self._size + payload > self._shard_bytes):
            self._next_shard()
        key = f"{len(self._rows) + len(self._rows_of_shard):0{KEY_DIGITS}d}"
        members: dict[str, Any] = {"__key__": key, "image.b2nd": sample.image}
        if sample.mask is not None:
            members["mask.b2nd"] = sample.mask
        members["json"] = json.dumps({"key": key, **sample.row}, sort_keys=True, ensure_ascii=False).encode()
        self._open.write(members)  # type: ignore[union-attr]
        self._rows_of_shard.append({"key": key, **sample.row})
        self._size += payload

    def close(self) -> list[dict[str, Any]]:
        """Finish the last shard.

        Returns:
            One index row a sample: its own row, `key`, `shard`, and `<member>_offset` and `<member>_bytes`.
        """
        self._finish_shard()
        return self._rows

    def _next_shard(self) -> None:
        self._finish_shard()
        path = self._directory / f"{self._name}-{len(self.shards):06d}.tar"
        self._file = path.open("wb")
        self._open = wds.TarWriter(self._file, user="radnet", group="radnet", mode=0o444, mtime=0, encoder=False)

    def _finish_shard(self) -> None:
        if self._open is None:
            return
        self._open.close()
        self._file.close()
        self._open, path = None, Path(self._file.name)
        offsets = _member_offsets(path)
        for row in self._rows_of_shard:
            self._rows.append({**row, "shard": path.name, **offsets[row["key"]]})
        self.shards.append(
            ShardFile(
                file=path.name,
                bytes=path.stat().st_size,
                samples=len(self._rows_of_shard),
                sha256=sha256_of_file(path),
            )
        )
        self._rows_of_shard, self._size = [], 0


def _member_offsets(path: Path) -> dict[str, dict[str, int]]:
    """Key -> {"image_offset": …, "image_bytes": …, …} of every member of a tar."""
    offsets: dict[str, dict[str, int]] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            kind = extension.partition(".")[0]
            offsets.setdefault(key, {}).update({f"{kind}_offset": member.offset_data, f"{kind}_bytes": member.size})
    return offsets


def content_hash_of(raw: bytes, shape: tuple[int, ...]) -> str:
    """Hash of a slice's values and shape, 32 hex digits: equal for equal pixels, whatever codec stores them."""
    return hashlib.sha256(repr(shape).encode() + raw).hexdigest()[:32]
