"""Evaluating models side by side: one task, one protocol, several models, one identical path for all of them."""

from pathlib import Path

from radnet.models import ModelName
from radnet.models.load import check_model
from radnet.records import Interval, ResultRecord, write_record
from radnet.shards import ShardSet
from radnet.transfer.cells import Cell, Column, EvaluationSettings, compute_cell
from radnet.transfer.metrics import METRICS
from radnet.transfer.protocols import Protocol
from radnet.transfer.statistics import paired_difference
from radnet.transfer.tasks import Task, task_items


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

    Raises:
        UsageError: The set does not have the task's labels, or a model does not exist.
        RadnetError: A slice cannot be read, or the task's metric is undefined on the test split.
    """
    for name in models:
        check_model(name)
    items = task_items(task, shards)
    train = items.fraction(settings.fraction, settings.seed)
    column = Column(task, protocol, shards, items, train, results, settings)
    cells = [compute_cell(name, column) for name in models]
    records = []
    for cell in cells:
        # a cell that was there keeps its differences to rows of earlier calls
        differences = {**(cell.record.differences or {}), **_differences(cell, cells, column)}
        record = cell.record.model_copy(update={"differences": differences or None})
        write_record(record, results)
        records.append(record)
    return records


def _differences(cell: Cell, cells: list[Cell], column: Column) -> dict[str, Interval]:
    """Paired differences of a cell to every ImageNet row, on the task's metric and the same test patients."""
    if cell.scores is None:
        return {}
    test = column.items.side("test")
    target, metric = column.items.target[test], METRICS[column.task.metric]
    own = metric.statistic(target, cell.scores)
    return {
        f"{metric.name} vs {reference.record.model.name}": paired_difference(
            own,
            metric.statistic(target, reference.scores),
            column.items.patients[test],
            resamples=column.settings.resamples,
            seed=column.settings.seed,
        )
        for reference in cells
        if reference.scores is not None
        and reference.record.model.arm == "imagenet"
        and reference.record.cell != cell.record.cell
    }
