"""One cell of a comparison: one model on one task with one protocol, under one condition."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.console import say, warn
from radnet.hashing import settings_hash
from radnet.models import LoadedModel, ModelName, WeightsUnavailableError, load_model
from radnet.records import (
    Condition,
    ModelCard,
    ProtocolCard,
    ResultRecord,
    TaskCard,
    cell_hash,
    current_environment,
)
from radnet.shards import ShardSet
from radnet.transfer.contract import ProtocolResult
from radnet.transfer.model_facts import ModelFacts
from radnet.transfer.outcomes import Outcome, outcome_of
from radnet.transfer.overlap import made_up_overlap, overlap_with_test, overlap_words
from radnet.transfer.predictions import known_outcome, known_record, write_predictions
from radnet.transfer.protocols import Protocol
from radnet.transfer.tasks import Task, TaskItems, counts_of
from radnet.transfer.ways import protocol_result

RESAMPLES = "bootstrap_resamples"
CHANNELS = "channels"
"""What a record has chosen under this name is `channel_policy`."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What belongs neither to model, nor to task, nor to protocol.

    Attributes:
        cache: Directory of the feature cache.
        fraction: Share of the training patients.
        seed: Seed of subsets, of random weights, of noise and of the bootstrap.
        resamples: Bootstrap resamples.
        batch_size: Slices a forward pass.
        workers: Loader processes.
        device: Where features are extracted and models are trained.
        repeat: Compute cells again that are there already.
        condition: What is done to training or test images, None for nothing.
        pretraining_sets: Shard sets in which the sets that models were pretrained on are looked for, by content.
    """

    cache: Path
    fraction: float = 1.0
    seed: int = 0
    resamples: int = 2000
    batch_size: int = 128
    workers: int = 0
    device: str = "cpu"
    repeat: bool = False
    condition: Condition | None = None
    pretraining_sets: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Column:
    """What the cells of one comparison share.

    Attributes:
        task: The task.
        protocol: The protocol.
        shards: The labelled set.
        items: Its labelled slices.
        train: Positions in `items` that are used for training.
        results: Directory of the records.
        settings: The rest.
    """

    task: Task
    protocol: Protocol
    shards: ShardSet
    items: TaskItems
    train: NDArray[np.int64]
    results: Path
    settings: EvaluationSettings

    def task_card(self) -> TaskCard:
        """The task's part of a record. Its hash covers set, classes, size and window: all that rows must share."""
        manifest = {"set": self.shards.manifest.content_hash(), "task": self.task.definition()}
        return TaskCard(
            name=self.task.name,
            manifest_hash=settings_hash(manifest),
            metric=self.task.metric,
            classes=self.task.classes,
            synthetic=self.shards.manifest.synthetic != "none",
        )

    def protocol_card(self) -> ProtocolCard:
        """The protocol's part of a record."""
        return ProtocolCard(name=self.protocol.name, settings=self.protocol.settings(), hash=self.protocol.hash())

    def identity(self, model: ModelCard) -> dict[str, Any]:
        """The fields of a record that say which cell it is."""
        task, protocol = self.task_card(), self.protocol_card()
        fraction, seed, condition = self.settings.fraction, self.settings.seed, self.settings.condition
        return {
            "model": model,
            "task": task,
            "protocol": protocol,
            "fraction": fraction,
            "seed": seed,
            "condition": condition,
            "cell": cell_hash(model, task, protocol, fraction, seed, condition),
        }


@dataclass(frozen=True)
class Cell:
    """A record with what is behind it; no outcome when the weights could not be had.

    Attributes:
        record: The record.
        outcome: What the protocol said about the test items.
        known: Whether it was there already.
    """

    record: ResultRecord
    outcome: Outcome | None
    known: bool = False


def compute_cell(name: ModelName, column: Column, model: LoadedModel | None = None, *, quiet: bool = False) -> Cell:
    """Evaluate one model, or take the cell that is there already.

    Weights that cannot be had give an "unavailable" record that says why and how to provide them.

    Args:
        name: The model.
        column: The rest of the cell.
        model: The same model where it is loaded already, with the column's seed and size.
        quiet: Say nothing of the result.
    """
    started_s = time.monotonic()
    where = f"{name} on {column.task.name} with {column.protocol.name}"
    try:
        model = model or load_model(name, seed=column.settings.seed, size=column.task.size)
    except WeightsUnavailableError as error:
        warn(f"{where}: the weights are not to be had; the leaderboard says how to provide them")
        return Cell(unavailable(name, column, error), None)
    facts = ModelFacts.of(model)
    identity = column.identity(facts.card)
    known = known_cell(identity["cell"], column, facts)
    if known is not None:
        say(f"{where}: there already ({identity['cell']})")
        later = with_later_overlap(known.record, column, facts)
        if later is not known.record and later.overlap is not None:
            warn(f"{where}: {overlap_words(later.overlap)}")
        return replace(known, record=later)
    overlap = overlap_with_test(model, column.shards, column.items, column.settings.pretraining_sets)
    result = protocol_result(
        model, column.task, column.shards, column.items, column.train, column.protocol, column.settings
    )
    record, outcome = _finished(model, column, identity, result, started_s, overlap=overlap)
    if not quiet:
        say(f"{where}: {score_of(record)}")
        if overlap.shared_items or overlap.shared_patients or (not overlap.checked and model.arm == "in-domain"):
            warn(f"{where}: {overlap_words(overlap)}")
    return Cell(record, outcome)


def score_of(record: ResultRecord) -> str:
    """The task's metric of a finished record in words."""
    main = record.metrics[record.task.metric]
    return f"{record.task.metric} {main.value:.3f} ({main.low:.3f} to {main.high:.3f})"


def known_record_of(cell: str, column: Column, facts: ModelFacts | None = None) -> ResultRecord | None:
    """The record of a cell when it is there already with as many resamples, else None.

    A cell is named by its weights, and weights that are imported again with another normalisation see other pictures:
    the record of the old ones does not count.

    Args:
        cell: Its name.
        column: The rest of it.
        facts: The model as it is now; None where the record was looked at with them a moment ago.

    Raises:
        UsageError: The record is broken, or of a version that this radnet does not know.
    """
    if column.settings.repeat:
        return None
    record = known_record(column.results, cell)
    if record is None or record.selected.get(RESAMPLES) != column.settings.resamples:
        return None
    same = facts is None or record.selected.get(CHANNELS) == channel_policy(facts, column.task)
    return record if same else None


def with_later_overlap(record: ResultRecord, column: Column, facts: ModelFacts) -> ResultRecord:
    """A finished record with what can be said of its overlap by now; the very same where that is nothing more."""
    places = column.settings.pretraining_sets
    overlap = made_up_overlap(record.overlap, facts, column.shards, column.items, places)
    return record if overlap == record.overlap else record.model_copy(update={"overlap": overlap})


def known_cell(cell: str, column: Column, facts: ModelFacts) -> Cell | None:
    """As `known_record_of`, with the predictions.

    Raises:
        UsageError: As there.
        RadnetError: The predictions are of other slices.
    """
    record = known_record_of(cell, column, facts)
    if record is None:
        return None
    return Cell(record, known_outcome(column.results, record, column.items), known=True)


def _finished(
    model: LoadedModel,
    column: Column,
    identity: dict[str, Any],
    result: ProtocolResult,
    started_s: float,
    **more: Any,
) -> tuple[ResultRecord, Outcome]:
    """The record of a result, and the predictions behind it written."""
    settings = column.settings
    outcome = Outcome.of(result, column.items)
    measured = outcome_of(outcome, result, column.task, resamples=settings.resamples, seed=settings.seed)
    selected = {
        **result.selected,
        CHANNELS: channel_policy(ModelFacts.of(model), column.task),
        "slices_without_label": column.items.unlabelled,
        RESAMPLES: settings.resamples,
    }
    if seen := column.items.seen_test_patients():
        selected["test_patients_on_other_sides"] = seen
    predictions = write_predictions(column.results, identity["cell"], outcome)
    record = ResultRecord(
        **identity,
        **_made(settings, started_s),
        status="done",
        counts=counts_of(result.used) if result.used else column.items.counts(column.train),
        selected=selected,
        predictions=predictions,
        **measured,
        **more,
    )
    return record, outcome


def channel_policy(model: ModelFacts, task: Task) -> dict[str, Any]:
    """How grey images become the model's input channels, as JSON values for the record."""
    view = task.view(model.mean, model.std)
    if task.masks is not None and task.masks.sequences:
        policy = f"{len(task.masks.sequences)} sequences as channels, the first convolution widened"
    elif view.window.channels > 1:
        policy = f"{view.window.channels} windows as channels"
    elif model.card.in_chans == 1:
        policy = "one channel"
    else:
        policy = f"one channel, replicated to {model.card.in_chans}"
    return {"policy": policy, "mean": list(model.mean), "std": list(model.std)}


def unavailable(name: ModelName, column: Column, error: WeightsUnavailableError) -> ResultRecord:
    """A record that says why a model could not be evaluated."""
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
    return ResultRecord(
        **column.identity(card),
        **_made(column.settings, time.monotonic()),
        status="unavailable",
        message=str(error),
        counts=None,
        metrics={},
    )


def _made(settings: EvaluationSettings, started_s: float) -> dict[str, Any]:
    """When, where and how long."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": current_environment(settings.device),
        "wall_time_s": round(time.monotonic() - started_s, 3),
    }
