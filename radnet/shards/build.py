"""From an archive to a shard set: series in parallel, one writer, the same bytes whatever the jobs and kills."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import joblib

from radnet import __version__
from radnet.console import progress, say, warn
from radnet.errors import RadnetError, UsageError
from radnet.files import require_directory, require_new_directory
from radnet.hashing import settings_hash
from radnet.scans.archive import Inventory, Reject, SeriesSource, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.scans.nifti import is_nifti_name
from radnet.scans.sources import RefusedError
from radnet.scans.structures import table_for
from radnet.shards import manifest as manifests
from radnet.shards.assembly import Assembly
from radnet.shards.backends import Backend, workers
from radnet.shards.finish import FinishedSet, finish_set
from radnet.shards.parts import Part, encode_part
from radnet.shards.selection import parse_rule, selected
from radnet.shards.settings import BuildSettings
from radnet.shards.workplace import Workplace, workplace

__all__ = ["BuildReport", "BuildSettings", "NothingToBuildError", "build_shards", "choose_series", "summary_of_rejects"]

TASKS_AHEAD = 32
"""So many tasks a job are encoded and wait in the spool at most; at the end of each such portion some jobs wait for the
last one."""
TASK_SLICES, TASK_SERIES = 32, 64
"""Short series, or pictures, go to a worker together, until they have so many slices; few, or the last task keeps one
worker busy while the others have nothing left to do."""

DOUBTFUL_PATIENTS = {
    "patient_from_directory": "name no patient, so each directory of files counts as one",
    "no_patient_id": "have no PatientID, so each study counts as a patient",
}
"""Note of a scan -> what it means for the split."""
LEAST_PATIENTS = {"train": 1, "val": 1, "test": 2}
"""Patients without which no comparison can be made."""
EXCLUDED, LIMIT = "excluded", "limit"
DEFAULTS = BuildSettings()


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        manifest: The manifest of the finished set.
        rejects: Everything that was not used, with paths relative to the archive. For the terminal: the paths may
            identify patients and are not in the set.
        crossing_splits: Slices that occur in more than one split, pixel by pixel.
    """

    manifest: manifests.Manifest
    rejects: tuple[Reject, ...]
    crossing_splits: int = 0


class NothingToBuildError(RadnetError):
    """An archive with files of which none became a slice.

    Args:
        archive: The archive.
        rejects: Why, file by file.
        modalities: What was asked for.
    """

    def __init__(self, archive: Path, rejects: tuple[Reject, ...], modalities: Sequence[str] = ("CT",)) -> None:
        self.rejects = rejects
        wanted = " or ".join(modalities)
        super().__init__(
            f"No {wanted} slice could be read from this archive: {summary_of_rejects(rejects)}",
            file=archive,
            fix=f"Check that the directory holds {wanted} images, and what --include and --exclude leave of them",
        )


def build_shards(
    archive: Path,
    out: Path,
    hasher: KeyedHash,
    settings: BuildSettings = DEFAULTS,
    *,
    metadata: Path | None = None,
    jobs: int = 1,
    backend: Backend = "processes",
    address: str | None = None,
    overwrite: bool = False,
) -> BuildReport:
    """Build the shard set `out` from all scans below `archive`.

    Series are ordered by their keyed hashes, so the order of patients says nothing of the archive and does not
    depend on how the files are named or how many jobs read them. A build that was killed goes on behind its last
    closed shard when it is called again with the same archive, settings and secret.

    Args:
        archive: Directory of DICOM and NIfTI files.
        out: Directory of the set; it appears when the set is complete.
        hasher: Keyed hash for patients, series and files; its secret never enters the set.
        settings: What shapes the bytes of the set.
        metadata: CSV of metadata; by default `metadata.csv` at the top of the archive, where there is one.
        jobs: Number of workers.
        backend: Where they run.
        address: Of a cluster that runs already (see `radnet.shards.backends`).
        overwrite: Replace an existing set; nothing but a set is ever replaced.

    Raises:
        UsageError: A path is wrong: no archive, an empty one, or an output that exists or lies in the archive; or
            another build is writing to the output.
        RadnetError: No slice could be read, the disk is full, or a worker died.
    """
    out = out.absolute()
    require_directory(archive, "an archive of scans")
    _require_output(out, archive, overwrite)
    inventory = take_inventory(archive, hasher, metadata=metadata, jobs=jobs, modalities=settings.modalities)
    if inventory.files_seen == 0:
        raise UsageError("The archive is empty: no file below this directory", file=archive, fix="Check the path")
    return build_inventory(
        inventory,
        archive,
        out,
        hasher,
        settings,
        jobs=jobs,
        backend=backend,
        address=address,
        overwrite=overwrite,
    )


def build_inventory(
    inventory: Inventory,
    archive: Path,
    out: Path,
    hasher: KeyedHash,
    settings: BuildSettings = DEFAULTS,
    *,
    about: Mapping[str, Any] = MappingProxyType({}),
    jobs: int = 1,
    backend: Backend = "processes",
    address: str | None = None,
    overwrite: bool = False,
) -> BuildReport:
    """Build the shard set `out` from an inventory that was taken, or made, before; see `build_shards`.

    Args:
        inventory: Its series and rejects.
        archive: Where they lie, for messages.
        out: Directory of the set.
        hasher: The keyed hash with which the inventory was taken.
        settings: What shapes the bytes of the set.
        about: What the manifest's settings shall say besides, JSON values. Where series bring a split of their own,
            `split_fractions` does not hold and is left out.
        jobs: Number of workers.
        backend: Where they run.
        address: Of a cluster that runs already.
        overwrite: Replace an existing set.

    Raises:
        UsageError: The output exists, lies in the archive, or is being written by another build.
        RadnetError: No slice could be read, the disk is full, or a worker died.
    """
    out = out.absolute()
    _require_output(out, archive, overwrite)
    series, left = choose_series(inventory.series, settings)
    rejects = [*inventory.rejects, *left]
    if not series:
        raise NothingToBuildError(archive, tuple(rejects), settings.modalities)
    described = settings.describe() | dict(about)
    if any(source.split for source in series):
        del described["split_fractions"]
    identity = _identity(inventory, hasher, described, out.name)
    with workplace(out, identity, overwrite=overwrite) as place:
        with Assembly(place, out.name, settings, series) as assembly:
            _fill(assembly, series, settings, place, jobs, backend, address)
            rejects += assembly.rejects
            if not assembly.samples:
                raise NothingToBuildError(archive, tuple(rejects), settings.modalities)
            finished = finish_set(
                place.path,
                out.name,
                assembly.writer,
                place.journal,
                rejects=rejects,
                settings=described | {manifests.KEYED_BY: hasher.identity()},
                slice_size=settings.size,
                dropped_slices=assembly.dropped_slices,
                removed_tags=assembly.removed_tags,
            )
        crossing = assembly.crossing_splits
    _warn_of_doubtful_patients(finished, crossing)
    totals = finished.manifest.totals
    _warn_of_small_splits(totals)
    say(f"{totals.samples} slices of {totals.patients} patients in {len(finished.manifest.shards)} shard(s)")
    return BuildReport(finished.manifest, tuple(rejects), crossing)


def choose_series(series: Sequence[SeriesSource], settings: BuildSettings) -> tuple[list[SeriesSource], list[Reject]]:
    """The series that rules and limit let in, in order, and a reject for each of the others."""
    include = [parse_rule(rule, "--include") for rule in settings.include]
    exclude = [parse_rule(rule, "--exclude") for rule in settings.exclude]
    chosen: list[SeriesSource] = []
    left: list[Reject] = []
    for source in series:
        if not selected(source, include, exclude):
            left += source.unreadable(EXCLUDED, "The series is left out by --include or --exclude").rejects
        elif settings.limit is not None and len(chosen) >= settings.limit:
            left += source.unreadable(LIMIT, "The series is left out by --limit").rejects
        else:
            chosen.append(source)
    return chosen, left


def summary_of_rejects(rejects: Sequence[Reject]) -> str:
    """Counts for a sentence: `files rejected: 3 (not_an_image: 2, truncated: 1)`."""
    counts: Counter[str] = Counter()
    for reject in rejects:
        counts[reject.reason] += reject.files
    detail = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    return f"files rejected: {counts.total()}" + (f" ({detail})" if detail else "")


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
    manifests.require_set_or_nothing(out)


def _identity(inventory: Inventory, hasher: KeyedHash, settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What must agree for an unfinished build to be continued: version, settings, secret, every file's date.

    And what the table of structures of a mask says; a set without such tables has the identity it always had.
    """
    digest = hashlib.sha256()
    for source in inventory.series:
        stats = [(source.root / path).stat() for path in source.files]
        files: list[tuple[str | int, ...]] = [
            (key, stat.st_size, stat.st_mtime_ns) for key, stat in zip(source.file_keys, stats, strict=True)
        ]
        if source.mask is not None:
            stat = source.mask.stat()
            files.append(("mask", stat.st_size, stat.st_mtime_ns))
            files += _structures(source.mask, source.root)
        about = (source.patient_key, source.series_key, source.tags, source.labels, source.slice_labels, files)
        digest.update(repr((*about, source.split)).encode())
    return {
        "version": __version__,
        "name": name,
        "settings": dict(settings),
        "secret": hasher.identity(),
        "scans": digest.hexdigest(),
    }


def _structures(mask: Path, root: Path) -> list[tuple[str | int, ...]]:
    """The content of the table that gives the structures of a mask their numbers, where there is one."""
    if is_nifti_name(mask):
        return []
    try:
        numbers = table_for(mask, root).numbers
    except RefusedError as refused:
        return [("structures", refused.sentence)]
    return [] if numbers is None else [("structures", settings_hash(numbers))]


def _fill(
    assembly: Assembly,
    series: Sequence[SeriesSource],
    settings: BuildSettings,
    place: Workplace,
    jobs: int,
    backend: Backend,
    address: str | None,
) -> None:
    """Encode the series that are not in closed shards yet, and write them."""
    with progress("building shards (series)", len(series)) as meter:
        meter.advance(assembly.next_series)
        if assembly.next_series == len(series):
            assembly.close()
            return
        with workers(backend, jobs, address) as parallel:
            for part in _parts(parallel, series[assembly.next_series :], settings, place.spool, jobs):
                for _ in assembly.add_part(part):
                    shards = len(assembly.writer.shards)
                    meter.advance(note=f"{shards} shards closed, {len(assembly.rejects)} rejects")
                part.path.unlink()
        assembly.close()


def _parts(
    parallel: joblib.Parallel, series: Sequence[SeriesSource], settings: BuildSettings, spool: Path, jobs: int
) -> Iterator[Part]:
    """Encoded parts in the order of the series.

    The tasks go out in portions, because joblib would otherwise run ahead of the writer without a limit.
    """
    tasks = list(_tasks(series))
    portion = TASKS_AHEAD * joblib.effective_n_jobs(jobs)
    for start in range(0, len(tasks), portion):
        yield from parallel(
            joblib.delayed(encode_part)(task, settings, spool / f"{start + number:09d}")
            for number, task in enumerate(tasks[start : start + portion])
        )


def _tasks(series: Sequence[SeriesSource]) -> Iterator[list[SeriesSource]]:
    task: list[SeriesSource] = []
    for source in series:
        task.append(source)
        if len(task) >= TASK_SERIES or sum(item.slices for item in task) >= TASK_SLICES:
            yield task
            task = []
    if task:
        yield task


def _warn_of_small_splits(totals: manifests.Totals) -> None:
    """Say at once what would stop a comparison later."""
    few = [f"{split} {count}" for split, count in totals.patients_by_split.items() if count < LEAST_PATIENTS[split]]
    if few:
        warn(
            f"few patients: {', '.join(few)}; pretraining works, but a comparison needs training patients, one for "
            "validation (linear probe) and two for test: see --split-fractions"
        )


def _warn_of_doubtful_patients(finished: FinishedSet, crossing: int) -> None:
    """Say what may put one person on two sides of the split."""
    for note, words in DOUBTFUL_PATIENTS.items():
        count = finished.series_by_note.get(note, 0)
        if count:
            warn(f"{count} series {words}; a patient column in the metadata makes sure")
    if crossing:
        warn(f"{crossing} slices occur in more than one split, pixel by pixel: the same scan under two patients?")
