"""Segmentation: a network on top of the model, scored per volume on the grid of the volume.

Every arm has the same budget: each learning rate of the grid is tried for the same number of epochs from the same
start, the rate and the epoch with the best mean Dice of the validation volumes are kept, and the test volumes are
scored once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from radnet.console import progress, say, warn
from radnet.errors import RadnetError, UsageError
from radnet.models import LoadedModel
from radnet.transfer.contract import ModelProtocol, ProtocolResult, UnitValues
from radnet.transfer.segmentation.census import require_usable, take_census
from radnet.transfer.segmentation.encoders import encoder_of
from radnet.transfer.segmentation.networks import SegmentationNetwork
from radnet.transfer.segmentation.prediction import predicted_volumes
from radnet.transfer.segmentation.scores import EMPTY_RULE, StructureScores, score_volume, unit_metrics
from radnet.transfer.segmentation.training import DivergedError, Mode, Trained, TrainingSettings, train_network
from radnet.transfer.segmentation.volumes import VolumeSplit
from radnet.transfer.splits import SliceSplit


class VolumeProtocol(ModelProtocol):
    """A protocol for tasks of masks: its splits are `VolumeSplit`s and its result are `units`."""


@dataclass(frozen=True)
class SegmentProtocol(VolumeProtocol):
    """The segmentation protocol.

    Attributes:
        mode: "frozen" trains the decoder only, with the encoder in eval mode; "full" trains both.
        epochs: Epochs of each training.
        batch_size: Slices a step.
        lr: Grid of learning rates (AdamW), each tried for all epochs.
        weight_decay: Of AdamW.
        schedule: "cosine" to 0 after a linear warm-up, or "exponential" once an epoch.
        warmup_share: Share of the steps of a cosine schedule in which the rate rises.
        decay_per_epoch: Factor of an exponential schedule.
        background_per_foreground: Slices without any structure an epoch, for each that shows one.
        mirrored: Share of the training slices that are mirrored left to right.
        dice_loss: Weight of soft Dice beside the cross-entropy.
        weights: How much more a pixel inside each structure counts in the cross-entropy; empty for 1.
        choose: "best" epoch and learning rate on validation, or the "last" epoch.
        clip_norm: Gradients are clipped to this norm; 0 leaves them.
        decoder_width: Scales the channels of the decoder.
    """

    name: ClassVar[str] = "segment"

    mode: Mode = "full"
    epochs: int = 30
    batch_size: int = 16
    lr: tuple[float, ...] = (1e-3, 3e-4)
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "exponential"] = "cosine"
    warmup_share: float = 0.05
    decay_per_epoch: float = 0.97
    background_per_foreground: float = 1.0
    mirrored: float = 0.0
    dice_loss: float = 1.0
    weights: tuple[float, ...] = ()
    choose: Literal["best", "last"] = "best"
    clip_norm: float = 1.0
    decoder_width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.mode in ("frozen", "full"), "mode", "frozen or full")
        self._require(self.epochs >= 1, "epochs", "1 or more")
        self._require(self.batch_size >= 2, "batch_size", "2 or more, as batch norm needs")
        self._require(bool(self.lr) and all(0 < one < math.inf for one in self.lr), "lr", "a list of positive numbers")
        self._require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self._require(self.schedule in ("cosine", "exponential"), "schedule", "cosine or exponential")
        self._require(0 <= self.warmup_share < 1, "warmup_share", "from 0 to below 1")
        self._require(0 < self.decay_per_epoch <= 1, "decay_per_epoch", "above 0 and up to 1")
        self._require(0 <= self.background_per_foreground < math.inf, "background_per_foreground", "0 or more")
        self._require(0 <= self.mirrored <= 1, "mirrored", "from 0 to 1")
        self._require(self.dice_loss >= 0, "dice_loss", "0 or more")
        self._require(all(0 < one < math.inf for one in self.weights), "weights", "positive numbers")
        self._require(self.choose in ("best", "last"), "choose", "best or last")
        self._require(self.choose == "best" or len(self.lr) == 1, "lr", "one rate where choose is last")
        self._require(self.clip_norm >= 0, "clip_norm", "0 or more")
        self._require(0 < self.decoder_width <= 8, "decoder_width", "above 0 and up to 8")

    def _require(self, good: bool, name: str, wanted: str) -> None:
        if not good:
            raise UsageError(
                f"The setting {self.name}.{name} must be {wanted}", seen=getattr(self, name), fix="Correct it"
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
        """Train a network for every learning rate, keep the best on validation, score the test volumes.

        Args:
            model: Where training starts; it is left as it is.
            train: A `VolumeSplit`, like `val` and `test`.
            val: Volumes to choose on.
            test: Volumes to score.
            classes: Number of structures.
            metric: Not used: choices are made by the mean Dice.
            seed: Seed of everything random.
            device: Where to train.
            workers: Loader processes.

        Returns:
            `units` with a value of every metric for every test volume, the validation curve, and in `selected`:
            learning rate, epoch, validation Dice by rate, diverged rates, channel policy, the rule for empty masks.

        Raises:
            UsageError: A split holds no volume, or the model does not fit.
            RadnetError: A mask has labels outside the task, nothing can be scored, the test set is one patient, or
                every learning rate diverged.
        """
        trainings = [self._training(rate) for rate in self.lr]
        sides = {"train": train, "val": val, "test": test}
        return segment_volumes(
            model, sides, trainings, self.decoder_width, classes=classes, seed=seed, device=device, workers=workers
        )

    def _training(self, rate: float) -> TrainingSettings:
        """The settings of one training."""
        names = {entry.name for entry in fields(TrainingSettings)} - {"lr"}
        return TrainingSettings(lr=rate, **{name: getattr(self, name) for name in names})


def segment_volumes(
    model: LoadedModel,
    sides: Mapping[str, SliceSplit],
    trainings: Sequence[TrainingSettings],
    width: float,
    *,
    classes: int,
    seed: int,
    device: torch.device,
    workers: int,
) -> ProtocolResult:
    """Train one network for each settings, keep the best on validation, score the test volumes.

    Args:
        model: Where training starts.
        sides: "train", "val" and "test", each a `VolumeSplit`.
        trainings: Settings that differ in nothing that `selected` does not tell.
        width: See `SegmentationNetwork`.
        classes: Number of structures.
        seed: Of everything random.
        device: Where to train.
        workers: Loader processes.
    """
    train, val, test = (_volumes(name, sides[name]) for name in ("train", "val", "test"))
    weights = trainings[0].weights
    if len(train.masks.names) != classes or (weights and len(weights) != classes):
        raise UsageError(
            f"The task has {classes} structures",
            seen={"structures": train.masks.names, "weights": weights},
            fix="Give one weight a structure",
        )
    selected: dict[str, Any] = {"empty_masks": EMPTY_RULE, "grid": train.shards.manifest.slice_size}
    censuses = {}
    for name, split in (("train", train), ("val", val), ("test", test)):
        if split.left_out:
            selected[f"{name}_volumes_left_out"] = dict(split.left_out)
        censuses[name] = take_census(split, name)
        selected |= require_usable(name, split, censuses[name])
    if len({volume.patient for volume in test.volumes}) < 2:
        raise RadnetError(
            "The test volumes are all of one patient, so no confidence interval can be made",
            file=test.shards.path,
            fix="Use a set with more patients with masks, or build it with other --split-fractions",
        )
    best: tuple[TrainingSettings, Trained] | None = None
    by_rate: dict[str, float | None] = {}
    diverged: list[float] = []
    network, selected["channel_policy"] = _network(model, train, width, seed, device)
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for settings in trainings:
        network.load_state_dict(start)
        try:
            trained = train_network(
                network, train, val, censuses["train"], settings, seed=seed, device=device, workers=workers
            )
        except DivergedError as error:
            diverged.append(settings.lr)
            by_rate[f"{settings.lr:g}"] = None
            if len(diverged) == len(trainings):
                raise
            warn(f"segmentation: lr {settings.lr:g} is left out: {error.what}")
            continue
        by_rate[f"{settings.lr:g}"] = trained.val_dice
        if best is None or trained.val_dice > best[1].val_dice:
            best = (settings, trained)
    if best is None:
        raise UsageError("No learning rate was given", fix="Set protocol.lr to [0.001]")
    settings, trained = best
    network.load_state_dict(trained.state)
    say(f"segmentation: lr {settings.lr:g}, epoch {trained.epoch}, validation Dice {trained.val_dice:.3f}")
    selected |= {"lr": settings.lr, "epoch": trained.epoch, "val_dice": trained.val_dice, "val_dice_by_lr": by_rate}
    selected["diverged"] = diverged
    units = _scored(network, test, settings.batch_size, seed, device, workers)
    used = {name: split.stored_patients for name, split in (("train", train), ("val", val), ("test", test))}
    return ProtocolResult(np.zeros((0, classes)), selected, curve=trained.curve, units=units, used=used)


def _network(
    model: LoadedModel, train: VolumeSplit, width: float, seed: int, device: torch.device
) -> tuple[SegmentationNetwork, str]:
    """A network whose decoder depends on the seed alone, and what became of the input channels."""
    encoder, policy = encoder_of(model, train.view.shapes[0][0], train.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SegmentationNetwork(encoder, len(train.masks.names), width)
    return network.to(device), policy


def _scored(
    network: SegmentationNetwork, test: VolumeSplit, batch_size: int, seed: int, device: torch.device, workers: int
) -> UnitValues:
    """Scores of every test volume."""
    scores: list[list[StructureScores]] = []
    volumes = predicted_volumes(network, test, batch_size=batch_size, seed=seed, device=device, workers=workers)
    with progress("scoring volumes", len(test.volumes)) as meter:
        for number, predicted, reference in volumes:
            scores.append(score_volume(predicted, reference, test.volumes[number].spacing_mm))
            meter.advance()
    return UnitValues(
        keys=np.array([volume.key for volume in test.volumes], dtype=np.str_),
        patients=np.array([volume.patient for volume in test.volumes], dtype=np.str_),
        values=unit_metrics(test.masks.names, scores),
    )


def _volumes(name: str, split: SliceSplit) -> VolumeSplit:
    if isinstance(split, VolumeSplit):
        return split
    raise UsageError(
        f"The segment protocol needs volumes with masks, and the {name} split holds labelled images",
        fix="Take a task of kind segment (radnet task list), or another protocol",
    )
