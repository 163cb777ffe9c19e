"""Several sets become one; slices that are in two of them are stored once."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from radnet.console import warn
from radnet.errors import RadnetError, UsageError
from radnet.hashing import canonical_json
from radnet.scans.sources import Reject
from radnet.shards.assembly import LEAST_DETAIL
from radnet.shards.copying import Copier, carried, place_of, require_output, rows_in_order, write_set
from radnet.shards.locations import COPY_AGAIN
from radnet.shards.manifest import KEYED_BY, Manifest
from radnet.shards.sample import DEFAULT_SHARD_BYTES, Sample
from radnet.shards.seen import SeenPixels
from radnet.shards.shard_set import ShardSet

IN_TWO_SETS = "in_two_sets"
"""Reason in `dropped_slices`: the same slice of the same series was in another set as well."""


@dataclass
class _Counts:
    repeated: int = 0
    otherwise: int = 0
    two_patients: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Attributes:
        manifest: Of the new set.
        repeated: Slices that were in more than one set and are stored once.
        otherwise: Of these, the ones of which the sets say different things (labels, region, mask); one was kept.
        two_patients: Slices that two sets hold under two patients, pixel by pixel, as sets of two secrets do.
    """

    manifest: Manifest
    repeated: int
    otherwise: int
    two_patients: int = 0


def merge_sets(
    out: Path, paths: Sequence[Path], *, shard_bytes: int = DEFAULT_SHARD_BYTES, overwrite: bool = False
) -> MergeReport:
    """Merge sets that were built with one secret and one set of split fractions; their order does not matter.

    Args:
        out: Directory of the new set.
        paths: The sets.
        shard_bytes: Largest size of a shard's file.
        overwrite: Replace an existing set.

    Raises:
        UsageError: The sets do not fit together, or a path is wrong.
        RadnetError: A source is damaged, or two have other pixels for one slice.
    """
    require_output(out, paths, overwrite)
    sources = [ShardSet.open(path) for path in paths]
    # by content, so that the result does not depend on the order of the arguments
    sources.sort(key=lambda source: (source.manifest.content_sha256, source.manifest.rejects.sha256))
    manifests = [source.manifest for source in sources]
    _require_fit(sources)
    counts = _Counts()
    removed = Counter[str]()
    for manifest in manifests:
        counts.dropped.update(manifest.totals.dropped_slices)
        removed.update(manifest.removed_tags)
    settings = {
        "merged_from": [{"content": m.content_sha256, "settings": m.settings_sha256} for m in manifests],
        "shard_bytes": shard_bytes,
    }
    if manifests[0].settings.get("split_fractions") is not None:
        settings["split_fractions"] = manifests[0].settings["split_fractions"]
    secrets = {manifest.settings.get(KEYED_BY) for manifest in manifests}
    if len(secrets) == 1 and None not in secrets:
        settings[KEYED_BY] = secrets.pop()
    size = manifests[0].slice_size
    with Copier() as copier, SeenPixels() as seen:
        manifest = write_set(
            out,
            _samples(sources, copier, counts, seen),
            settings=settings,
            slice_size=size if isinstance(size, int) else None,
            rejects=[reject for source in sources for reject in _rejects(source)],
            dropped_slices=counts.dropped,
            removed_tags=removed,
            shard_bytes=shard_bytes,
            overwrite=overwrite,
        )
    if counts.two_patients:
        warn(
            f"{counts.two_patients} slices are in two of the sets under two patients, pixel by pixel: were the sets "
            "built with two secrets? Then one patient counts twice, and may be on two sides of the split"
        )
    return MergeReport(manifest, counts.repeated, counts.otherwise, counts.two_patients)


def _require_fit(sources: Sequence[ShardSet]) -> None:
    if len(sources) < 2:
        raise UsageError("A merge takes two sets or more", fix="radnet shards merge OUT SET SET")
    first = sources[0]
    for source in sources[1:]:
        ours, theirs = (s.manifest.settings.get("split_fractions") for s in (first, source))
        if ours != theirs:
            raise UsageError(
                f"The sets were split in other shares, so a patient could be on two sides: {ours} in {first.path}",
                seen=theirs,
                file=source.path,
                fix="Build one of them again with the --split-fractions of the other",
            )
        if first.manifest.slice_size != source.manifest.slice_size:
            raise UsageError(
                f"The sets have slices of other sizes: {first.manifest.slice_size} in {first.path}",
                seen=source.manifest.slice_size,
                file=source.path,
                fix="Build one of them again with the --size of the other, or read both through a mixed stream",
            )


def _samples(sources: Sequence[ShardSet], copier: Copier, counts: _Counts, seen: SeenPixels) -> Iterator[Sample]:
    """Every slice once, sorted by patient, series and slice; as many rows as there are sets are in memory."""
    streams = [_ordered(source, number) for number, source in enumerate(sources)]
    before: tuple[Any, ...] | None = None
    split_of_patient = ("", "")
    for place, text, number, row in heapq.merge(*streams, key=lambda item: item[:3]):
        source = sources[number]
        if before is not None and before[0] == place:
            if before[1] != row["content_hash"]:
                raise RadnetError(
                    f"Two sets have other pixels for slice {place[2]} of series {place[1]}",
                    file=source.path,
                    fix="Build them again with the same settings, or leave the series out: radnet shards subset",
                )
            counts.repeated += 1
            counts.otherwise += before[2] != text
            counts.dropped[IN_TWO_SETS] += 1
            continue
        if split_of_patient[0] == place[0] and split_of_patient[1] != row["split"]:
            raise RadnetError(
                f"Patient {place[0]} would be on two sides: {split_of_patient[1]} and {row['split']}", file=source.path
            )
        before, split_of_patient = (place, row["content_hash"], text), (place[0], row["split"])
        counts.two_patients += _is_of_two_patients(seen, number, row)
        yield copier.sample(source, row)


def _is_of_two_patients(seen: SeenPixels, source: int, row: Mapping[str, Any]) -> bool:
    """Whether another source holds the pixels of a row under another patient key."""
    first = seen.add(row["content_hash"], f"{source} {row['patient_key']}")
    if first is None or row["image_bytes"] <= LEAST_DETAIL * row["rows"] * row["columns"]:  # air is the same everywhere
        return False
    other, _, patient = first.partition(" ")
    return int(other) != source and patient != row["patient_key"]


def _ordered(source: ShardSet, number: int) -> Iterator[tuple[tuple[str, str, int], str, int, dict[str, Any]]]:
    """Rows with what they are sorted by; what they say decides which of two is kept."""
    for row in rows_in_order(source):
        said = {name: value for name, value in carried(row).items() if value is not None}
        yield place_of(row), canonical_json({**said, "mask_crc32": row["mask_crc32"]}), number, row


def _rejects(source: ShardSet) -> Iterator[Reject]:
    """The rejects of a set; it holds no paths."""
    file = source.path / source.manifest.rejects.file
    try:
        rows = pq.read_table(file).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RadnetError("The table of rejects cannot be read", file=file, fix=COPY_AGAIN) from error
    for row in rows:
        slices = row.get("slices") or 0
        yield Reject("", row["file_key"], row["reason"], row["sentence"], files=row["files"], slices=slices)
