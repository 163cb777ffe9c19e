"""The two ways from a model to what a protocol says: by cached features, or by the slices themselves.

Both see a slice through the same view, under the same condition.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.models import LoadedModel
from radnet.shards import ShardSet
from radnet.transfer.conditions import applies, under
from radnet.transfer.contract import (
    FeatureProtocol,
    FeatureRows,
    FeatureSplit,
    ModelProtocol,
    ProtocolResult,
    SliceSplit,
)
from radnet.transfer.features import features_of
from radnet.transfer.protocols import Protocol
from radnet.transfer.segmentation.protocol import VolumeProtocol
from radnet.transfer.segmentation.volumes import VolumeSplit, find_volumes
from radnet.transfer.tasks import Task, TaskItems

if TYPE_CHECKING:
    from radnet.transfer.cells import EvaluationSettings

Positions = NDArray[np.int64]


def protocol_result(
    model: LoadedModel,
    task: Task,
    shards: ShardSet,
    items: TaskItems,
    train: Positions,
    protocol: Protocol,
    settings: "EvaluationSettings",
) -> ProtocolResult:
    """What a protocol says about the test items.

    Args:
        model: The model.
        task: The task.
        shards: The labelled set.
        items: Its labelled slices.
        train: Positions in `items` that are used for training, int64.
        protocol: The protocol, of either sort.
        settings: Seed, condition, device, cache and the like.
    """
    _require_kind(task, protocol)
    sides = {"train": train, "val": items.side("val"), "test": items.side("test")}
    if isinstance(protocol, FeatureProtocol):
        return _from_features(model, task, shards, items, sides, protocol, settings)
    if isinstance(protocol, ModelProtocol):
        return _from_slices(model, task, shards, items, sides, protocol, settings)
    raise TypeError(f"{type(protocol).__name__} is neither a FeatureProtocol nor a ModelProtocol")


def _require_kind(task: Task, protocol: Protocol) -> None:
    """Refuse masks with a protocol for labels, and labels with the one for masks.

    Raises:
        UsageError: They do not go together.
    """
    if (task.kind == "segment") != isinstance(protocol, VolumeProtocol):
        raise UsageError(
            f"The protocol {protocol.name!r} is not for a task of kind {task.kind!r}",
            seen=task.name,
            fix="Use protocol=segment for tasks of kind segment and another one for the rest",
        )


def _from_features(
    model: LoadedModel,
    task: Task,
    shards: ShardSet,
    items: TaskItems,
    sides: dict[str, Positions],
    protocol: FeatureProtocol,
    settings: "EvaluationSettings",
) -> ProtocolResult:
    """By way of features that stay on disk until the protocol asks for them."""

    def features(split: str) -> FeatureRows:
        seen, view = under(settings.condition, split, shards, task.view(model.mean, model.std), seed=settings.seed)
        # all slices of a set serve all tasks and fractions; under a condition only this side of it is of use
        rows = shards.rows(split) if applies(settings.condition, split) else None
        stored = features_of(
            model,
            seen,
            view,
            cache=settings.cache,
            batch_size=settings.batch_size,
            workers=settings.workers,
            device=torch.device(settings.device),
            rows=rows,
            seed=settings.seed,
        )
        chosen = items.rows[sides[split]]
        return FeatureRows(stored, chosen if rows is None else np.searchsorted(rows, chosen).astype(np.int64))

    def side(split: str) -> FeatureSplit:
        return FeatureSplit(features(split), items.target[sides[split]], items.patients[sides[split]])

    return protocol.fit_predict(
        side("train"),
        side("val"),
        features("test"),
        classes=len(task.classes),
        metric=task.metric,
        seed=settings.seed,
    )


def _from_slices(
    model: LoadedModel,
    task: Task,
    shards: ShardSet,
    items: TaskItems,
    sides: dict[str, Positions],
    protocol: ModelProtocol,
    settings: "EvaluationSettings",
) -> ProtocolResult:
    """By training the model, or a part on top of it."""

    def side(split: str) -> SliceSplit:
        seen, view = under(settings.condition, split, shards, task.view(model.mean, model.std), seed=settings.seed)
        chosen = sides[split]
        if task.masks is not None:
            volumes, left_out = find_volumes(shards, items.rows[chosen], task.masks)
            return VolumeSplit.of(seen, volumes, task.masks, view, left_out)
        return SliceSplit(seen, items.rows[chosen], items.target[chosen], items.patients[chosen], view)

    return protocol.fit_predict(
        model,
        side("train"),
        side("val"),
        side("test"),
        classes=len(task.classes),
        metric=task.metric,
        seed=settings.seed,
        device=torch.device(settings.device),
        workers=settings.workers,
    )
