"""The two parquet tables of a set. Their columns have one type each, whatever the scans tell or leave out."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from radnet.hashing import canonical_json, sha256_of_file
from radnet.scans.sources import Reject
from radnet.shards.manifest import TableFile

LABEL_PREFIX = "label_"
MEMBERS = ("image", "mask", "json")
"""What a sample may consist of; `mask` is missing where the scan has none."""

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

INDEX_COLUMNS: Mapping[str, pa.DataType] = {
    "key": _TEXT,
    "shard": _TEXT,
    **{f"{member}_{what}": _WHOLE for member in MEMBERS for what in ("offset", "bytes", "crc32")},
    "series_key": _TEXT,
    "patient_key": _TEXT,
    "split": _TEXT,
    "modality": _TEXT,
    "body_region": _TEXT,
    "region_source": _TEXT,
    "slice": _WHOLE,
    "slices": _WHOLE,
    "z_mm": _REAL,
    "rows": _WHOLE,
    "columns": _WHOLE,
    "image_format": _TEXT,
    "spacing_z_mm": _REAL,
    "spacing_y_mm": _REAL,
    "spacing_x_mm": _REAL,
    "slice_thickness_mm": _REAL,
    "kernel": _TEXT,
    "kvp": _REAL,
    "manufacturer": _TEXT,
    "contrast": _FLAG,
    "source": _TEXT,
    "lossy": _FLAG,
    "synthetic": _FLAG,
    "notes": _TEXT,
    "content_hash": _TEXT,
}
"""Columns of `index.parquet` and their types; a text column for every label follows. `shards/README.md` explains."""

_PLACES = {"shard", *(f"{member}_{what}" for member in MEMBERS for what in ("offset", "bytes", "crc32"))} - {
    "mask_crc32"
}

REJECT_COLUMNS: Mapping[str, pa.DataType] = {
    "file_key": _TEXT,
    "reason": _TEXT,
    "sentence": _TEXT,
    "files": _WHOLE,
    "slices": _WHOLE,
}
"""Columns of `rejects.parquet`: never the path of a file, which may name a patient."""


def write_fragment(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of one shard; they are on the disk when it returns, for a build goes on from them.

    Args:
        rows: Keys are the names of columns, absent ones are null.
        path: Where to.

    Raises:
        ValueError: A row holds something that is no column.
    """
    labels = sorted({name for row in rows for name in row if name.startswith(LABEL_PREFIX)})
    columns = {**INDEX_COLUMNS, **dict.fromkeys(labels, _TEXT)}
    unknown = {name for row in rows for name in row} - set(columns)
    if unknown:
        raise ValueError(f"not columns of the index: {sorted(unknown)}")
    _write(rows, columns, path)


def write_index(fragments: Sequence[Path], path: Path) -> TableFile:
    """Join fragments into `index.parquet`, one row a sample in the order of the shards, one row group a shard.

    Args:
        fragments: Files of `write_fragment`, in order. Of the labels each holds only those that its rows have.
        path: Where to.
    """
    labels = {name for part in fragments for name in pq.read_schema(part).names if name.startswith(LABEL_PREFIX)}
    schema = pa.schema([*INDEX_COLUMNS.items(), *((name, _TEXT) for name in sorted(labels))])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in fragments:
            table = pq.read_table(part)
            rows += len(table)
            for name in labels - set(table.column_names):
                table = table.append_column(name, pa.nulls(len(table), _TEXT))
            writer.write_table(table.select(schema.names), row_group_size=max(len(table), 1))
    _flush(path)
    return TableFile(file=path.name, rows=rows, sha256=sha256_of_file(path))


def rows_of(fragments: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The rows of fragments, one after another; one fragment is in memory at a time."""
    for part in fragments:
        yield from pq.read_table(part).to_pylist()


def content_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of what a set holds: every column of the index but those that say where a sample lies.

    Args:
        rows: Keys are the names of columns, in the order of the samples.

    Returns:
        64 hex digits; the same for the same samples under other file names, shard sizes or table versions.
    """
    digest = hashlib.sha256()
    for row in rows:
        held = {name: value for name, value in row.items() if name not in _PLACES and value is not None}
        digest.update(canonical_json(held).encode() + b"\n")
    return digest.hexdigest()


def write_rejects(rejects: Iterable[Reject], path: Path) -> TableFile:
    """Write `rejects.parquet`, sorted by reason and file key, without paths."""
    ordered = sorted(rejects, key=lambda reject: (reject.reason, reject.file_key))
    return _write(
        [{name: getattr(reject, name) for name in REJECT_COLUMNS} for reject in ordered], REJECT_COLUMNS, path
    )


def _write(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pa.DataType], path: Path) -> TableFile:
    arrays = [pa.array([row.get(name) for row in rows], type=kind) for name, kind in columns.items()]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))
    pq.write_table(table, path, compression="zstd")
    _flush(path)
    return TableFile(file=path.name, rows=len(rows), sha256=sha256_of_file(path))


def _flush(path: Path) -> None:
    """Let a closed file survive a loss of power: the step or the manifest that is written next vouches for it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
