"""A kNN on a labelled set while a run goes on: what the backbone has learned so far, in the task's own metric.

The vote is transfer's (`radnet/transfer/knn.py`); training patients vote on validation patients, test is never read.

Shape legend: N slices (those that vote first, then those that are asked), D feature dimensions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from radnet.errors import UsageError
from radnet.pretrain.monitors.settings import KnnSettings
from radnet.pretrain.processes import Processes
from radnet.shards import ShardSet
from radnet.transfer.knn import nearest, vote
from radnet.transfer.metrics import METRICS
from radnet.transfer.tasks import Task, TaskItems, resolved_task, task_items, task_named
from radnet.views import EvaluationView

_SEED = 0
"""Which slices are drawn does not depend on the run, so that runs can be compared."""


@dataclass(frozen=True)
class LabelledSlices:
    """What the online kNN looks at.

    Attributes:
        task: The task.
        shards: The set.
        rows: Row numbers of the N slices in the set's index, int64; the first `voters` vote, the others are asked.
        target: Class number of each, int64; of several labels 0 or 1 for each class, (N, K).
        voters: Slices that vote.
        patients: Patients that vote, and patients that are asked.
    """

    task: Task
    shards: ShardSet
    rows: NDArray[np.int64]
    target: NDArray[np.int64]
    voters: int
    patients: tuple[int, int]

    @property
    def asked(self) -> int:
        """Slices that are asked."""
        return len(self.rows) - self.voters

    @property
    def chance(self) -> float | None:
        """What guessing gives in the task's metric, None where that is not a plain number."""
        truth = self.target[self.voters :]
        if self.task.metric == "macro_auroc":
            return 0.5
        if self.task.kind == "single" and self.task.metric == "accuracy":
            return float(np.bincount(truth).max() / len(truth))
        if self.task.kind == "single" and self.task.metric == "balanced_accuracy":
            return 1 / len(np.unique(truth))
        return None

    def summary(self) -> str:
        """One line for people."""
        return (
            f"online kNN on {self.task.name}: {self.voters} slices of {self.patients[0]} training patients vote on "
            f"{self.asked} slices of {self.patients[1]} validation patients"
        )


def labelled_slices(settings: KnnSettings, pretraining_data: object) -> LabelledSlices | None:
    """The slices for the online kNN, chosen and checked before training starts.

    Args:
        settings: `monitors.knn`.
        pretraining_data: `data` of the run: where `monitors.knn.data` is not set and this is one set, it is used.

    Returns:
        None when `monitors.knn.task` is not set.

    Raises:
        UsageError: No such task or set, a task of masks, or one of the set's sides has no labels of the task.
    """
    if settings.task is None:
        if settings.data is not None:
            raise UsageError(
                "monitors.knn.data is set without a task",
                seen=settings.data,
                fix="Set monitors.knn.task too, for example body_region",
            )
        return None
    if settings.data is None and not isinstance(pretraining_data, str):
        raise UsageError(
            "The online kNN needs one labelled set, and this run has several",
            seen=pretraining_data,
            fix="Set monitors.knn.data=SET",
        )
    task = task_named(settings.task)
    if task.kind == "segment":
        raise UsageError(
            "The online kNN tells classes of slices, and this task is of masks",
            seen=task.name,
            fix="Set monitors.knn.task to a task of classes, for example body_region",
        )
    shards = ShardSet.open(settings.data or str(pretraining_data))
    try:
        task = resolved_task(task, shards)
        items = task_items(task, shards, needs=("train", "val"))
    except UsageError as error:
        raise UsageError(
            f"The set for the online kNN cannot be used: {error.what}",
            seen=error.seen,
            file=shards.path,
            fix="Set monitors.knn.data=SET to a labelled set, or monitors.knn.task=null to go without",
        ) from error
    train = _drawn(items, items.side("train"), settings.train_items)
    val = _drawn(items, items.side("val"), settings.val_items)
    chosen = np.concatenate([train, val])
    patients = (len(np.unique(items.patients[train])), len(np.unique(items.patients[val])))
    return LabelledSlices(task, shards, items.rows[chosen], items.target[chosen], len(train), patients)


def _drawn(items: TaskItems, side: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` positions of a side, one slice of every patient before the second of any, in index order."""
    if len(side) <= most:
        return side
    shuffled = np.random.default_rng([_SEED, len(side)]).permutation(side)
    turn = np.zeros(len(shuffled), dtype=np.int64)
    seen: dict[str, int] = {}
    for at, position in enumerate(shuffled):
        patient = str(items.patients[position])
        turn[at] = seen.get(patient, 0)
        seen[patient] = int(turn[at]) + 1
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:most]])


@dataclass(frozen=True)
class OnlineKnn:
    """The kNN of one run.

    Attributes:
        slices: What it looks at.
        view: What the backbone sees of a slice: the preprocessing that the export will carry.
        settings: `monitors.knn`.
        processes: The ranks, which share the work.
    """

    slices: LabelledSlices
    view: EvaluationView
    settings: KnnSettings
    processes: Processes

    def __call__(self, backbone: nn.Module) -> dict[str, float]:
        """Evaluate the backbone as it is; to be called on every rank.

        Modes are put back as they were, no statistics of batches move, nothing random is drawn.

        Args:
            backbone: Maps (B, C, H, W) to (B, D), on this rank's device.

        Returns:
            The task's metric under "knn_METRIC" on rank 0, {} on the others.

        Raises:
            RadnetError: A slice cannot be read.
        """
        with _frozen(backbone), self._buffers_of_rank_0(backbone):
            features = self._gathered(self._own_features(backbone))
        if not self.processes.is_main:
            return {}
        rows = features.cpu().numpy()
        voters, task = self.slices.voters, self.slices.task
        if not np.isfinite(rows).all():
            return {}
        similarity, neighbour = nearest(rows[:voters], rows[voters:], k=self.settings.k)
        scores = vote(
            similarity,
            neighbour,
            self.slices.target[:voters],
            classes=len(task.classes),
            temperature=self.settings.temperature,
        )
        return {f"knn_{task.metric}": METRICS[task.metric](self.slices.target[voters:], scores)}

    @contextmanager
    def _buffers_of_rank_0(self, backbone: nn.Module) -> Iterator[None]:
        """One network on all ranks: batch norms have other statistics on each, and the export has those of rank 0."""
        if self.processes.world_size == 1:
            yield
            return
        own = [buffer.clone() for buffer in backbone.buffers()]
        for buffer in backbone.buffers():
            distributed.broadcast(buffer, 0)
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in zip(backbone.buffers(), own, strict=True):
                    buffer.copy_(before)

    def _own_features(self, backbone: nn.Module) -> Tensor:
        """Features of this rank's slices, every world_size-th, float32 (N / world_size, D) on the device."""
        own = self.slices.rows[self.processes.rank :: self.processes.world_size]
        if not len(own):  # more ranks than slices: this one helps with nothing but must know D
            own = self.slices.rows[:1]
        pictures = torch.empty(self.settings.batch_size, *self.view.shapes[0])
        generator = np.random.default_rng(0)  # the view draws nothing from it
        features = []
        for start in range(0, len(own), self.settings.batch_size):
            batch = own[start : start + self.settings.batch_size]
            for place, row in enumerate(batch):
                self.view.write(self.slices.shards.read_image(int(row)), generator, [pictures[place].numpy()])
            # forward, not a call: a compiled backbone would be compiled again for these batches
            features.append(backbone.forward(pictures[: len(batch)].to(self.processes.device)).float())
        return torch.cat(features)

    def _gathered(self, own: Tensor) -> Tensor:
        """Features of all ranks in the order of the slices, (N, D)."""
        world, total = self.processes.world_size, len(self.slices.rows)
        if world == 1:
            return own
        padded = own.new_zeros(-(-total // world), own.shape[1])
        padded[: len(own)] = own[: len(padded)]
        parts = [torch.empty_like(padded) for _ in range(world)]
        distributed.all_gather(parts, padded)
        features = own.new_empty(total, own.shape[1])
        for rank, part in enumerate(parts):
            features[rank::world] = part[: len(range(rank, total, world))]
        return features


@contextmanager
def _frozen(backbone: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    try:
        # no_grad and not inference_mode: what a backbone caches meanwhile must be fit for training
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
