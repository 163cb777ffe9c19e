"""From an archive to a shard set: series in parallel, one writer, the same bytes whatever the number of jobs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from radnet import __version__
from radnet.console import progress, say
from radnet.errors import RadnetError, UsageError
from radnet.files import new_directory, require_directory, require_new_directory
from radnet.hashing import settings_hash, sha256_of_file
from radnet.scans.archive import Inventory, Reject, SeriesSource, UnreadableSeries, read_series, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.shards import manifest as manifests
from radnet.shards.rows import samples_of
from radnet.shards.splits import DEFAULT_FRACTIONS, SPLITS
from radnet.shards.writer import DEFAULT_SHARD_BYTES, Sample, ShardWriter


@dataclass(frozen=True)
class BuildSettings:
    """What shapes a set's bytes, apart from the scans and the secret.

    Attributes:
        split_fractions: Shares of train, val and test patients.
        shard_bytes: Upper bound of a shard's payload (one sample may exceed it).
    """

    split_fractions: tuple[float, float, float] = DEFAULT_FRACTIONS
    shard_bytes: int = DEFAULT_SHARD_BYTES


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
        overwrite: Replace an existing set.

    Raises:
        UsageError: A path is wrong.
        RadnetError: No slice could be read, or the disk is full.
    """
    require_directory(archive, "an archive of scans")
    require_new_directory(out, overwrite=overwrite)
    inventory = take_inventory(archive, hasher, metadata=metadata, jobs=jobs)
    if inventory.files_seen == 0:
        raise UsageError("The archive is empty: no file below this directory", file=archive, fix="Check the path")
    with new_directory(out, overwrite=overwrite) as partial:
        writer = ShardWriter(partial, out.name, settings.shard_bytes)
        rejects = list(inventory.rejects)
        with progress("building shards (series)", len(inventory.series)) as meter:
            for samples, rejected in _encoded_series(inventory, settings, jobs):
                for sample in samples:
                    writer.add(sample)
                rejects.extend(rejected)
                meter.advance(note=f"{len(writer.shards)} shards closed, {len(rejects)} rejects")
        rows = writer.close()
        if not rows:
            raise RadnetError(
                f"No CT slice could be read from this archive: {summary_of_rejects(rejects)}",
                file=archive,
                fix="Check that the directory holds CT series as DICOM or NIfTI files",
            )
        finished = _finish(partial, out.name, pd.DataFrame(rows), rejects, writer, settings)
    say(f"{finished.totals.samples} slices of {finished.totals.patients} patients in {len(finished.shards)} shards")
    return BuildReport(finished, tuple(rejects))


def summary_of_rejects(rejects: list[Reject] | tuple[Reject, ...]) -> str:
    """Counts for a sentence: `3 files rejected (not_an_image: 2, truncated: 1)`."""
    counts: Counter[str] = Counter()
    for reject in rejects:
        counts[reject.reason] += reject.files
    detail = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    return f"{counts.total()} files rejected" + (f" ({detail})" if detail else "")


def _encoded_series(
    inventory: Inventory, settings: BuildSettings, jobs: int
) -> Iterator[tuple[list[Sample], tuple[Reject, ...]]]:
    """Encoded slices and rejects of every series, in the inventory's order, a few series ahead at most."""
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="2*n_jobs")
    yield from parallel(joblib.delayed(_encode_series)(source, settings) for source in inventory.series)


def _encode_series(source: SeriesSource, settings: BuildSettings) -> tuple[list[Sample], tuple[Reject, ...]]:
    try:
        scan, rejects = read_series(source)
    except UnreadableSeries as error:
        return [], error.rejects
    return list(samples_of(scan, settings.split_fractions)), rejects


def _finish(
    directory: Path,
    name: str,
    index: pd.DataFrame,
    rejects: list[Reject],
    writer: ShardWriter,
    settings: BuildSettings,
) -> manifests.Manifest:
    """Write the tables and, last, the manifest."""
    reject_rows = [asdict(reject) for reject in sorted(rejects, key=lambda r: (r.reason, r.file_key))]
    reject_table = pd.DataFrame(reject_rows, columns=["file_key", "reason", "sentence", "files"])
    described: dict[str, Any] = asdict(settings)
    patients = index.drop_duplicates("patient_key")
    manifest = manifests.Manifest(
        format_version=1,
        name=name,
        modality="+".join(sorted(index["modality"].unique())),
        slice_size="native",
        settings=described,
        settings_sha256=settings_hash(described),
        tool_version=__version__,
        synthetic="all" if index["synthetic"].all() else "some" if index["synthetic"].any() else "none",
        totals=manifests.Totals(
            samples=len(index),
            series=index["series_key"].nunique(),
            patients=len(patients),
            rejected_files=int(reject_table["files"].sum()),
            samples_by_split=_counts(index["split"], SPLITS),
            patients_by_split=_counts(patients["split"], SPLITS),
            samples_by_region=_counts(index["body_region"], ()),
        ),
        index=_write_table(index, directory / manifests.INDEX),
        rejects=_write_table(reject_table, directory / manifests.REJECTS),
        shards=tuple(writer.shards),
    )
    manifests.write_manifest(manifest, directory)
    return manifest


def _counts(values: "pd.Series[str]", always: tuple[str, ...]) -> dict[str, int]:
    counted = values.value_counts()
    return {name: int(counted.get(name, 0)) for name in [*always, *sorted(set(counted.index) - set(always))]}


def _write_table(table: pd.DataFrame, path: Path) -> manifests.TableFile:
    table.to_parquet(path, engine="pyarrow", compression="zstd", index=False)
    return manifests.TableFile(file=path.name, rows=len(table), sha256=sha256_of_file(path))
