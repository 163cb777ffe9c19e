"""Evaluating models side by side: one task, one protocol, several models, one identical path for all of them."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from radnet.console import say, warn
from radnet.errors import RadnetError
from radnet.models import LoadedModel, ModelName, WeightsUnavailableError, load_model
from radnet.records import (
    ModelCard,
    ProtocolCard,
    ResultRecord,
    TaskCard,
    cell_hash,
    current_environment,
    read_records,
    write_record,
)
from radnet.shards import ShardSet
from radnet.transfer.features import features_of
from radnet.transfer.metrics import METRICS
from radnet.transfer.protocols import FeatureSplit, Protocol
from radnet.transfer.statistics import paired_difference, patient_bootstrap
from radnet.transfer.tasks import Task, TaskItems, task_items

PREDICTIONS = "predictions"


@dataclass(frozen=True)
class EvaluationSettings:
    """What does not belong to model, task or protocol.

    Attributes:
        fraction: Share of the training patients.
        seed: Seed of subsets, of random weights and of the bootstrap.
        resamples: Bootstrap resamples.
        batch_size: Slices a forward pass.
        workers: Loader processes.
        device: Where features are extracted.
        cache: Directory of the feature cache.
        repeat: Compute cells again that are there already.
    """

    cache: Path
    fraction: float = 1.0
    seed: int = 0
    resamples: int = 2000
    batch_size: int = 128
    workers: int = 0
    device: str = "cpu"
    repeat: bool = False


def evaluate(
    models: list[ModelName],
    task: Task,
    protocol: Protocol,
    shards: ShardSet,
    results: Path,
    settings: EvaluationSettings,
) -> list[ResultRecord]:
    """Evaluate models on one task with one protocol; write a record and the predictions of each.

    Every row carries its paired differences to the ImageNet rows of the same call. Weights that cannot be had give
    a row that says so, never one with other weights.

    Args:
        models: Names of the models.
        task: The task.
        protocol: The protocol.
        shards: The labelled set.
        results: Directory of the records.
        settings: The rest.

    Returns:
        One record a model, in their order.
    """
    items = task_items(task, shards)
    train = items.fraction(settings.fraction, settings.seed)
    cells = [_cell(name, task, protocol, shards, items, train, results, settings) for name in models]
    references = [cell for cell in cells if cell.record.model.arm == "imagenet" and cell.record.status == "done"]
    written = []
    for cell in cells:
        record = cell.record.model_copy(update={"differences": _differences(cell, references, task, items, settings)})
        write_record(record, results)
        written.append(record)
    return written


@dataclass(frozen=True)
class _Cell:
    """A record with the scores behind it; no scores when the weights were not to be had."""

    record: ResultRecord
    scores: NDArray[np.float64] | None


def _cell(
    name: ModelName,
    task: Task,
    protocol: Protocol,
    shards: ShardSet,
    items: TaskItems,
    train: NDArray[np.int64],
    results: Path,
    settings: EvaluationSettings,
) -> _Cell:
    started_s = time.monotonic()
    task_card = TaskCard(
        name=task.name,
        manifest_hash=_task_hash(task, shards),
        metric=task.metric,
        classes=task.classes,
        synthetic=shards.manifest.synthetic != "none",
    )
    protocol_card = ProtocolCard(name=protocol.name, settings=protocol.settings(), hash=protocol.hash())
    common: dict[str, Any] = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task_card,
        "protocol": protocol_card,
        "fraction": settings.fraction,
        "seed": settings.seed,
        "environment": current_environment(settings.device),
    }
    try:
        model = load_model(name, seed=settings.seed, size=task.size)
    except WeightsUnavailableError as error:
        warn(str(error))
        card = ModelCard(
            name=str(name),
            arm="imagenet" if name.scheme == "timm" else "other",
            architecture=name.value,
            weights_sha256=None,
            pretraining="weights not available",
            method=None,
            parameters=0,
            in_chans=3,
            synthetic=False,
        )
        record = ResultRecord(
            status="unavailable",
            message=str(error),
            model=card,
            counts=None,
            metrics={},
            wall_time_s=time.monotonic() - started_s,
            cell=cell_hash(card, task_card, protocol_card, settings.fraction, settings.seed),
            **common,
        )
        return _Cell(record, None)
    card = _model_card(model)
    cell = cell_hash(card, task_card, protocol_card, settings.fraction, settings.seed)
    known = None if settings.repeat else _known(results, cell, items)
    if known is not None:
        say(f"{name} on {task.name} with {protocol.name}: there already ({cell})")
        return known
    features = features_of(
        model,
        shards,
        task.view(model.mean, model.std),
        cache=settings.cache,
        batch_size=settings.batch_size,
        workers=settings.workers,
        device=torch.device(settings.device),
    )

    def side(positions: NDArray[np.int64]) -> FeatureSplit:
        chosen = np.asarray(features[items.rows[positions]])
        return FeatureSplit(chosen, items.target[positions], items.patients[positions])

    test = items.side("test")
    result = protocol.fit_predict(
        side(train),
        side(items.side("val")),
        np.asarray(features[items.rows[test]]),
        classes=len(task.classes),
        metric=task.metric,
        seed=settings.seed,
    )
    patients, target = items.patients[test], items.target[test]
    metrics = {}
    for metric in dict.fromkeys((task.metric, *task.metrics)):
        statistic = METRICS[metric].statistic(target, result.scores)
        metrics[metric] = patient_bootstrap(statistic, patients, resamples=settings.resamples, seed=settings.seed)
    predictions = _write_predictions(results, cell, items, test, result.scores)
    main = metrics[task.metric]
    say(
        f"{name} on {task.name} with {protocol.name}: {task.metric} {main.value:.3f} ({main.low:.3f} to {main.high:.3f})"
    )
    record = ResultRecord(
        status="done",
        model=card,
        counts=items.counts(train),
        metrics=metrics,
        selected={**result.selected, "slices_without_label": items.unlabelled},
        predictions=predictions,
        wall_time_s=time.monotonic() - started_s,
        cell=cell,
        **common,
    )
    return _Cell(record, result.scores)


def _task_hash(task: Task, shards: ShardSet) -> str:
    """Identity of a labelled set under a task: rows of different windows, sizes or classes are never compared."""
    from radnet.hashing import settings_hash

    definition = task.model_dump(mode="json", exclude={"description"})
    return settings_hash({"set": shards.manifest.content_hash(), "task": definition})


def _model_card(model: LoadedModel) -> ModelCard:
    return ModelCard(
        name=short_name(model.name),
        arm=model.arm,
        architecture=model.architecture,
        weights_sha256=model.weights_sha256,
        pretraining=model.pretraining,
        method=model.method,
        parameters=model.parameters,
        in_chans=model.in_chans,
        synthetic=model.synthetic,
    )


def short_name(name: ModelName) -> str:
    """A model's name for records: of a path, the last two parts at most."""
    if name.scheme not in ("run", "local-dir"):
        return str(name)
    parts = [part for part in PurePosixPath(Path(name.value).resolve()).parts if part != "/"]
    return f"{name.scheme}:{'/'.join(parts[-2:])}"


def _write_predictions(
    results: Path, cell: str, items: TaskItems, test: NDArray[np.int64], scores: NDArray[np.float64]
) -> str:
    """Per-sample predictions as parquet: key, patient, target and one score a class."""
    table = pd.DataFrame({"key": items.keys[test], "patient": items.patients[test], "target": items.target[test]})
    for number in range(scores.shape[1]):
        table[f"score_{number}"] = scores[:, number]
    relative = f"{PREDICTIONS}/{cell}.parquet"
    (results / PREDICTIONS).mkdir(parents=True, exist_ok=True)
    table.to_parquet(results / relative, index=False)
    return relative


def _known(results: Path, cell: str, items: TaskItems) -> _Cell | None:
    """The cell when its record and predictions are there and fit the set."""
    path = results / f"{cell}.json"
    if not path.exists():
        return None
    record = next((known for known in read_records(results) if known.cell == cell), None)
    if record is None or record.predictions is None or not (results / record.predictions).exists():
        return None
    table = pd.read_parquet(results / record.predictions)
    if table["key"].tolist() != items.keys[items.side("test")].tolist():
        raise RadnetError("These predictions belong to another set", file=results / record.predictions)
    scores = table[[name for name in table.columns if name.startswith("score_")]].to_numpy(dtype=np.float64)
    return _Cell(record, scores)


def _differences(
    cell: _Cell, references: list[_Cell], task: Task, items: TaskItems, settings: EvaluationSettings
) -> dict[str, Any] | None:
    """Paired differences of a cell to every reference, on the task's metric."""
    if cell.scores is None:
        return None
    test = items.side("test")
    target, patients = items.target[test], items.patients[test]
    metric = METRICS[task.metric]
    differences = {}
    for reference in references:
        if reference.scores is None or reference.record.cell == cell.record.cell:
            continue
        differences[f"{task.metric} vs {reference.record.model.name}"] = paired_difference(
            metric.statistic(target, cell.scores),
            metric.statistic(target, reference.scores),
            patients,
            resamples=settings.resamples,
            seed=settings.seed,
        )
    return differences or None
