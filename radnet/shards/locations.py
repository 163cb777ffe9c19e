"""Where the members of a set lie, as compact arrays: what a stream needs of the index, and nothing else of it.

A row costs 21 bytes for its image and one for its split, so 12 million slices take 264 MB, shared by forked workers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.shards.manifest import Manifest
from radnet.shards.splits import SPLITS

IMAGE_FORMATS = ("b2nd", "jpg", "png")
ROWS_A_READ = 1 << 16
MAX_MEMBER_BYTES = 2**31 - 1
COPY_AGAIN = "Copy the set again from its source, or build it again"


@dataclass(frozen=True)
class Locations:
    """Where one kind of member lies, one entry a row of the index.

    Attributes:
        shard: int32, number of the shard in the manifest.
        offset: int64, first byte in the shard; -1 where a sample has no such member.
        size: int32, bytes.
        crc32: uint32, of these bytes.
        format: uint8, position in `IMAGE_FORMATS`; 0 for masks.
    """

    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int32]
    crc32: NDArray[np.uint32]
    format: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """Memory of all arrays in bytes."""
        return sum(part.nbytes for part in (self.shard, self.offset, self.size, self.crc32, self.format))


def read_locations(file: Path, manifest: Manifest, member: str) -> Locations:
    """Locations of "image" or "mask" from the index.

    Args:
        file: The index; its hash has been checked.
        manifest: Says which shards there are and how large they are.
        member: "image" or "mask".

    Raises:
        RadnetError: The index names places that cannot be.
    """
    rows = manifest.totals.samples
    found = Locations(
        np.zeros(rows, np.int32),
        np.full(rows, -1, np.int64),
        np.zeros(rows, np.int32),
        np.zeros(rows, np.uint32),
        np.zeros(rows, np.uint8),
    )
    offset, size, crc32 = (f"{member}_{what}" for what in ("offset", "bytes", "crc32"))
    names = pa.array([shard.file for shard in manifest.shards], type=pa.string())
    lengths = np.array([shard.bytes for shard in manifest.shards], dtype=np.int64)
    columns = ["shard", offset, size, crc32]
    if member == "image" and "image_format" in _names(file):
        columns.append("image_format")
    for start, batch in _batches(file, columns, rows):
        part = slice(start, start + batch.num_rows)
        shard = _codes(batch, "shard", names)
        there = np.asarray(batch.column(offset).is_valid())
        if member == "image" and not there.all():
            raise _nonsense(file, "a sample has no image", start + int(np.argmin(there)))
        first, length, checksum = (_whole(batch, name) for name in (offset, size, crc32))
        bounds = lengths[np.maximum(shard, 0)] if len(lengths) else np.zeros_like(first)
        for what, bad in (
            ("the shard is not one of the manifest", shard < 0),
            ("an offset or a size is negative", there & ((first < 0) | (length < 0))),
            ("a sample is larger than any slice", there & (length > MAX_MEMBER_BYTES)),
            # a difference instead of a sum, which could overflow
            ("a sample lies beyond the end of its shard", there & (first > bounds - length)),
            ("a checksum is no CRC-32", there & ((checksum < 0) | (checksum >= 2**32))),
        ):
            if bad.any():
                raise _nonsense(file, what, start + int(np.argmax(bad)))
        found.shard[part], found.crc32[part] = shard, checksum
        found.offset[part], found.size[part] = np.where(there, first, -1), length
        if "image_format" in columns:
            kinds = _codes(batch, "image_format", pa.array(IMAGE_FORMATS))
            if (kinds < 0).any():
                raise _nonsense(file, "an image format is unknown", start + int(np.argmin(kinds)))
            found.format[part] = kinds
    _require_apart(file, found)
    return found


def read_splits(file: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Split of every row as a position in `SPLITS`, uint8.

    Raises:
        RadnetError: A row has another split.
    """
    rows = manifest.totals.samples
    found = np.zeros(rows, np.uint8)
    for start, batch in _batches(file, ["split"], rows):
        codes = _codes(batch, "split", pa.array(SPLITS))
        if (codes < 0).any():
            raise _nonsense(file, "a split is unknown", start + int(np.argmin(codes)))
        found[start : start + batch.num_rows] = codes
    return found


def read_key(file: Path, row: int) -> str:
    """The key of one sample, for a message."""
    return str(pq.read_table(file, columns=["key"]).column("key")[row].as_py())


def _names(file: Path) -> list[str]:
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowException, OSError) as error:
        raise RadnetError("The index is no readable parquet table", file=file, fix=COPY_AGAIN) from error


def _batches(file: Path, columns: list[str], rows: int) -> Any:
    """Pieces of the table with the row that each starts at; a piece at a time, so that no column is held twice."""
    missing = sorted(set(columns) - set(_names(file)))
    if missing:
        raise RadnetError("The index lacks columns", seen=missing, file=file, fix=COPY_AGAIN)
    start = 0
    try:
        with pq.ParquetFile(file) as table:
            if table.metadata.num_rows != rows:
                raise RadnetError(
                    f"The index has {table.metadata.num_rows} rows, the manifest says {rows}", file=file, fix=COPY_AGAIN
                )
            for batch in table.iter_batches(ROWS_A_READ, columns=columns):
                yield start, batch
                start += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise RadnetError("The index cannot be read", file=file, fix=COPY_AGAIN) from error


def _codes(batch: Any, column: str, names: Any) -> NDArray[np.int32]:
    """Position of each text in `names`, -1 where it is none of them."""
    found = pc.index_in(batch.column(column), value_set=names)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int32)


def _whole(batch: Any, column: str) -> NDArray[np.int64]:
    return np.asarray(batch.column(column).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _require_apart(file: Path, found: Locations) -> None:
    """No two members may share bytes. Sets are written in order, so that the sort is rarely needed."""
    rows = np.flatnonzero(found.offset >= 0)
    shard, offset = found.shard[rows], found.offset[rows]
    ordered = (np.diff(shard) > 0) | ((np.diff(shard) == 0) & (np.diff(offset) >= 0))
    if not ordered.all():
        rows = rows[np.lexsort((offset, shard))]
        shard, offset = found.shard[rows], found.offset[rows]
    ends = offset + found.size[rows]
    overlapping = (np.diff(shard) == 0) & (offset[1:] < ends[:-1])
    if overlapping.any():
        raise _nonsense(file, "two samples overlap", int(rows[1 + int(np.argmax(overlapping))]))


def _nonsense(file: Path, what: str, row: int) -> RadnetError:
    return RadnetError(f"The index cannot be right: {what} (row {row})", file=file, fix=COPY_AGAIN)
