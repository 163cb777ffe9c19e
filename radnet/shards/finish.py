"""The end of every set, however it came about: tables, totals and, last, the manifest."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radnet import __version__
from radnet.hashing import settings_hash
from radnet.scans.archive import Reject
from radnet.shards import manifest as manifests
from radnet.shards.splits import SPLITS
from radnet.shards.tables import content_sha256, rows_of, write_index, write_rejects
from radnet.shards.writer import ShardWriter, fragment_path


@dataclass
class _Sums:
    """Totals that grow while rows pass by."""

    patients: set[tuple[str, str]] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    notes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits: Counter[str] = field(default_factory=Counter)
    regions: Counter[str] = field(default_factory=Counter)
    modalities: set[str] = field(default_factory=set)
    synthetic: set[bool] = field(default_factory=set)

    def passing(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Count rows on their way."""
        for row in rows:
            self.patients.add((row["patient_key"], row["split"]))
            if row["series_key"] not in self.series:
                self.series.add(row["series_key"])
                for note in filter(None, row["notes"].split(";")):
                    self.notes[note].add(row["series_key"])
            self.splits[row["split"]] += 1
            self.regions[row["body_region"]] += 1
            self.modalities.add(row["modality"])
            self.synthetic.add(row["synthetic"])
            yield row


@dataclass(frozen=True)
class FinishedSet:
    """A set that was written.

    Attributes:
        manifest: Its manifest.
        series_by_note: Note of a scan -> number of series that carry it.
    """

    manifest: manifests.Manifest
    series_by_note: Mapping[str, int]


def finish_set(
    directory: Path,
    name: str,
    writer: ShardWriter,
    fragments: Path,
    *,
    rejects: Sequence[Reject],
    settings: Mapping[str, Any],
    slice_size: int | None = None,
    dropped_slices: Mapping[str, int] | None = None,
    removed_tags: Mapping[str, int] | None = None,
) -> FinishedSet:
    """Write index, rejects and manifest of a set whose shards are closed.

    Args:
        directory: Directory of the set.
        name: Name of the set.
        writer: Closed; it knows the shards.
        fragments: Directory of the rows that the writer left.
        rejects: Everything that was not used.
        settings: What shaped the set, JSON values.
        slice_size: Longest side of a slice where slices were made smaller.
        dropped_slices: Reason -> slices that were read and are not stored.
        removed_tags: Keyword -> files whose value did not enter the set.
    """
    parts = [fragment_path(fragments, number) for number in range(len(writer.shards))]
    sums = _Sums()
    content = content_sha256(sums.passing(rows_of(parts)))
    manifest = manifests.Manifest(
        format_version=2,
        name=name,
        modality="+".join(sorted(sums.modalities)),
        slice_size=slice_size or "native",
        settings=dict(settings),
        settings_sha256=settings_hash(settings),
        tool_version=__version__,
        content_sha256=content,
        synthetic="some" if len(sums.synthetic) == 2 else "all" if True in sums.synthetic else "none",
        totals=manifests.Totals(
            samples=sums.splits.total(),
            series=len(sums.series),
            patients=len({patient for patient, _ in sums.patients}),
            rejected_files=sum(reject.files for reject in rejects),
            samples_by_split=dict.fromkeys(SPLITS, 0) | sums.splits,
            patients_by_split=dict.fromkeys(SPLITS, 0) | Counter(split for _, split in sums.patients),
            samples_by_region=dict(sorted(sums.regions.items())),
            dropped_slices=dict(sorted((dropped_slices or {}).items())),
        ),
        index=write_index(parts, directory / manifests.INDEX),
        rejects=write_rejects(rejects, directory / manifests.REJECTS),
        removed_tags=dict(sorted((removed_tags or {}).items())),
        shards=tuple(writer.shards),
    )
    manifests.write_manifest(manifest, directory)
    return FinishedSet(manifest, {note: len(series) for note, series in sums.notes.items()})
