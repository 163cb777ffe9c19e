"""The result record: one JSON file for one cell (model, task, protocol, fraction, condition, seed) of a comparison.

A record is all that the leaderboard knows. It is checked when it is made and when it is read, so a number that
nobody can trace (an unnamed field, an interval the wrong way round, a hash of another cell) never reaches a table.
Records of earlier versions are brought to this one when they are read (`radnet.record_versions`).
"""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, JsonValue, StringConstraints, ValidationError, field_validator, model_validator

import radnet
from radnet.errors import UsageError
from radnet.files import require_directory, write_atomically
from radnet.hashing import settings_hash
from radnet.record_parts import (
    AnyDifference,
    Condition,
    Counts,
    Curve,
    Difference,
    Environment,
    Frozen,
    Interval,
    ModelCard,
    Overlap,
    ProtocolCard,
    Resampled,
    TaskCard,
)
from radnet.record_versions import SCHEMA_VERSION, UnreadableRecordError, content_of

__all__ = [
    "SCHEMA_VERSION",
    "BrokenRecord",
    "Condition",
    "Counts",
    "Curve",
    "Difference",
    "Environment",
    "Interval",
    "ModelCard",
    "Overlap",
    "ProtocolCard",
    "Resampled",
    "ResultRecord",
    "TaskCard",
    "cell_hash",
    "current_environment",
    "located_records",
    "read_record",
    "read_records",
    "record_path",
    "scan_records",
    "write_record",
]

CELL_HEX_DIGITS = 16
READ_AGAIN = "Delete the file and evaluate its cell again, or move it out if it is no result record"


class ResultRecord(Frozen):
    """One cell of a comparison.

    Attributes:
        schema_version: Version of this format.
        created: UTC time as ISO 8601 with offset ("2026-01-31T12:00:00+00:00").
        status: "done", or "unavailable" when the cell could not be computed (weights out of reach, …).
        message: Why the cell is unavailable and how to mend it; empty when done.
        model: The backbone.
        task: The labelled set.
        protocol: The evaluation.
        fraction: Share of the training items that was used, in (0, 1].
        seed: Seed of everything random in the cell.
        counts: Items and patients; None when unavailable.
        metrics: Metric name -> value with interval. Empty when unavailable, else it holds the task's metric.
        selected: What was chosen on the validation split (regularisation, epoch), and warnings met on the way.
        differences: Paired differences of this row to a reference ("balanced_accuracy vs timm:NAME"), or None.
        condition: What was done to the images, None for none. Since version 2, as all that follow unless noted.
        per_class: Metric -> class -> value with interval; None where a class cannot be scored in this test set.
        curves: Name ("train_loss", "val_balanced_accuracy") -> its course.
        overlap: What is known of test images in the pretraining set, None when nobody asked.
        resampled: The task's metric on resamples, for ranks; None when not kept.
        undefined: Metric -> why it has no value on this test set.
        predictions: Per-sample predictions, path relative to the record's directory, or None (version 1).
        environment: Where it ran.
        wall_time_s: Duration in seconds.
        cell: `cell_hash` of the fields it is made from; a record with another one is refused.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    created: str
    status: Literal["done", "unavailable"]
    message: str = ""
    model: ModelCard
    task: TaskCard
    protocol: ProtocolCard
    fraction: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0)]
    counts: Counts | None
    metrics: dict[str, Interval]
    selected: dict[str, JsonValue] = Field(default_factory=dict)
    differences: dict[str, AnyDifference] | None = None
    condition: Condition | None = None
    per_class: dict[str, dict[str, Interval | None]] = Field(default_factory=dict)
    curves: dict[str, Curve] = Field(default_factory=dict)
    overlap: Overlap | None = None
    resampled: Resampled | None = None
    undefined: dict[str, str] = Field(default_factory=dict)
    predictions: str | None = None
    environment: Environment
    wall_time_s: Annotated[FiniteFloat, Field(ge=0)]
    cell: Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{CELL_HEX_DIGITS}}}$")]

    @field_validator("created")
    @classmethod
    def _utc(cls, created: str) -> str:
        if datetime.fromisoformat(created).utcoffset() != timedelta(0):
            raise ValueError(f"a UTC time with its offset is needed (2026-01-31T12:00:00+00:00), not {created!r}")
        return created

    @field_validator("predictions")
    @classmethod
    def _relative(cls, predictions: str | None) -> str | None:
        if predictions is not None:
            path = PurePosixPath(predictions)
            if path.is_absolute() or ".." in path.parts or "\\" in predictions or not path.parts:
                raise ValueError(f"a path below the record's directory is needed, not {predictions!r}")
        return predictions

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status == "unavailable":
            if self.metrics or self.per_class or self.differences or self.resampled or self.counts is not None:
                raise ValueError("an unavailable record has no metrics, differences or counts")
            if not self.message.strip():
                raise ValueError("an unavailable record needs a message: why, and how to mend it")
        else:
            if self.message:
                raise ValueError("a message belongs to an unavailable record only")
            if self.counts is None:
                raise ValueError("a finished record needs its counts")
            if self.task.metric not in self.metrics:
                raise ValueError(f"the task's metric {self.task.metric!r} is not among {sorted(self.metrics)}")
        strangers = {name for classes in self.per_class.values() for name in classes} - set(self.task.classes)
        if strangers:
            raise ValueError(f"per_class names {sorted(strangers)}, which are no classes of the task")
        expected = cell_hash(self.model, self.task, self.protocol, self.fraction, self.seed, self.condition)
        if self.cell != expected:
            raise ValueError(f"cell {self.cell} is not the hash of the record's content ({expected})")
        return self


def current_environment(device: str = "cpu") -> Environment:
    """The environment of this process, read from package metadata (nothing heavy is imported).

    Args:
        device: What the computation ran on, in words ("cpu", "cuda: NVIDIA A100").
    """
    return Environment(
        radnet=radnet.__version__,
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
        timm=importlib.metadata.version("timm"),
        platform=f"{platform.system()} {platform.machine()}",
        cpu_count=os.cpu_count() or 1,
        device=device,
    )


def cell_hash(
    model: ModelCard,
    task: TaskCard,
    protocol: ProtocolCard,
    fraction: float,
    seed: int,
    condition: Condition | None = None,
) -> str:
    """The identity of a cell: 16 hex digits of the SHA-256 over what decides its result.

    That is the weights (where there are none, the model's name), architecture and input channels, the task's name
    and manifest, the protocol's name and hash, the fraction, the seed and the condition. Words that only describe
    (arm, pretraining, method) do not enter, so mending a label does not make a new cell; nor does the absence of a
    condition, so cells of version 1 keep their names.
    """
    identity: dict[str, object] = {
        "weights": model.weights_sha256 or f"unavailable:{model.name}",
        "architecture": model.architecture,
        "in_chans": model.in_chans,
        "task": task.name,
        "manifest": task.manifest_hash,
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "fraction": float(fraction),
        "seed": int(seed),
    }
    if condition is not None:
        identity["condition"] = condition.model_dump(mode="json")
    return settings_hash(identity)[:CELL_HEX_DIGITS]


def write_record(record: ResultRecord, directory: Path) -> Path:
    """Write `<cell>.json` into `directory`, whole or not at all, replacing an earlier record of the cell.

    Returns:
        The path of the file.

    Raises:
        RadnetError: The disk is full or not writable.
    """
    path = record_path(directory, record.cell)
    write_atomically(path, record.model_dump_json(indent=2) + "\n")
    return path


def record_path(directory: Path, cell: str) -> Path:
    """Where the record of a cell lies."""
    return directory / f"{cell}.json"


@dataclass(frozen=True)
class BrokenRecord:
    """A file that is no valid record.

    Attributes:
        path: The file.
        error: What is wrong with it and how to mend it.
    """

    path: Path
    error: UsageError


def read_records(directory: Path) -> list[ResultRecord]:
    """Every record below `directory` (`*.json` at any depth, hidden files left out), sorted by path.

    Raises:
        UsageError: There is no such directory, or a file there is no valid record; names file and field.
    """
    return [record for _, record in located_records(directory)]


def located_records(directory: Path) -> list[tuple[Path, ResultRecord]]:
    """As `read_records`, each record with its file: predictions lie relative to that file's directory.

    Raises:
        UsageError: As `read_records`.
    """
    require_directory(directory, "a directory of result records")
    return [(path, read_record(path)) for path in sorted(_record_files(directory))]


def scan_records(directory: Path) -> tuple[list[ResultRecord], list[BrokenRecord]]:
    """As `read_records`, but files that are no valid records are handed back beside the records, sorted by path.

    Raises:
        UsageError: There is no such directory.
    """
    require_directory(directory, "a directory of result records")
    records, broken = [], []
    for path in sorted(_record_files(directory)):
        try:
            records.append(read_record(path))
        except UsageError as error:
            broken.append(BrokenRecord(path, error))
    return records, broken


NOT_RECORDS = {"site", "schema", "published"}
"""Directories of a results directory in which the leaderboard keeps other files."""


def _record_files(directory: Path) -> Iterator[Path]:
    for path in directory.rglob("*.json"):
        parts = path.relative_to(directory).parts
        if parts[0] not in NOT_RECORDS and not any(part.startswith(".") for part in parts):
            yield path


def read_record(path: Path) -> ResultRecord:
    """One record, of this version or an earlier one.

    Raises:
        UsageError: The file is no valid record (a field too few or too many, NaN, a key twice, a later version, no
            permission); names file and field.
    """
    try:
        return ResultRecord.model_validate(content_of(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"This record cannot be read: {error.strerror}", file=path, fix=READ_AGAIN) from error
    except UnreadableRecordError as error:
        raise UsageError(f"This is no valid result record: {error}", file=path, fix=error.fix or READ_AGAIN) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole record"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UsageError(
            f"This is no valid result record: {where}: {first['msg']}{more}", file=path, fix=READ_AGAIN
        ) from error
