"""What a build would make of an archive, from headers alone: nothing is decoded and nothing is written."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from radnet.errors import UsageError
from radnet.files import require_directory
from radnet.scans.archive import Reject, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.shards.build import choose_series
from radnet.shards.settings import BuildSettings
from radnet.shards.splits import SPLITS, split_of


@dataclass(frozen=True)
class BuildPlan:
    """What headers promise.

    A build may store less: files that cannot be decoded, repeated slices and slices of air show only when it decodes
    them.

    Attributes:
        slices: Slices of all series, every so manieth of them where that was asked for.
        series: Number of series.
        patients_by_split: Split -> patients.
        slices_by: Tag ("body_region", "modality", "manufacturer", …) -> value -> slices.
        rejects: What headers and file names rule out already.
        files_seen: Files in the archive.
    """

    slices: int
    series: int
    patients_by_split: Mapping[str, int]
    slices_by: Mapping[str, Mapping[str, int]]
    rejects: tuple[Reject, ...]
    files_seen: int


TAGS = ("modality", "body_region", "manufacturer", "kernel", "source")


def plan_build(
    archive: Path, hasher: KeyedHash, settings: BuildSettings, *, metadata: Path | None = None, jobs: int = 1
) -> BuildPlan:
    """Read all headers and say what a build with these settings would take.

    Args:
        archive: Directory of DICOM and NIfTI files.
        hasher: Keyed hash; it decides about the splits.
        settings: What shapes the set.
        metadata: CSV of metadata; by default `metadata.csv` at the top of the archive, where there is one.
        jobs: Processes that read headers.

    Raises:
        UsageError: There is no archive, or it is empty.
    """
    require_directory(archive, "an archive of scans")
    inventory = take_inventory(archive, hasher, metadata=metadata, jobs=jobs, modalities=settings.modalities)
    if inventory.files_seen == 0:
        raise UsageError("The archive is empty: no file below this directory", file=archive, fix="Check the path")
    chosen, left = choose_series(inventory.series, settings)
    slices = {source.series_key: -(-source.slices // settings.every) for source in chosen}
    splits = {source.patient_key: split_of(source.patient_key, settings.split_fractions) for source in chosen}
    slices_by: dict[str, Counter[str]] = {tag: Counter() for tag in (*TAGS, "split")}
    for source in chosen:
        for tag in TAGS:
            value = source.modality if tag == "modality" else getattr(source.tags, tag)
            slices_by[tag][value or "unknown"] += slices[source.series_key]
        slices_by["split"][splits[source.patient_key]] += slices[source.series_key]
    return BuildPlan(
        slices=sum(slices.values()),
        series=len(chosen),
        patients_by_split=dict.fromkeys(SPLITS, 0) | Counter(splits.values()),
        slices_by={tag: dict(counts.most_common()) for tag, counts in slices_by.items()},
        rejects=(*inventory.rejects, *left),
        files_seen=inventory.files_seen,
    )
