"""The index against itself and against the totals of the manifest."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radnet.errors import UsageError
from radnet.shards.columns import batches, stream_rows
from radnet.shards.manifest import Manifest
from radnet.shards.problems import Problem, quoted
from radnet.shards.splits import SPLITS, check_fractions, split_of
from radnet.shards.tables import INDEX_COLUMNS, LABEL_PREFIX, content_sha256
from radnet.shards.writer import KEY_DIGITS

_LATER_COLUMNS = {"image_format"}
"""Columns that sets of format version 1 lack."""


def schema_problems(index: Path, manifest: Manifest) -> list[Problem]:
    """Columns that are missing or of another type; empty when the index can be read on."""
    schema = pq.read_schema(index)
    problems = []
    for name, kind in INDEX_COLUMNS.items():
        if name not in schema.names:
            if manifest.format_version > 1 or name not in _LATER_COLUMNS:
                problems.append(Problem(index.name, "", f"the column {name} is missing"))
        elif schema.field(name).type != kind:
            problems.append(Problem(index.name, "", f"the column {name} is {schema.field(name).type}, not {kind}"))
    for name in schema.names:
        if name not in INDEX_COLUMNS and not name.startswith(LABEL_PREFIX):
            problems.append(Problem(index.name, "", f"there is an unknown column {quoted(name)}"))
    return problems


@dataclass
class _Counts:
    samples: int = 0
    shards: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    regions: Counter[str] = field(default_factory=Counter)
    modalities: set[str] = field(default_factory=set)
    synthetic: set[bool] = field(default_factory=set)
    series: dict[str, str] = field(default_factory=dict)
    splits_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def count_problems(index: Path, manifest: Manifest) -> Iterator[Problem]:
    """Counts and splits, column by column.

    Args:
        index: A table without `schema_problems`.
        manifest: What the set should be.
    """
    counts = _Counts()
    yield from _count(index, counts)
    name = index.name
    if counts.samples != manifest.index.rows:
        yield Problem(name, "", f"it has {counts.samples} rows, the manifest says {manifest.index.rows}")
    shards = {shard.file: shard.samples for shard in manifest.shards}
    for file in sorted(shards.keys() | counts.shards.keys()):
        if file not in shards:
            yield Problem(name, "", f"{counts.shards[file]} samples are in {quoted(file)}, no shard of this set")
        elif counts.shards[file] != shards[file]:
            what = f"the index has {counts.shards[file]} samples of it, the manifest says {shards[file]}"
            yield Problem(file, "", what)
    for what, seen, said in _totals(counts, manifest):
        if seen != said:
            yield Problem("manifest.json", "", f"it says {what}: {said}; the index has {seen}")
    yield from _split_problems(counts, manifest, name)


def _count(index: Path, counts: _Counts) -> Iterator[Problem]:
    columns = ["shard", "split", "body_region", "modality", "synthetic", "series_key", "patient_key"]
    for table in batches(index, columns):
        counts.samples += len(table)
        for column, counter in (("shard", counts.shards), ("split", counts.splits), ("body_region", counts.regions)):
            for entry in pc.value_counts(table[column]).to_pylist():
                counter[str(entry["values"])] += entry["counts"]
        counts.modalities.update(str(value) for value in pc.unique(table["modality"]).to_pylist())
        counts.synthetic.update(pc.unique(table["synthetic"]).to_pylist())
        pairs = table.group_by(["series_key", "patient_key", "split"]).aggregate([]).to_pylist()
        for pair in pairs:
            series, patient = str(pair["series_key"]), str(pair["patient_key"])
            counts.splits_of[patient].add(str(pair["split"]))
            if counts.series.setdefault(series, patient) != patient:
                yield Problem(index.name, "", f"series {series} has two patients")


def _totals(counts: _Counts, manifest: Manifest) -> Iterator[tuple[str, Any, Any]]:
    """What is said, what the index has, what the manifest says."""
    totals = manifest.totals
    patients = Counter(split for splits in counts.splits_of.values() for split in splits)
    yield "samples", counts.samples, totals.samples
    yield "series", len(counts.series), totals.series
    yield "patients", len(counts.splits_of), totals.patients
    yield "samples_by_split", dict.fromkeys(SPLITS, 0) | counts.splits, totals.samples_by_split
    yield "patients_by_split", dict.fromkeys(SPLITS, 0) | patients, totals.patients_by_split
    yield "samples_by_region", dict(sorted(counts.regions.items())), totals.samples_by_region
    yield "modality", "+".join(sorted(counts.modalities)), manifest.modality
    synthetic = "some" if len(counts.synthetic) == 2 else "all" if True in counts.synthetic else "none"
    yield "synthetic", synthetic, manifest.synthetic


def _split_problems(counts: _Counts, manifest: Manifest, name: str) -> Iterator[Problem]:
    try:
        fractions = check_fractions(manifest.settings["split_fractions"])
    except KeyError:
        fractions = None
    except (UsageError, TypeError):
        fractions = None
        yield Problem("manifest.json", "", "its split_fractions are no shares of train, val and test")
    both = sum(len(splits) > 1 for splits in counts.splits_of.values())
    declared = _declared_leaks(manifest)
    for patient, splits in counts.splits_of.items():
        for split in sorted(splits - set(SPLITS)):
            yield Problem(name, "", f"patient {patient} is in {quoted(split)}, no split")
        if len(splits) > 1 and both > declared:
            yield Problem(name, "", f"patient {patient} is on two sides of the split: {', '.join(sorted(splits))}")
        elif len(splits) == 1 and fractions is not None and splits != {split_of(patient, fractions)}:
            expected = split_of(patient, fractions)
            yield Problem(name, "", f"patient {patient} is in {min(splits)}; key and fractions give {expected}")


def _declared_leaks(manifest: Manifest) -> int:
    """Patients on two sides of a split that the data came with, which the set was told to keep and says so."""
    split = manifest.settings.get("prepared", {}).get("split", {})
    return int(split.get("leaks", {}).get("groups_kept", 0)) if split.get("kind") == "own" else 0


def order_problems(index: Path, manifest: Manifest) -> Iterator[Problem]:
    """Running keys, shards and series in order, and the hash of the content; row by row."""
    problems: list[Problem] = []
    try:
        content = content_sha256(_in_order(stream_rows(index), manifest, index.name, problems))
    except (pa.ArrowException, OSError) as error:
        yield Problem(index.name, "", f"it cannot be read to its end ({type(error).__name__})")
        return
    yield from problems
    if content != manifest.content_sha256:
        yield Problem("manifest.json", "", "content_sha256 is not the hash of what the index says")


def _in_order(
    rows: Iterator[dict[str, Any]], manifest: Manifest, name: str, problems: list[Problem]
) -> Iterator[dict[str, Any]]:
    """The rows, while their order is looked at."""
    numbers = {shard.file: number for number, shard in enumerate(manifest.shards)}
    keys_seen, before, last_number = -1, ("", "", -1), 0
    for row in rows:
        key = str(row["key"])
        place = str(row["patient_key"]), str(row["series_key"]), row["slice"] if row["slice"] is not None else -1
        number = numbers.get(str(row["shard"]), last_number)
        expected = f"{keys_seen + 1:0{KEY_DIGITS}d}"
        if key != expected:
            twice = key.isdecimal() and int(key) <= keys_seen
            what = "its row is there twice or out of order" if twice else f"key {expected} was expected here"
            problems.append(Problem(name, key, what))
        keys_seen = max(keys_seen, int(key) if key.isdecimal() else keys_seen + 1)
        if number < last_number:
            problems.append(Problem(name, key, "its shard comes before the one of the sample before"))
        if place <= before:
            problems.append(Problem(name, key, "it is not behind the sample before by patient, series and slice"))
        before, last_number = place, number
        yield row
