"""What one set has that another has not, patient by patient; pixels are compared by their hashes."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from radnet.errors import RadnetError
from radnet.hashing import canonical_json
from radnet.shards.columns import stream_rows
from radnet.shards.locations import COPY_AGAIN
from radnet.shards.shard_set import ShardSet
from radnet.shards.tables import LABEL_PREFIX

ASPECTS = ("slices", "masks", "labels", "split")
"""In what a patient may differ; the body region counts as a label."""
_COLUMNS = ["patient_key", "series_key", "split", "slice", "body_region", "content_hash", "mask_crc32"]


@dataclass
class _Patient:
    """Hashes of what a set has of one patient. Sums of hashes do not depend on the order of rows."""

    slices: int = 0
    series: set[str] = field(default_factory=set)
    splits: set[str] = field(default_factory=set)
    sums: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True)
class Change:
    """A patient of both sets of whom they do not hold the same.

    Attributes:
        patient: Key.
        aspects: Of `ASPECTS`, in what.
        series: Numbers in the first and the second set.
        slices: Numbers in the first and the second set.
        splits: Split in the first and the second set.
    """

    patient: str
    aspects: tuple[str, ...]
    series: tuple[int, int]
    slices: tuple[int, int]
    splits: tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """Two sets beside each other.

    Attributes:
        identical: Whether their content hashes are equal.
        totals: What -> numbers in the first and the second set.
        new: Patients of the second set only, with their series and slices.
        gone: Patients of the first set only, with their series and slices.
        changed: Patients of both.
        new_series: Series of the second set only.
        gone_series: Series of the first set only.
    """

    identical: bool
    totals: dict[str, tuple[int, int]]
    new: dict[str, tuple[int, int]]
    gone: dict[str, tuple[int, int]]
    changed: tuple[Change, ...]
    new_series: int
    gone_series: int


def diff_sets(first: Path, second: Path) -> Difference:
    """Compare two sets; memory grows with patients and series, not with slices.

    Raises:
        UsageError: A path is no shard set.
        RadnetError: An index cannot be read.
    """
    sets = [ShardSet.open(path) for path in (first, second)]
    identical = sets[0].manifest.content_sha256 == sets[1].manifest.content_sha256
    ours, theirs = (_patients(opened) for opened in sets)
    our_series, their_series = (
        {series for patient in patients.values() for series in patient.series} for patients in (ours, theirs)
    )
    totals = {
        what: (getattr(sets[0].manifest.totals, what), getattr(sets[1].manifest.totals, what))
        for what in ("samples", "series", "patients", "rejected_files")
    }
    changes = (_change(key, ours[key], theirs[key]) for key in sorted(ours.keys() & theirs.keys()))
    return Difference(
        identical=identical,
        totals=totals,
        new={key: _size(theirs[key]) for key in sorted(theirs.keys() - ours.keys())},
        gone={key: _size(ours[key]) for key in sorted(ours.keys() - theirs.keys())},
        changed=tuple(change for change in changes if change is not None),
        new_series=len(their_series - our_series),
        gone_series=len(our_series - their_series),
    )


def _patients(opened: ShardSet) -> dict[str, _Patient]:
    file = opened.path / opened.manifest.index.file
    patients: dict[str, _Patient] = defaultdict(_Patient)
    try:
        for row in stream_rows(file):
            patient = patients[row["patient_key"]]
            patient.slices += 1
            patient.series.add(row["series_key"])
            patient.splits.add(row["split"])
            place = (row["series_key"], row["slice"])
            labels = {n: v for n, v in row.items() if n.startswith(LABEL_PREFIX) and v is not None}
            patient.sums["slices"] += _hash(*place, row["content_hash"])
            patient.sums["masks"] += _hash(*place, row["mask_crc32"])
            patient.sums["labels"] += _hash(*place, row["body_region"], canonical_json(labels))
    except (pa.ArrowException, OSError) as error:
        raise RadnetError("The index cannot be read", file=file, fix=COPY_AGAIN) from error
    return dict(patients)


def _hash(*values: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(values).encode()).digest()[:16], "big")


def _size(patient: _Patient) -> tuple[int, int]:
    return len(patient.series), patient.slices


def _change(key: str, ours: _Patient, theirs: _Patient) -> Change | None:
    aspects = [what for what in ("slices", "masks", "labels") if ours.sums[what] != theirs.sums[what]]
    if "slices" in aspects:  # other slices have other masks and labels anyway
        aspects = ["slices"]
    if ours.splits != theirs.splits:
        aspects.append("split")
    if not aspects:
        return None
    return Change(
        patient=key,
        aspects=tuple(aspects),
        series=(len(ours.series), len(theirs.series)),
        slices=(ours.slices, theirs.slices),
        splits=("+".join(sorted(ours.splits)), "+".join(sorted(theirs.splits))),
    )
