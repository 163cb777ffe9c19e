"""Segmentation with the reference study's own settings (arXiv 2306.17555; `configs.csv` of its published results).

What is as there: AdamW with its learning rate and weight decay, 50 epochs with a factor an epoch, 128 slices a step,
all training slices, the weights of the structures against background, no choice on validation, the last epoch scored.
Its frozen encoder kept adapting its batch norm statistics, and so it does here.

What differs: the study had one softmax over background and structures and trained on cross-entropy with the weights of
its classes; here structures may overlap, so each has a sigmoid, whose inside weighs what the study's class weighed
against background. And scores are taken per volume: the study pooled Dice over shuffled batches of slices, which
gives higher numbers. So results under this protocol compare with each other, not with the study's tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch

from radnet.errors import UsageError, did_you_mean
from radnet.models import LoadedModel
from radnet.transfer.contract import ProtocolResult
from radnet.transfer.segmentation.protocol import VolumeProtocol, segment_volumes
from radnet.transfer.segmentation.training import TrainingSettings
from radnet.transfer.splits import SliceSplit

EVERY_SLICE = 1e6
"""So many slices without a structure for each that shows one: all there are."""


@dataclass(frozen=True)
class PaperSegmentation:
    """The study's settings of one task.

    Attributes:
        lr: Learning rate.
        weight_decay: Of AdamW.
        decay_per_epoch: Factor of the learning rate after every epoch.
        weights: Weight of each structure against background.
    """

    lr: float
    weight_decay: float
    decay_per_epoch: float
    weights: tuple[float, ...]


PAPER_TASKS: Mapping[str, PaperSegmentation] = MappingProxyType(
    {
        "LiTS": PaperSegmentation(2e-4, 1e-6, 0.97, (3.0, 10.0)),
        "BraTS": PaperSegmentation(1e-3, 1e-5, 0.95, (5.0, 5.0, 5.0)),
    }
)
"""Segmentation tasks of the study; its smaller fractions had the same settings."""


@dataclass(frozen=True)
class PaperSegmentProtocol(VolumeProtocol):
    """The study's segmentation.

    Attributes:
        cell: Task of the study whose settings are taken, one of `PAPER_TASKS`.
        frozen: Whether the encoder's weights stay (E4 and E8 of the study).
        epochs: Epochs instead of the study's own; 0 takes those.
        batch_size: Slices a step instead of the study's own; 0 takes those.
    """

    name: ClassVar[str] = "paper-segment"

    cell: str = "LiTS"
    frozen: bool = False
    epochs: int = 0
    batch_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell not in PAPER_TASKS:
            raise UsageError(
                f"The study has no segmentation task {self.cell!r}", fix=did_you_mean(self.cell, PAPER_TASKS)
            )
        if min(self.epochs, self.batch_size) < 0 or self.batch_size == 1:
            seen = (self.epochs, self.batch_size)
            raise UsageError("epochs and batch_size are 0, or from 1 and 2 on", seen=seen, fix="0 is the study's own")

    def training(self, classes: int) -> TrainingSettings:
        """The training; weights count only where the task has as many structures as the study's."""
        cell = PAPER_TASKS[self.cell]
        return TrainingSettings(
            mode="adapting" if self.frozen else "full",
            epochs=self.epochs or 50,
            batch_size=self.batch_size or 128,
            lr=cell.lr,
            weight_decay=cell.weight_decay,
            schedule="exponential",
            warmup_share=0.0,
            decay_per_epoch=cell.decay_per_epoch,
            background_per_foreground=EVERY_SLICE,
            mirrored=0.0,
            dice_loss=0.0,
            weights=cell.weights if len(cell.weights) == classes else (),
            choose="last",
            clip_norm=0.0,
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
        """Train once and score the test volumes with the last epoch's network; see `SegmentProtocol.fit_predict`."""
        sides = {"train": train, "val": val, "test": test}
        trainings = [self.training(classes)]
        return segment_volumes(model, sides, trainings, 1.0, classes=classes, seed=seed, device=device, workers=workers)
