"""The reference study's own settings (arXiv 2306.17555), for those who must compare with it.

Not the fair comparison: no learning rate is tuned, the last epoch counts whatever validation says, and "linear
evaluation" leaves batch-norm statistics adapting while the encoder's weights are frozen. The study has no nearest
neighbours and no probe on standardised features, so there is no `paper-knn`. Its segmentation stands with the others.

Settings are those of the study's published configurations, one cell a task and size. Deviations: augmentation is a
random resized crop and a flip drawn for every slice (the study drew one for a whole batch); subsets are by patient;
norms and biases have no weight decay; the learning rate falls after each epoch by the given factor, as theirs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch

from radnet.console import progress
from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.models import LoadedModel
from radnet.transfer.contract import ModelProtocol, ProtocolResult
from radnet.transfer.finetune import check_slices, missing_in
from radnet.transfer.pictures import Augmentation
from radnet.transfer.splits import SliceSplit
from radnet.transfer.training import Recipe, Training, torch_threads


@dataclass(frozen=True)
class PaperCell:
    """One task of the study.

    Attributes:
        batch_size: Slices a step.
        epochs: Epochs.
        optimizer: "adamw" or "lars".
        lr: Learning rate of the first epoch.
        weight_decay: Weight decay.
        epoch_decay: Factor of the learning rate after each epoch.
        class_weights: Of the loss; the study gave "No Finding" of its 15 X-ray labels a thousandth.
    """

    batch_size: int
    epochs: int
    optimizer: str
    lr: float
    weight_decay: float
    epoch_decay: float = 0.97
    class_weights: tuple[float, ...] = ()


_SMALL = PaperCell(256, 100, "adamw", 1e-4, 1e-6)
_HUNDRED = PaperCell(1024, 100, "lars", 2.4, 1e-6)
_XRAY = PaperCell(128, 50, "adamw", 5e-4, 1e-6, class_weights=(1.0, 1.0, 1.0, 0.001, *(1.0,) * 11))

PAPER_CELLS: Mapping[str, PaperCell] = MappingProxyType(
    {
        "R": PaperCell(4096, 100, "lars", 0.01, 1e-4),
        "RS": PaperCell(1024, 100, "lars", 0.005, 1e-5),
        "RXS": _SMALL,
        "RXXS": _SMALL,
        "CX8": _XRAY,
        "CX8M": _XRAY,
        "CX8S": _XRAY,
        "I1k": PaperCell(4096, 100, "lars", 4.8, 1e-6),
        "I1kS": _HUNDRED,
        "I1kXS": _SMALL,
        "I100": _HUNDRED,
        "I100S": _SMALL,
        "I100XS": _SMALL,
        "I10": _SMALL,
        "I10S": _SMALL,
        "I10XS": PaperCell(64, 100, "adamw", 1e-4, 1e-6),
    }
)
"""Classification tasks of the study: R body region, CX8 chest X-rays, I1k, I100 and I10 ImageNet; M 50 %, S 10 %, XS
1 %, XXS 0.1 % of the training items."""


@dataclass(frozen=True)
class PaperFinetuneProtocol(ModelProtocol):
    """The study's finetuning.

    Attributes:
        cell: Task of the study whose settings are taken, one of `PAPER_CELLS`.
        epochs: Epochs instead of the study's own; 0 takes those.
        batch_size: Slices a step instead of the study's own; 0 takes those.
    """

    name: ClassVar[str] = "paper-finetune"
    trainable: ClassVar[str] = "all"

    cell: str = "R"
    epochs: int = 0
    batch_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell not in PAPER_CELLS:
            raise UsageError(
                f"The study has no classification task {self.cell!r}", fix=did_you_mean(self.cell, PAPER_CELLS)
            )
        if min(self.epochs, self.batch_size) < 0:
            seen = (self.epochs, self.batch_size)
            raise UsageError("epochs and batch_size are at least 0", seen=seen, fix="Set 0 for the study's own")

    @property
    def _epochs(self) -> int:
        return self.epochs or PAPER_CELLS[self.cell].epochs

    @property
    def _batch_size(self) -> int:
        return self.batch_size or PAPER_CELLS[self.cell].batch_size

    def recipe(self, classes: int) -> Recipe:
        """The training; class weights count only where the task has as many classes as the study's."""
        cell = PAPER_CELLS[self.cell]
        return Recipe(
            epochs=self._epochs,
            batch_size=self._batch_size,
            optimizer=cell.optimizer,
            lr=cell.lr,
            weight_decay=cell.weight_decay,
            layer_decay=1.0,
            schedule="exponential",
            warmup=0.0,
            epoch_decay=cell.epoch_decay,
            trainable=self.trainable,
            class_weights=cell.class_weights if len(cell.class_weights) == classes else (),
            augmentation=Augmentation(),
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
        """Train once and score the test slices with the last epoch's model; validation gives the curve alone.

        Raises:
            UsageError: An empty split, labels or a picture size that do not fit.
            RadnetError: The training diverged.
        """
        check_slices(train, val, test, classes, metric)
        recipe = self.recipe(classes)
        with torch_threads(self.threads), progress(f"{self.name} {model.name}", recipe.epochs) as meter:
            training = Training(model, train, classes, recipe, seed, device)
            points = []
            for epoch in training.epochs(val, metric, workers):
                points.append(epoch.point)
                meter.advance(1)
            if not math.isfinite(points[-1].train_loss):
                raise RadnetError(
                    "The training diverged: its loss is no longer finite",
                    seen=f"epoch {points[-1].epoch}",
                    fix="Take protocol=finetune, which tries several learning rates",
                )
            scores = training.scores(test, workers)
        selected: dict[str, Any] = {
            "epoch": points[-1].epoch,
            "optimizer": recipe.optimizer,
            "lr": recipe.lr,
            "class_weights": list(recipe.class_weights),
        }
        return ProtocolResult(scores, selected | missing_in(train, val, classes), curve=tuple(points))


@dataclass(frozen=True)
class PaperLinearProtocol(PaperFinetuneProtocol):
    """The study's linear evaluation: frozen weights, batch-norm statistics that adapt, the finetuning's settings."""

    name: ClassVar[str] = "paper-linear"
    trainable: ClassVar[str] = "head_and_statistics"
