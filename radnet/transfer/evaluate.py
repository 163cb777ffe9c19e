"""Evaluating models side by side: one task, one protocol, several models, one identical path for all of them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radnet.console import warn
from radnet.errors import RadnetError
from radnet.models import ModelName
from radnet.models.load import check_model
from radnet.records import Difference, ResultRecord, write_record
from radnet.shards import ShardSet
from radnet.transfer.cells import Cell, Column, EvaluationSettings, compute_cell
from radnet.transfer.metrics import METRICS
from radnet.transfer.outcomes import Outcome
from radnet.transfer.protocols import Protocol
from radnet.transfer.statistics import (
    Statistic,
    mean_of_units,
    paired_difference,
    paired_p_value,
    smallest_detectable,
)
from radnet.transfer.tasks import Task, task_items

TEST = "randomisation of patients"


def evaluate(
    models: list[ModelName],
    task: Task,
    protocol: Protocol,
    shards: ShardSet,
    results: Path,
    settings: EvaluationSettings,
) -> list[ResultRecord]:
    """Evaluate models on one task with one protocol; write a record and the predictions of each.

    Each record is written as soon as its model is evaluated, and again with its differences when all are.
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
    column = column_of(task, protocol, shards, results, settings)
    cells = []
    for name in models:
        cells.append(compute_cell(name, column))
        write_record(cells[-1].record, results)  # at once: a later model that fails takes nothing of this one along
    references = [cell for cell in cells if cell.record.model.arm == "imagenet"]
    records = []
    for cell in cells:
        record = with_differences(cell, references, column)
        write_record(record, results)
        records.append(record)
    return records


def column_of(task: Task, protocol: Protocol, shards: ShardSet, results: Path, settings: EvaluationSettings) -> Column:
    """What the cells of one comparison share, with the labelled slices and the part of them that trains.

    Raises:
        UsageError: The set does not have the task's labels, or a side is empty.
    """
    items = task_items(task, shards)
    if seen := items.seen_test_patients():
        warn(f"{seen} patients of the test split are in train or val as well: this set keeps a split that leaks")
    train = items.fraction(settings.fraction, settings.seed)
    return Column(task, protocol, shards, items, train, results, settings)


def with_differences(cell: Cell, references: Sequence[Cell], column: Column) -> ResultRecord:
    """The record of a cell with its paired differences to other rows, those with ImageNet weights as a rule.

    A cell that was there keeps its differences to rows of earlier calls, and what is known of the same pair of cells
    is not computed again.

    Args:
        cell: The cell.
        references: Cells of the same column; the cell itself may be among them.
        column: What they share.
    """
    kept = dict(cell.record.differences or {})
    for reference in references:
        other = reference.record
        if cell.outcome is None or reference.outcome is None or other.cell == cell.record.cell:
            continue
        name = f"{column.task.metric} vs {other.model.name}"
        known = kept.get(name)
        both_known = cell.known and reference.known
        if known is None or known.reference_cell != other.cell or not both_known:
            kept[name] = _difference(cell.outcome, reference.outcome, other.cell, column)
    return cell.record.model_copy(update={"differences": kept or None})


def _difference(own: Outcome, reference: Outcome, reference_cell: str, column: Column) -> Difference:
    """The paired difference on the task's metric, with its interval and the p value of a randomisation test."""
    metric, settings = column.task.metric, column.settings
    if not np.array_equal(own.keys, reference.keys):
        raise RadnetError(
            f"Two rows of {column.task.name} were scored on other items, so they have no paired difference",
            seen=(len(own.keys), len(reference.keys)),
            file=column.results,
            fix="Compute both again with repeat=true",
        )
    how = {"resamples": settings.resamples, "seed": settings.seed}
    mine, theirs = own.statistic(metric), reference.statistic(metric)
    interval = paired_difference(mine, theirs, own.patients, **how)
    detectable = smallest_detectable(lambda weights: mine(weights) - theirs(weights), own.patients, **how)
    return Difference(
        **interval.model_dump(),
        p=paired_p_value(_stacked(own, reference, metric), own.patients, **how),
        test=TEST,
        detectable=detectable if math.isfinite(detectable) else None,
        patients=len(np.unique(own.patients)),
        reference_cell=reference_cell,
    )


def _stacked(own: Outcome, reference: Outcome, metric: str) -> Statistic:
    """The metric of both rows' items one after another."""
    if own.scores is None or reference.scores is None or own.target is None:
        return mean_of_units(np.concatenate([own.unit_values[metric], reference.unit_values[metric]]))
    target = np.concatenate([own.target, own.target])
    return METRICS[metric].statistic(target, np.concatenate([own.scores, reference.scores]))
