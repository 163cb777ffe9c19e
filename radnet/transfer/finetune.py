"""Finetuning: the whole model is trained on the task, with the same budget of tries for every arm.

Every arm trains once with each learning rate of one grid, for the same number of epochs, on the same order of the same
slices; learning rate and epoch are chosen on validation by the task's primary metric, and the test slices are scored
once, by the model of that epoch. So an arm that happens to like the default learning rate has no advantage.

The grid and AdamW with a learning rate that falls from layer to layer follow Bao et al. 2022 (BEiT, arXiv 2106.08254),
as the finetuning of MAE does. Weights are those of the chosen epoch; nothing is trained again on train and validation
together.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from radnet.console import progress
from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.models import LoadedModel
from radnet.transfer.contract import (
    EpochPoint,
    ModelProtocol,
    ProtocolResult,
    check_labels,
    check_sizes,
    missing_classes,
)
from radnet.transfer.metrics import METRICS
from radnet.transfer.pictures import Augmentation
from radnet.transfer.splits import SliceSplit
from radnet.transfer.training import Recipe, Training, torch_threads


@dataclass(frozen=True)
class FinetuneProtocol(ModelProtocol):
    """Finetuning with AdamW and layer decay.

    Attributes:
        lr: Grid of learning rates, each tried once; kept in ascending order.
        epochs: Epochs of each try.
        batch_size: Slices a step.
        weight_decay: Of matrices.
        layer_decay: Factor of the learning rate from each layer to the one below.
        warmup: Share of the steps with a rising learning rate.
        crop_scale: Range of a random crop's share of the area during training.
        flip_probability: Probability of a left-right flip during training; set 0 where a side is a finding.
    """

    name: ClassVar[str] = "finetune"

    lr: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    epochs: int = 20
    batch_size: int = 64
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    warmup: float = 0.1
    crop_scale: tuple[float, ...] = (0.6, 1.0)
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lr", *self.lr)
        check_positive("epochs and batch_size", self.epochs, self.batch_size)
        if not (self.weight_decay >= 0 and 0 < self.layer_decay <= 1 and 0 <= self.warmup < 1):
            raise UsageError(
                "weight_decay is at least 0, layer_decay lies in (0, 1], warmup in [0, 1)",
                seen=(self.weight_decay, self.layer_decay, self.warmup),
                fix="Set weight_decay=0.05, layer_decay=0.75, warmup=0.1",
            )
        object.__setattr__(self, "lr", tuple(sorted({float(lr) for lr in self.lr})))
        self.augmentation()

    def augmentation(self) -> Augmentation:
        """What happens to training slices."""
        if len(self.crop_scale) != 2:
            raise UsageError("crop_scale is a range", seen=self.crop_scale, fix="Set crop_scale to [0.6, 1]")
        return Augmentation((self.crop_scale[0], self.crop_scale[1]), self.flip_probability)

    def recipe(self, lr: float) -> Recipe:
        """One try."""
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer="adamw",
            lr=lr,
            weight_decay=self.weight_decay,
            layer_decay=self.layer_decay,
            schedule="cosine",
            warmup=self.warmup,
            epoch_decay=1.0,
            trainable="all",
            class_weights=(),
            augmentation=self.augmentation(),
        )

    def fit_predict(
        self,
        model: LoadedModel,
        train: SliceSplit,
        val: SliceSplit,
        test: SliceSplit,
        *,
        classes: int,
        metric: str,
        seed: int,
        device: torch.device,
        workers: int = 0,
    ) -> ProtocolResult:
        """Train with every learning rate, keep the best epoch of all on `val`, score the test slices with it.

        Returns:
            The scores, the curve of the chosen try, and in `selected`: "lr", "epoch", "val_METRIC", "val_by_lr" (the
            best epoch's value), "tries" and "diverged" (learning rates whose loss was no longer finite).

        Raises:
            UsageError: An empty split, labels or a picture size that do not fit.
            RadnetError: The metric is undefined on validation, or every try diverged.
        """
        check_slices(train, val, test, classes, metric)
        best_value, best_lr, best_epoch = -math.inf, 0.0, -1
        state: dict[str, torch.Tensor] = {}
        curves: dict[float, tuple[EpochPoint, ...]] = {}
        by_lr: dict[str, float | None] = {}
        diverged: list[float] = []
        total = len(self.lr) * self.epochs
        with torch_threads(self.threads), progress(f"finetuning {model.name}", total) as meter:
            for lr in self.lr:
                training = Training(model, train, classes, self.recipe(lr), seed, device)
                points, values = [], []
                for epoch in training.epochs(val, metric, workers):
                    points.append(epoch.point)
                    values.append(epoch.value)
                    meter.advance(1)
                    if epoch.value > best_value:
                        best_value, best_lr, best_epoch = epoch.value, lr, epoch.point.epoch
                        state = training.state()
                curves[lr] = tuple(points)
                finite = [value for value in values if math.isfinite(value)]
                by_lr[f"{lr:g}"] = max(finite) if finite else None
                if not math.isfinite(points[-1].train_loss):
                    diverged.append(lr)
            if not state:
                raise nothing_to_choose(metric, len(diverged) == len(self.lr))
            training = Training(model, train, classes, self.recipe(best_lr), seed, device)
            training.restore(state)
            scores = training.scores(test, workers)
        selected: dict[str, Any] = {
            "lr": best_lr,
            "epoch": best_epoch,
            f"val_{metric}": best_value,
            "val_by_lr": by_lr,
            "tries": len(self.lr),
            "diverged": diverged,
        }
        return ProtocolResult(scores, selected | missing_in(train, val, classes), curve=curves[best_lr])


def nothing_to_choose(metric: str, diverged: bool) -> RadnetError:
    """Why no epoch of any try could be chosen."""
    if diverged:
        return RadnetError(
            "Every try of the finetuning diverged: the loss is no longer finite",
            fix="Lower protocol.lr, or check the weights it starts from",
        )
    return RadnetError(
        f"The metric {metric!r} is undefined on the validation split (does it hold one class only?)",
        fix="Use a task with validation items of at least two classes, or task.metric=balanced_accuracy",
    )


def missing_in(train: SliceSplit, val: SliceSplit, classes: int) -> dict[str, Any]:
    """Classes without an item, for `selected`: by split, where there are any."""
    found = {name: missing_classes(split, classes) for name, split in (("train", train), ("val", val))}
    return {f"classes_missing_in_{name}": missing for name, missing in found.items() if missing}


def check_slices(train: SliceSplit, val: SliceSplit, test: SliceSplit, classes: int, metric: str) -> None:
    """Refuse slices from which nothing can be learned or chosen.

    Raises:
        UsageError: An empty split, labels that do not fit, an unknown metric, or a task without class labels.
        RadnetError: One class only.
    """
    if metric not in METRICS:
        raise UsageError(f"Unknown metric {metric!r}", fix=did_you_mean(metric, METRICS))
    check_sizes(len(train), len(test))
    if not len(val):
        raise UsageError(
            "Finetuning is watched on the validation split, which is empty",
            fix="Build the set with other --split-fractions, or use protocol=knn, which chooses nothing",
        )
    if train.target is None or val.target is None:
        raise UsageError("This protocol needs class labels, and the task has masks only", fix="Use protocol=segment")
    check_labels({"train": train.target, "val": val.target}, classes)
    if train.target.ndim == 1 and bool((train.target == train.target[0]).all()):
        raise RadnetError(
            "The training split holds items of one class only, so nothing can be learned",
            seen=int(train.target[0]),
            fix="Raise the fraction, or use another seed for the subset",
        )


def check_positive(name: str, *values: float) -> None:
    """Refuse settings that must be positive numbers.

    Raises:
        UsageError: None is given, or one is not positive.
    """
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise UsageError(f"{name} must be positive", seen=values, fix=f"Set {name} to positive numbers")
