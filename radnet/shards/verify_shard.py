"""One shard against its rows of the index: every byte, every member, every sample."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from radnet.hashing import sha256_of_file
from radnet.shards.codec import DamagedFrameError
from radnet.shards.manifest import ShardFile
from radnet.shards.pictures import decode_image
from radnet.shards.problems import Problem, quoted
from radnet.shards.rows import content_hash_of
from radnet.shards.tables import MEMBERS
from radnet.shards.verify_tar import Member, walk_tar

DTYPES_OF_MODALITY = {
    "CT": ("int16",),
    "MR": ("uint16",),
    "CR": ("uint16",),
    "DX": ("uint16",),
    "PICTURE": ("uint8", "uint16"),
}
"""Of uint16 a picture is grey, of uint8 grey or RGB."""
_PLACES = {"shard", *(f"{member}_{what}" for member in MEMBERS for what in ("offset", "bytes", "crc32"))}


def verify_shard(directory: Path, shard: ShardFile, index: Path | None) -> list[Problem]:
    """Everything that is wrong with one shard; what a worker does.

    Args:
        directory: Directory of the set.
        shard: What the manifest says of it.
        index: The index, or None where it cannot be read; then the samples are not looked at.
    """
    path = directory / shard.file
    try:
        problems = []
        if sha256_of_file(path) != shard.sha256:
            problems.append(Problem(shard.file, "", "its bytes are not the ones that were written (SHA-256)"))
        members, found = walk_tar(path)
        problems += found
        if index is not None:
            rows = pq.read_table(index, filters=[("shard", "=", shard.file)]).to_pylist()
            problems += _compare_members(rows, members, shard.file)
            problems += _samples(path, rows)
    except (OSError, pa.ArrowException) as error:
        problems.append(Problem(shard.file, "", f"it cannot be read ({type(error).__name__})"))
    return problems


def member_names(row: Mapping[str, Any]) -> dict[str, str]:
    """Kind -> name in the tar of the members that a row of the index says are there."""
    names = {"image": f"image.{row.get('image_format') or 'b2nd'}", "mask": "mask.b2nd", "json": "json"}
    return {kind: f"{row['key']}.{name}" for kind, name in names.items() if row[f"{kind}_offset"] is not None}


def _compare_members(rows: Sequence[Mapping[str, Any]], members: Mapping[str, Member], file: str) -> Iterator[Problem]:
    """What the tar holds against what the index says of it."""
    expected = {}
    for row in rows:
        for kind in ("image", "json"):
            if row[f"{kind}_offset"] is None:
                yield Problem(file, str(row["key"]), f"the index does not say where its {kind} is")
        for kind, name in member_names(row).items():
            expected[name] = (row[f"{kind}_offset"], row[f"{kind}_bytes"])
    for name, (offset, size) in expected.items():
        key, _, kind = name.partition(".")
        if name not in members:
            yield Problem(file, key, f"the index has {quoted(kind)}, the tar does not")
            continue
        found = members[name]
        if found.offset != offset:
            yield Problem(file, key, f"the index says {kind} begins at byte {offset}, in the tar it is {found.offset}")
        if found.size != size:
            yield Problem(file, key, f"the index says {kind} has {size} bytes, in the tar it has {found.size}")
    for name in members.keys() - expected.keys():
        key, _, kind = name.partition(".")
        yield Problem(file, key, f"the tar has {quoted(kind)}, the index does not")


def _samples(path: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for row in rows:
            for what in _sample(descriptor, path.stat().st_size, row):
                yield Problem(path.name, str(row["key"]), what)
    finally:
        os.close(descriptor)


def _sample(descriptor: int, file_bytes: int, row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one sample, at the places that the index names."""
    for kind in member_names(row):
        offset, size = row[f"{kind}_offset"], row[f"{kind}_bytes"]
        if offset < 0 or size is None or size < 0 or offset + size > file_bytes:
            yield f"the index places its {kind} beyond the end of the shard"
            continue
        data = os.pread(descriptor, size, offset)
        if len(data) != size or zlib.crc32(data) != row[f"{kind}_crc32"]:
            yield f"the bytes of its {kind} are not the ones that were written (CRC-32)"
        elif kind == "json":
            yield from _about(data, row)
        else:
            yield from _pixels(kind, data, row)


def _pixels(kind: str, data: bytes, row: Mapping[str, Any]) -> Iterator[str]:
    image_format = (row.get("image_format") or "b2nd") if kind == "image" else "b2nd"
    try:
        pixels = decode_image(data, image_format)
    except DamagedFrameError as error:
        yield f"its {kind} cannot be decoded: {error}"
        return
    if pixels.shape[:2] != (row["rows"], row["columns"]):
        shape = " x ".join(str(side) for side in pixels.shape)
        yield f"its {kind} has {shape} pixels, the index says {row['rows']} x {row['columns']}"
    if kind == "mask":
        if pixels.dtype not in (np.uint8, np.uint16):
            yield f"its mask is {pixels.dtype}, not uint8 or uint16"
        return
    dtypes = DTYPES_OF_MODALITY.get(row["modality"])
    if dtypes is None:
        yield f"its modality is unknown: {quoted(row['modality'])}"
    elif pixels.dtype not in dtypes:
        yield f"its image is {pixels.dtype}, {row['modality']} is stored as {' or '.join(dtypes)}"
    elif pixels.ndim == 3 and pixels.dtype != np.uint8:
        yield f"its image has colours of {pixels.dtype}, which are stored as uint8"
    # the hash of a picture stored as it came is compared by CRC-32 only: decoders of JPEG differ in the last bit
    if image_format == "b2nd" and content_hash_of(pixels) != row["content_hash"]:
        yield "its pixels are not the ones that content_hash stands for"


def _about(data: bytes, row: Mapping[str, Any]) -> Iterator[str]:
    """The `.json` member says what the index says, but for the places."""
    try:
        about = json.loads(data)
    except ValueError:
        about = None
    if not isinstance(about, dict):
        yield "its json cannot be read"
        return
    for name in sorted((about.keys() | row.keys()) - _PLACES):
        if about.get(name) != row.get(name):
            yield f"{name} is {quoted(about.get(name))} in its json and {quoted(row.get(name))} in the index"
