"""The two parquet tables of a set. Their columns have one type each, whatever the scans tell or leave out."""

import hashlib
from collections.abc import Iterable, Mapping
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


def write_index(rows: Iterable[Mapping[str, Any]], path: Path) -> TableFile:
    """Write `index.parquet`, one row a sample in the order of the shards.

    Args:
        rows: What `ShardWriter.close` returns; keys are the names of columns, absent ones are null.
        path: Where to.

    Raises:
        ValueError: A row holds something that is no column.
    """
    rows = list(rows)
    labels = sorted({name for row in rows for name in row if name.startswith(LABEL_PREFIX)})
    columns = {**INDEX_COLUMNS, **dict.fromkeys(labels, _TEXT)}
    unknown = {name for row in rows for name in row} - set(columns)
    if unknown:
        raise ValueError(f"not columns of the index: {sorted(unknown)}")
    return _write(rows, columns, path)


def content_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of what a set holds: every column of the index but those that say where a sample lies.

    Args:
        rows: As for `write_index`, in the order of the samples.

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


def _write(rows: list[Mapping[str, Any]], columns: Mapping[str, pa.DataType], path: Path) -> TableFile:
    arrays = [pa.array([row.get(name) for row in rows], type=kind) for name, kind in columns.items()]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))
    pq.write_table(table, path, compression="zstd")
    return TableFile(file=path.name, rows=len(rows), sha256=sha256_of_file(path))
