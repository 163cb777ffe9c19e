"""Samples of finished sets on their way into a new one, as they are encoded; what merge and subset share."""

import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from radnet.errors import RadnetError, UsageError
from radnet.files import new_directory, require_new_directory
from radnet.scans.sources import Reject
from radnet.shards.columns import stream_rows
from radnet.shards.finish import finish_set
from radnet.shards.locations import COPY_AGAIN
from radnet.shards.manifest import Manifest, require_set_or_nothing
from radnet.shards.sample import Sample
from radnet.shards.shard_set import ShardSet
from radnet.shards.tables import MEMBERS
from radnet.shards.writer import ShardWriter

_NOT_CARRIED = {
    "key", "shard", *(f"{member}_{what}" for member in MEMBERS for what in ("offset", "bytes", "crc32"))
}  # fmt: skip


def carried(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the index says of a sample, without its key and its places.

    A label that this sample has not is left out: its column may come from other samples of the source.
    """
    kept = {
        name: value
        for name, value in row.items()
        if name not in _NOT_CARRIED and not (value is None and name.startswith("label_"))
    }
    return {"image_format": "b2nd", **kept}  # sets of format version 1 do not say it


def rows_in_order(source: ShardSet) -> Iterator[dict[str, Any]]:
    """The rows of the index of a set.

    Raises:
        RadnetError: They are not sorted by patient, series and slice, or cannot be read.
    """
    file = source.path / source.manifest.index.file
    before = ("", "", -1)
    try:
        for row in stream_rows(file):
            place = place_of(row)
            if place <= before:
                raise RadnetError(
                    "The index is not in the order of patients, series and slices",
                    seen=row["key"],
                    file=file,
                    fix="Look at it with: radnet shards verify SET --full",
                )
            before = place
            yield row
    except (pa.ArrowException, OSError) as error:
        raise RadnetError("The index cannot be read", file=file, fix=COPY_AGAIN) from error


def place_of(row: Mapping[str, Any]) -> tuple[str, str, int]:
    """Where a sample stands in the order of every set: patient, series, slice."""
    return row["patient_key"], row["series_key"], row["slice"]


class Copier:
    """Reads members at their offsets; one shard of each source is open at a time."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[str, BinaryIO]] = {}

    def __enter__(self) -> "Copier":
        return self

    def __exit__(self, *raised: object) -> None:
        for _, file in self._open.values():
            file.close()

    def sample(self, source: ShardSet, row: Mapping[str, Any]) -> Sample:
        """The sample of a row, its bytes as they are.

        Raises:
            RadnetError: The bytes are not the ones that were written.
        """
        mask = None if row["mask_offset"] is None else self._member(source, row, "mask")
        return Sample(image=self._member(source, row, "image"), mask=mask, row=carried(row))

    def _member(self, source: ShardSet, row: Mapping[str, Any], kind: str) -> bytes:
        file = self._file(source, row["shard"])
        file.seek(row[f"{kind}_offset"])
        data = file.read(row[f"{kind}_bytes"])
        if len(data) != row[f"{kind}_bytes"] or zlib.crc32(data) != row[f"{kind}_crc32"]:
            raise RadnetError(
                f"Sample {row['key']} is damaged: the bytes of its {kind} are not the ones that were written (CRC-32)",
                file=source.path / row["shard"],
                fix="Look at the whole set with: radnet shards verify SET --full",
            )
        return data

    def _file(self, source: ShardSet, shard: str) -> BinaryIO:
        name, file = self._open.get(source.path, ("", None))
        if file is None or name != shard:
            if file is not None:
                file.close()
            if shard not in {entry.file for entry in source.manifest.shards}:
                raise RadnetError("The index names a shard that is not of this set", seen=shard, file=source.path)
            file = (source.path / shard).open("rb")
            self._open[source.path] = shard, file
        return file


def write_set(
    out: Path,
    samples: Iterable[Sample],
    *,
    settings: Mapping[str, Any],
    slice_size: int | None,
    rejects: Sequence[Reject] = (),
    dropped_slices: Mapping[str, int] | None = None,
    removed_tags: Mapping[str, int] | None = None,
    shard_bytes: int,
    overwrite: bool = False,
) -> Manifest:
    """Write a new set from samples that are encoded already; it appears when it is complete.

    `settings` and `dropped_slices` are read after the last sample, so that they may hold what was counted on the way.
    """
    out = out.absolute()
    with new_directory(out, overwrite=overwrite) as directory:
        fragments = directory / ".rows"
        fragments.mkdir()
        with ShardWriter(directory, out.name, fragments, shard_bytes) as writer:
            for sample in samples:
                writer.add(sample)
            writer.close()
        finished = finish_set(
            directory,
            out.name,
            writer,
            fragments,
            rejects=rejects,
            settings=settings,
            slice_size=slice_size,
            dropped_slices=dropped_slices,
            removed_tags=removed_tags,
        )
        shutil.rmtree(fragments)
    return finished.manifest


def require_output(out: Path, sources: Sequence[Path], overwrite: bool) -> None:
    """Refuse an output that exists, that is no set to be replaced, or that lies in a source or around one.

    Raises:
        UsageError: One of these.
    """
    require_new_directory(out, overwrite=overwrite)
    for source in sources:
        one, other = out.resolve(), source.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise UsageError(
                "The output and a source are the same or lie in each other", file=out, fix="Choose another path"
            )
    require_set_or_nothing(out)
