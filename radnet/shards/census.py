"""What a set holds, counted along every column that a reader may ask for."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from radnet.errors import RadnetError
from radnet.shards.columns import batches
from radnet.shards.locations import COPY_AGAIN
from radnet.shards.manifest import Manifest

THICKNESS_BINS_MM = (1.0, 2.0, 3.0, 5.0)
UNKNOWN = "unknown"
HEADINGS = (
    "region", "split", "modality", "manufacturer", "kernel", "slice thickness", "slice size", "source", "lossy",
    "synthetic", "note",
)  # fmt: skip
_SERIES_COLUMNS = [
    "series_key", "patient_key", "split", "body_region", "modality", "manufacturer", "kernel", "slice_thickness_mm",
    "rows", "columns", "source", "lossy", "synthetic", "notes",
]  # fmt: skip


@dataclass(frozen=True)
class Count:
    """How often one value occurs."""

    slices: int
    series: int
    patients: int


@dataclass(frozen=True)
class RejectCount:
    """Files and slices of one reason, and what was wrong with the first."""

    files: int
    slices: int
    sentence: str


@dataclass(frozen=True)
class Census:
    """Counts of a set.

    Attributes:
        by: Heading -> value -> count; a series with two notes counts under both.
        rejects: Reason -> count.
    """

    by: dict[str, dict[str, Count]]
    rejects: dict[str, RejectCount]


def take_census(path: Path, manifest: Manifest) -> Census:
    """Count a set.

    Args:
        path: Its directory.
        manifest: Its manifest.

    Raises:
        RadnetError: A table cannot be read.
    """
    by = count_slices(path, manifest)
    try:
        rejects = _count_rejects(path / manifest.rejects.file)
    except (OSError, pa.ArrowException) as error:
        raise RadnetError(
            "The table of rejects cannot be read", file=path / manifest.rejects.file, fix=COPY_AGAIN
        ) from error
    return Census(by, rejects)


def count_slices(path: Path, manifest: Manifest, *, split: str | None = None) -> dict[str, dict[str, Count]]:
    """Heading -> value -> count, from the index alone.

    Args:
        path: The set's directory.
        manifest: Its manifest.
        split: Only the slices of this split; None for all.

    Raises:
        RadnetError: The index cannot be read.
    """
    try:
        return _count(path / manifest.index.file, split)
    except (OSError, pa.ArrowException) as error:
        raise RadnetError("The index cannot be read", file=path / manifest.index.file, fix=COPY_AGAIN) from error


def thickness_bin(thickness_mm: float | None) -> str:
    """The bin of a slice thickness: `<= 1 mm`, `1 to 2 mm`, …, `> 5 mm` or `unknown`."""
    if thickness_mm is None:
        return UNKNOWN
    lower: float | None = None
    for upper in THICKNESS_BINS_MM:
        if thickness_mm <= upper:
            return f"<= {upper:g} mm" if lower is None else f"{lower:g} to {upper:g} mm"
        lower = upper
    return f"> {lower:g} mm"


def _count(index: Path, split: str | None) -> dict[str, dict[str, Count]]:
    slices: dict[tuple[str, str], int] = defaultdict(int)
    series: dict[tuple[str, str], set[str]] = defaultdict(set)
    patients: dict[tuple[str, str], set[str]] = defaultdict(set)
    for table in batches(index, _SERIES_COLUMNS):
        # all columns are the same within a series, so the groups are few
        for group in table.group_by(table.column_names).aggregate([([], "count_all")]).to_pylist():
            if split is not None and group["split"] != split:
                continue
            for place in _places(group):
                slices[place] += group["count_all"]
                series[place].add(group["series_key"])
                patients[place].add(group["patient_key"])
    by: dict[str, dict[str, Count]] = {heading: {} for heading in HEADINGS if any(h == heading for h, _ in slices)}
    for place in sorted(slices, key=lambda place: (-slices[place], place)):
        by[place[0]][place[1]] = Count(slices[place], len(series[place]), len(patients[place]))
    return by


def _places(group: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Under which headings and values a group counts."""
    yield "split", group["split"]
    yield "region", group["body_region"]
    for name in ("modality", "manufacturer", "kernel"):
        yield name, group[name] or UNKNOWN
    yield "slice thickness", thickness_bin(group["slice_thickness_mm"])
    yield "slice size", f"{group['rows']} x {group['columns']}"
    yield "source", group["source"]
    yield "lossy", "lossy" if group["lossy"] else "lossless"
    yield "synthetic", "synthetic" if group["synthetic"] else "real"
    for note in filter(None, (group["notes"] or "").split(";")):
        yield "note", note


def _count_rejects(file: Path) -> dict[str, RejectCount]:
    files, slices, sentences = Counter[str](), Counter[str](), dict[str, str]()
    for row in pq.read_table(file).to_pylist():
        files[row["reason"]] += row["files"]
        slices[row["reason"]] += row.get("slices") or 0
        sentences.setdefault(row["reason"], row["sentence"])
    return {reason: RejectCount(files[reason], slices[reason], sentences[reason]) for reason in sorted(sentences)}
