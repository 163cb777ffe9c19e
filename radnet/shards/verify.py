"""Is a set what it was when it was built? Everything that is wrong is found, not only the first thing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radnet.console import progress
from radnet.errors import UsageError
from radnet.files import require_directory
from radnet.hashing import settings_hash, sha256_of_file
from radnet.shards.manifest import MANIFEST, Manifest, TableFile, read_manifest
from radnet.shards.problems import Problem, quoted
from radnet.shards.tables import REJECT_COLUMNS
from radnet.shards.verify_index import count_problems, order_problems, schema_problems
from radnet.shards.verify_shard import verify_shard

_LATER_REJECT_COLUMNS = {"slices"}
MISSING = "it is missing"


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        problems: What is wrong.
        notes: What is odd and does no harm.
        samples: Samples that the manifest promises, 0 when it cannot be read.
        shards: Shards that it promises.
    """

    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    samples: int
    shards: int


def verify_set(path: Path, *, full: bool = False, jobs: int = 1) -> Verification:
    """Check a set. Without `full`, nothing but sizes, counts and the two tables is looked at.

    Args:
        path: Directory of the set.
        full: Read every byte: hashes, members of the tars, and every sample decoded and compared with the index.
        jobs: Number of worker processes of the full check.

    Raises:
        UsageError: There is no such directory, or it is no shard set.
    """
    require_directory(path, "a shard set")
    try:
        manifest = read_manifest(path)
    except UsageError as error:
        if not (path / MANIFEST).exists():
            raise
        return Verification((Problem(MANIFEST, "", error.what),), (), 0, 0)
    found = list(_quick(path, manifest))
    if full:
        found += _full(path, manifest, jobs, {problem.file for problem in found if problem.what == MISSING})
    found = list(dict.fromkeys(found))
    notes = tuple(problem for problem in found if problem.note)
    problems = tuple(problem for problem in found if not problem.note)
    return Verification(problems, notes, manifest.totals.samples, len(manifest.shards))


def _quick(path: Path, manifest: Manifest) -> Iterator[Problem]:
    """Manifest, files, sizes, tables and counts."""
    if settings_hash(manifest.settings) != manifest.settings_sha256:
        yield Problem(MANIFEST, "", "settings_sha256 is not the hash of the settings")
    if sum(shard.samples for shard in manifest.shards) != manifest.totals.samples:
        yield Problem(MANIFEST, "", "the samples of the shards do not sum to the total")
    names = [manifest.index.file, manifest.rejects.file, *(shard.file for shard in manifest.shards)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(MANIFEST, "", f"it names {quoted(name)} twice")
    for name in names:
        if Path(name).name != name:
            yield Problem(MANIFEST, "", f"it names a file outside of the set: {quoted(name)}")
    for shard in manifest.shards:
        file = path / shard.file
        if not file.is_file():
            yield Problem(shard.file, "", MISSING)
        elif file.stat().st_size != shard.bytes:
            yield Problem(shard.file, "", f"it has {file.stat().st_size} bytes, the manifest says {shard.bytes}")
    for extra in sorted(entry.name for entry in path.iterdir() if entry.name not in {*names, MANIFEST}):
        yield Problem(extra, "", "it does not belong to the set", note=True)
    yield from _table_problems(path, manifest.index)
    yield from _table_problems(path, manifest.rejects)
    try:
        index = _readable_index(path, manifest)
        if isinstance(index, Path):
            yield from count_problems(index, manifest)
        else:
            yield from index
    except (OSError, pa.ArrowException) as error:
        yield Problem(manifest.index.file, "", f"it cannot be read ({type(error).__name__})")
    yield from _reject_problems(path, manifest)


def _table_problems(path: Path, table: TableFile) -> Iterator[Problem]:
    file = path / table.file
    if not file.is_file():
        yield Problem(table.file, "", MISSING)
    elif sha256_of_file(file) != table.sha256:
        yield Problem(table.file, "", "its bytes are not the ones that were written (SHA-256)")


def _readable_index(path: Path, manifest: Manifest) -> Path | list[Problem]:
    """The index, or why its columns cannot be looked at; nothing at all when it is missing, which was said already."""
    index = path / manifest.index.file
    if not index.is_file():
        return []
    return schema_problems(index, manifest) or index


def _reject_problems(path: Path, manifest: Manifest) -> Iterator[Problem]:
    file = path / manifest.rejects.file
    if not file.is_file():
        return
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        yield Problem(file.name, "", f"it cannot be read ({type(error).__name__})")
        return
    needed = REJECT_COLUMNS.keys() - (_LATER_REJECT_COLUMNS if manifest.format_version == 1 else set())
    for name in sorted(needed - set(table.column_names)):
        yield Problem(file.name, "", f"the column {name} is missing")
    if len(table) != manifest.rejects.rows:
        yield Problem(file.name, "", f"it has {len(table)} rows, the manifest says {manifest.rejects.rows}")
    if "files" in table.column_names:
        files = pc.sum(table["files"]).as_py() or 0
        if files != manifest.totals.rejected_files:
            what = f"its rows stand for {files} files, the manifest says {manifest.totals.rejected_files}"
            yield Problem(file.name, "", what)


def _full(path: Path, manifest: Manifest, jobs: int, missing: set[str]) -> Iterator[Problem]:
    """Every byte of every shard, then the order of the index."""
    index: Path | None
    try:
        readable = _readable_index(path, manifest)
        index = readable if isinstance(readable, Path) else None
    except (OSError, pa.ArrowException):
        index = None
    there = [shard for shard in manifest.shards if shard.file not in missing and Path(shard.file).name == shard.file]
    with progress("verifying shards", len(there)) as meter:
        tasks = (joblib.delayed(verify_shard)(path, shard, index) for shard in there)
        wrong = 0
        for problems in joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks):
            wrong += len(problems)
            meter.advance(note=f"{wrong} problems" if wrong else "")
            yield from problems
    if index is not None:
        yield from order_problems(index, manifest)
