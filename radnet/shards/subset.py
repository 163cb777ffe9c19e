"""A part of a set as a set of its own: by patients, region, split or series, and nested by construction."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radnet.errors import UsageError, did_you_mean
from radnet.shards.columns import batches
from radnet.shards.copying import Copier, require_output, rows_in_order, write_set
from radnet.shards.manifest import KEYED_BY, Manifest
from radnet.shards.sample import DEFAULT_SHARD_BYTES, Sample
from radnet.shards.shard_set import ShardSet
from radnet.shards.splits import SPLITS

NOT_SELECTED = "not_selected"
"""Reason in `dropped_slices`: the slice is in the source and was not asked for."""


@dataclass(frozen=True)
class Selection:
    """What a subset takes. Everything that is given must hold; `fraction` and `count` draw from what is left.

    Attributes:
        patients: Only these patient keys.
        regions: Only these body regions.
        splits: Only these splits.
        series: Only these series keys.
        fraction: This share of the patients of each split, at least one.
        count: So many patients, spread over the splits in proportion.
        seed: Another seed draws other patients. With one seed a smaller share is part of a larger one.
    """

    patients: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    fraction: float | None = None
    count: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise UsageError("--fraction is a share above 0, 1 at most", seen=self.fraction, fix="For example 0.1")
        if self.fraction is not None and self.count is not None:
            raise UsageError("A share and a number of patients were both given", fix="Give one of them")
        if self.count is not None and self.count < 1:
            raise UsageError("A subset has one patient at least", seen=self.count, fix="For example --patients 20")

    def describe(self) -> dict[str, Any]:
        """As JSON values; lists are sorted, what was not asked for is left out."""
        lists = {name: sorted(getattr(self, name)) for name in ("patients", "regions", "splits", "series")}
        drawn = {"fraction": self.fraction, "count": self.count}
        said = {name: value for name, value in {**lists, **drawn}.items() if value}
        return said | ({"seed": self.seed} if self.fraction or self.count else {})


@dataclass(frozen=True)
class _Series:
    key: str
    patient: str
    split: str
    region: str


def subset_set(
    path: Path,
    out: Path,
    selection: Selection,
    *,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    overwrite: bool = False,
) -> Manifest:
    """Copy the part of a set that a selection names.

    Args:
        path: The set.
        out: Directory of the new set.
        selection: What to take.
        shard_bytes: Largest size of a shard's file.
        overwrite: Replace an existing set.

    Raises:
        UsageError: Something named is not in the set, nothing is left, or a path is wrong.
        RadnetError: The source is damaged.
    """
    require_output(out, [path], overwrite)
    source = ShardSet.open(path)
    everything = _series_of(source)
    chosen = choose(everything, selection)
    if not chosen:
        raise UsageError(
            "Nothing in this set is what was asked for, all conditions together",
            seen=selection.describe(),
            file=path,
            fix="See what it holds: radnet shards info SET",
        )
    totals, settings = source.manifest.totals, source.manifest.settings
    dropped: dict[str, int] = {NOT_SELECTED: 0}
    patients = {series.patient for series in everything if series.key in chosen}
    about: dict[str, Any] = {
        "subset_of": {"content": source.manifest.content_sha256, "settings": source.manifest.settings_sha256},
        "selection": selection.describe(),
        "left_out": {"series": totals.series - len(chosen), "patients": totals.patients - len(patients)},
        "shard_bytes": shard_bytes,
        **{name: settings[name] for name in ("split_fractions", "prepared", KEYED_BY) if name in settings},
    }
    size = source.manifest.slice_size
    with Copier() as copier:
        return write_set(
            out,
            _samples(source, chosen, copier, dropped),
            settings=about,
            slice_size=size if isinstance(size, int) else None,
            dropped_slices=dropped,
            shard_bytes=shard_bytes,
            overwrite=overwrite,
        )


def choose(everything: Sequence[_Series], selection: Selection) -> set[str]:
    """Keys of the series that a selection takes.

    Raises:
        UsageError: It names a patient, region, split or series that does not occur.
    """
    _require_known(selection.patients, {series.patient for series in everything}, "patient")
    _require_known(selection.regions, {series.region for series in everything}, "body region")
    _require_known(selection.splits, set(SPLITS), "split")
    _require_known(selection.series, {series.key for series in everything}, "series")
    left = [
        series
        for series in everything
        if (not selection.patients or series.patient in selection.patients)
        and (not selection.regions or series.region in selection.regions)
        and (not selection.splits or series.split in selection.splits)
        and (not selection.series or series.key in selection.series)
    ]
    drawn = draw_patients({series.patient: series.split for series in left}, selection)
    return {series.key for series in left if series.patient in drawn}


def draw_patients(split_of_patient: Mapping[str, str], selection: Selection) -> set[str]:
    """The first patients in the order of a hash, within each split, so that a larger draw holds every smaller one.

    Args:
        split_of_patient: Patient key -> split.
        selection: Its `fraction`, `count` and `seed`.
    """
    by_split: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(split_of_patient, key=lambda patient: _position(patient, selection.seed)):
        by_split[split_of_patient[patient]].append(patient)
    if selection.fraction is not None:
        # 1e-9: 0.1 of 30 is 3, though the product is a little more
        shares = {split: math.ceil(selection.fraction * len(all_) - 1e-9) for split, all_ in by_split.items()}
        return {patient for split, patients in by_split.items() for patient in patients[: max(shares[split], 1)]}
    if selection.count is not None:
        if selection.count > len(split_of_patient):
            raise UsageError(
                f"There are {len(split_of_patient)} patients to draw from", seen=selection.count, fix="Ask for fewer"
            )
        ranked = [
            (rank / len(patients), SPLITS.index(split), patient)
            for split, patients in by_split.items()
            for rank, patient in enumerate(patients)
        ]
        return {patient for _, _, patient in sorted(ranked)[: selection.count]}
    return set(split_of_patient)


def _position(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"subset\0{seed}\0{patient}".encode()).digest()


def _require_known(asked: Sequence[str], known: set[str], what: str) -> None:
    unknown = sorted(set(asked) - known)
    if unknown:
        raise UsageError(f"No such {what} in this set", seen=unknown[0], fix=did_you_mean(unknown[0], known))


def _series_of(source: ShardSet) -> list[_Series]:
    names = ["series_key", "patient_key", "split", "body_region"]
    found: dict[str, _Series] = {}
    for table in batches(source.path / source.manifest.index.file, names):
        for row in table.group_by(names).aggregate([]).to_pylist():
            key = row["series_key"]
            found[key] = _Series(key, row["patient_key"], row["split"], row["body_region"])
    return list(found.values())


def _samples(source: ShardSet, chosen: set[str], copier: Copier, dropped: dict[str, int]) -> Iterator[Sample]:
    for row in rows_in_order(source):
        if row["series_key"] in chosen:
            yield copier.sample(source, row)
        else:
            dropped[NOT_SELECTED] += 1
