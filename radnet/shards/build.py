"""From an archive to a shard set: series in parallel, one writer, the same bytes whatever the number of jobs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from radnet import __version__
from radnet.console import progress, say, warn
from radnet.errors import RadnetError, UsageError
from radnet.files import new_directory, require_directory, require_new_directory
from radnet.hashing import settings_hash
from radnet.scans.archive import Reject, SeriesSource, UnreadableSeries, read_series, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.shards import manifest as manifests
from radnet.shards.rows import samples_of
from radnet.shards.splits import DEFAULT_FRACTIONS, SPLITS, check_fractions
from radnet.shards.tables import content_sha256, write_index, write_rejects
from radnet.shards.writer import DEFAULT_SHARD_BYTES, Sample, ShardWriter

SERIES_AHEAD = 4
"""So many series a job are encoded and wait to be written at most."""


DOUBTFUL_PATIENTS = {
    "patient_from_directory": "name no patient, so each directory of files counts as one",
    "no_patient_id": "have no PatientID, so each study counts as a patient",
}
"""Note of a scan -> what it means for the split."""
LEAST_PATIENTS = {"train": 1, "val": 1, "test": 2}
"""Patients without which no comparison can be made."""
LEAST_DETAIL = 0.05
"""Encoded bytes a pixel below which a slice is as good as empty."""


@dataclass(frozen=True)
class BuildSettings:
    """What shapes a set's bytes, apart from the scans and the secret.

    Attributes:
        split_fractions: Shares of train, val and test patients.
        shard_bytes: Largest size of a shard's file; only a single sample that is larger makes a larger one.

    Raises:
        UsageError: The fractions are not three that sum to 1, or the size is not positive.
    """

    split_fractions: tuple[float, float, float] = DEFAULT_FRACTIONS
    shard_bytes: int = DEFAULT_SHARD_BYTES

    def __post_init__(self) -> None:
        check_fractions(self.split_fractions)
        if self.shard_bytes < 1:
            raise UsageError("The size of a shard must be positive", seen=self.shard_bytes, fix="For example 268435456")


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        manifest: The manifest of the finished set.
        rejects: Everything that was not used, with paths relative to the archive. For the terminal: the paths may
            identify patients and are not in the set.
    """

    manifest: manifests.Manifest
    rejects: tuple[Reject, ...]


class NothingToBuildError(RadnetError):
    """An archive with files of which none became a slice.

    Args:
        archive: The archive.
        rejects: Why, file by file.
    """

    def __init__(self, archive: Path, rejects: tuple[Reject, ...]) -> None:
        self.rejects = rejects
        super().__init__(
            f"No CT slice could be read from this archive: {summary_of_rejects(rejects)}",
            file=archive,
            fix="Check that the directory holds CT series as DICOM or NIfTI files",
        )


def build_shards(
    archive: Path,
    out: Path,
    hasher: KeyedHash,
    settings: BuildSettings = BuildSettings(),
    *,
    metadata: Path | None = None,
    jobs: int = 1,
    overwrite: bool = False,
) -> BuildReport:
    """Build the shard set `out` from all CT scans below `archive`.

    Series are ordered by their keyed hashes, so the order of patients says nothing of the archive and does not
    depend on how the files are named or how many jobs read them.

    Args:
        archive: Directory of DICOM and NIfTI files.
        out: Directory of the set; it appears when the set is complete.
        hasher: Keyed hash for patients, series and files; its secret never enters the set.
        settings: What shapes the bytes of the set.
        metadata: CSV of metadata; by default `metadata.csv` at the top of the archive, where there is one.
        jobs: Number of worker processes.
        overwrite: Replace an existing set; nothing but a set is ever replaced.

    Raises:
        UsageError: A path is wrong: no archive, an empty one, or an output that exists or lies in the archive.
        RadnetError: No slice could be read, the disk is full, or a worker died.
    """
    out = out.absolute()
    require_directory(archive, "an archive of scans")
    _require_output(out, archive, overwrite)
    inventory = take_inventory(archive, hasher, metadata=metadata, jobs=jobs)
    if inventory.files_seen == 0:
        raise UsageError("The archive is empty: no file below this directory", file=archive, fix="Check the path")
    rejects = list(inventory.rejects)
    with (
        new_directory(out, overwrite=overwrite) as partial,
        ShardWriter(partial, out.name, settings.shard_bytes) as writer,
    ):
        with progress("building shards (series)", len(inventory.series)) as meter:
            for samples, rejected in _encoded_series(inventory.series, settings, jobs):
                for sample in samples:
                    writer.add(sample)
                rejects.extend(rejected)
                meter.advance(note=f"{len(writer.shards)} shards closed, {len(rejects)} rejects")
        rows = writer.close()
        if not rows:
            raise NothingToBuildError(archive, tuple(rejects))
        _warn_of_doubtful_patients(rows)
        finished = _finish(partial, out.name, rows, rejects, writer.shards, settings)
    _warn_of_small_splits(finished.totals)
    say(f"{finished.totals.samples} slices of {finished.totals.patients} patients in {len(finished.shards)} shard(s)")
    return BuildReport(finished, tuple(rejects))


def _require_output(out: Path, archive: Path, overwrite: bool) -> None:
    """Refuse an output that exists, that the next build would read as scans, or that is no set to be replaced."""
    require_new_directory(out, overwrite=overwrite)
    real_out, real_archive = out.resolve(), archive.resolve()
    if real_out.is_relative_to(real_archive):
        raise UsageError(
            "The set would lie inside the archive and be taken for scans by the next build",
            file=out,
            fix="Choose an output outside of the archive",
        )
    if out.is_dir() and any(out.iterdir()) and not (out / manifests.MANIFEST).is_file():
        raise UsageError(
            "The output directory holds something else than a shard set, which is not replaced",
            file=out,
            fix="Choose another path, or remove the directory yourself",
        )


def summary_of_rejects(rejects: Sequence[Reject]) -> str:
    """Counts for a sentence: `files rejected: 3 (not_an_image: 2, truncated: 1)`."""
    counts: Counter[str] = Counter()
    for reject in rejects:
        counts[reject.reason] += reject.files
    detail = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    return f"files rejected: {counts.total()}" + (f" ({detail})" if detail else "")


def _encoded_series(
    series: Sequence[SeriesSource], settings: BuildSettings, jobs: int
) -> Iterator[tuple[list[Sample], tuple[Reject, ...]]]:
    """Encoded slices and rejects of every series, in order.

    The series go out in portions, because joblib would otherwise run ahead of the writer without a limit.
    """
    portion = SERIES_AHEAD * joblib.effective_n_jobs(jobs)
    try:
        with joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=1) as parallel:
            for start in range(0, len(series), portion):
                yield from parallel(
                    joblib.delayed(_encode_series)(source, settings) for source in series[start : start + portion]
                )
    except BrokenProcessPool as error:
        raise RadnetError(
            "A worker process died, most often because the memory was full", fix="Build with fewer --jobs"
        ) from error


def _encode_series(source: SeriesSource, settings: BuildSettings) -> tuple[list[Sample], tuple[Reject, ...]]:
    try:
        scan, rejects = read_series(source)
    except UnreadableSeries as error:
        return [], error.rejects
    return list(samples_of(scan, settings.split_fractions)), rejects


def _warn_of_small_splits(totals: manifests.Totals) -> None:
    """Say at once what would stop a comparison later."""
    few = [f"{split} {count}" for split, count in totals.patients_by_split.items() if count < LEAST_PATIENTS[split]]
    if few:
        warn(
            f"few patients: {', '.join(few)}; pretraining works, but a comparison needs training patients, one for "
            "validation (linear probe) and two for test: see --split-fractions"
        )


def _warn_of_doubtful_patients(rows: Sequence[dict[str, Any]]) -> None:
    """Say what may put one person on two sides of the split."""
    series = {row["series_key"]: row["notes"].split(";") for row in rows}
    for note, words in DOUBTFUL_PATIENTS.items():
        count = sum(note in notes for notes in series.values())
        if count:
            warn(f"{count} series {words}; a patient column in the metadata makes sure")
    splits: dict[str, set[str]] = {}
    for row in rows:
        if row["image_bytes"] > LEAST_DETAIL * row["rows"] * row["columns"]:  # plain air is the same everywhere
            splits.setdefault(row["content_hash"], set()).add(row["split"])
    shared = sum(len(sides) > 1 for sides in splits.values())
    if shared:
        warn(f"{shared} slices stand in more than one split, pixel by pixel: the same scan under two patients?")


def _finish(
    directory: Path,
    name: str,
    rows: Sequence[dict[str, Any]],
    rejects: Sequence[Reject],
    shards: Sequence[manifests.ShardFile],
    settings: BuildSettings,
) -> manifests.Manifest:
    """Write the tables and, last, the manifest."""
    described: dict[str, Any] = asdict(settings)
    split_of_patient = {row["patient_key"]: row["split"] for row in rows}
    synthetic = {row["synthetic"] for row in rows}
    manifest = manifests.Manifest(
        format_version=2,
        name=name,
        modality="+".join(sorted({row["modality"] for row in rows})),
        slice_size="native",
        settings=described,
        settings_sha256=settings_hash(described),
        tool_version=__version__,
        content_sha256=content_sha256(rows),
        synthetic="some" if len(synthetic) == 2 else "all" if True in synthetic else "none",
        totals=manifests.Totals(
            samples=len(rows),
            series=len({row["series_key"] for row in rows}),
            patients=len(split_of_patient),
            rejected_files=sum(reject.files for reject in rejects),
            samples_by_split=dict.fromkeys(SPLITS, 0) | Counter(row["split"] for row in rows),
            patients_by_split=dict.fromkeys(SPLITS, 0) | Counter(split_of_patient.values()),
            samples_by_region=dict(sorted(Counter(row["body_region"] for row in rows).items())),
        ),
        index=write_index(rows, directory / manifests.INDEX),
        rejects=write_rejects(rejects, directory / manifests.REJECTS),
        shards=tuple(shards),
    )
    manifests.write_manifest(manifest, directory)
    return manifest
