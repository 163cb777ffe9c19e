"""The result record: one JSON file for one cell (model, task, protocol, fraction, seed) of a comparison.

A record is all that the leaderboard knows. It is checked when it is made and when it is read, so a number that
nobody can trace (an unnamed field, an interval the wrong way round, a hash of another cell) never reaches a table.
"""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

import radnet
from radnet.errors import UsageError
from radnet.files import require_directory, write_atomically
from radnet.hashing import settings_hash

CELL_HEX_DIGITS = 16
PATH_SCHEMES = ("run", "local-dir")
"""Schemes of a model's name that are followed by a path on somebody's machine."""

Name = Annotated[str, StringConstraints(min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Frozen(BaseModel):
    """Immutable, and without room for a field that nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, protected_namespaces=())


class ModelCard(_Frozen):
    """Which backbone was evaluated, and where its weights come from.

    Attributes:
        name: "run:…", "local-dir:…", "hf-hub:ORG/NAME", "timm:NAME" or "random:NAME". Of a path at most the last
            two parts, so that no directory of somebody's machine enters a result.
        arm: Side of the comparison the model stands on.
        architecture: timm name of the architecture.
        weights_sha256: SHA-256 of the weights, None when they could not be had.
        pretraining: What the weights were pretrained on, in a few words ("ImageNet-1k", "none").
        method: Pretraining method ("simclr", "dino", "mae", "supervised"), None when there was none.
        parameters: Number of parameters of the backbone.
        in_chans: Number of input channels.
        synthetic: Whether it was pretrained on synthetic scans.
    """

    name: Name
    arm: Literal["in-domain", "imagenet", "random", "other"]
    architecture: Name
    weights_sha256: Sha256 | None
    pretraining: str
    method: str | None
    parameters: Count
    in_chans: Annotated[int, Field(ge=1)]
    synthetic: bool

    @field_validator("name")
    @classmethod
    def _no_path_of_this_machine(cls, name: str) -> str:
        scheme, _, rest = name.partition(":")
        if scheme in PATH_SCHEMES and (rest.startswith("/") or "\\" in rest or len(PurePosixPath(rest).parts) > 2):
            raise ValueError(f"keep at most the last two parts of a path, joined by '/', not {name!r}")
        return name


class TaskCard(_Frozen):
    """Which labelled set was used.

    Attributes:
        name: Name of the task.
        manifest_hash: Hash of the set's manifest; two results are comparable only when it is the same.
        metric: Name of the primary metric, by which rows are ranked (higher is better).
        classes: Names of the classes, in the order of their numbers.
        synthetic: Whether the scans were made by the phantom.
    """

    name: Name
    manifest_hash: Name
    metric: Name
    classes: tuple[str, ...]
    synthetic: bool


class ProtocolCard(_Frozen):
    """How the model was evaluated.

    Attributes:
        name: Name of the protocol ("knn", "linear", …).
        settings: Every setting that changes the result.
        hash: Hash of name and settings; two results are comparable only when it is the same.
    """

    name: Name
    settings: dict[str, JsonValue]
    hash: Name


class Interval(_Frozen):
    """A value with its 95 % confidence interval.

    Attributes:
        value: The point estimate. A percentile interval need not hold it.
        low: Lower end.
        high: Upper end.
        undefined: Share of the bootstrap resamples on which the statistic was undefined and which were left out.
    """

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    undefined: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) lies above high ({self.high})")
        return self


class Counts(_Frozen):
    """How many items and patients stood on each side, after the fraction was taken."""

    train_items: Count
    val_items: Count
    test_items: Count
    train_patients: Count
    val_patients: Count
    test_patients: Count


class Environment(_Frozen):
    """Where the cell was computed: versions and machine in words, no host name, no path."""

    radnet: str
    python: str
    torch: str
    timm: str
    platform: str
    cpu_count: int
    device: str


class ResultRecord(_Frozen):
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
        predictions: Per-sample predictions, path relative to the record's directory, or None.
        environment: Where it ran.
        wall_time_s: Duration in seconds.
        cell: `cell_hash` of the fields it is made from; a record with another one is refused.
    """

    schema_version: Literal[1] = 1
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
    differences: dict[str, Interval] | None = None
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
            if self.metrics or self.differences or self.counts is not None:
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
        expected = cell_hash(self.model, self.task, self.protocol, self.fraction, self.seed)
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


def cell_hash(model: ModelCard, task: TaskCard, protocol: ProtocolCard, fraction: float, seed: int) -> str:
    """The identity of a cell: 16 hex digits of the SHA-256 over what decides its result.

    That is the weights (where there are none, the model's name), architecture and input channels, the task's name
    and manifest, the protocol's name and hash, the fraction and the seed. Words that only describe (arm,
    pretraining, method) do not enter, so mending a label does not make a new cell.
    """
    identity = {
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


def read_records(directory: Path) -> list[ResultRecord]:
    """Every record below `directory` (`*.json` at any depth, hidden files left out), sorted by path.

    Raises:
        UsageError: There is no such directory, or a file there is no valid record; names file and field.
    """
    require_directory(directory, "a directory of result records")
    return [read_record(path) for path in sorted(_record_files(directory))]


def _record_files(directory: Path) -> Iterator[Path]:
    for path in directory.rglob("*.json"):
        if not any(part.startswith(".") for part in path.relative_to(directory).parts):
            yield path


def read_record(path: Path) -> ResultRecord:
    """One record.

    Raises:
        UsageError: The file is no valid record; names file and field.
    """
    fix = "Delete the file and evaluate its cell again, or move it out if it is no result record"
    try:
        return ResultRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole record"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UsageError(
            f"This is no valid result record: {where}: {first['msg']}{more}", file=path, fix=fix
        ) from error
