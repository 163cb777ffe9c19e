"""One training of a segmentation network, a pure function of its settings, data and seed.

`frozen`: the encoder stays in eval mode and gets no gradient, so that its batch norm statistics do not adapt either.
`full`: everything is trained. `adapting`: no gradient, but statistics that adapt, as in the reference study. The
optimizer is made last, from the parameters that are to be trained.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.console import progress
from radnet.errors import RadnetError
from radnet.transfer.contract import EpochPoint
from radnet.transfer.segmentation.census import Census
from radnet.transfer.segmentation.loading import batch_sizes, batches
from radnet.transfer.segmentation.losses import segmentation_loss
from radnet.transfer.segmentation.networks import SegmentationNetwork
from radnet.transfer.segmentation.prediction import mean_dice, volume_dice
from radnet.transfer.segmentation.volumes import VolumeSplit


class DivergedError(RadnetError):
    """The loss of one training is no longer finite; another learning rate may do."""


Mode = Literal["frozen", "adapting", "full"]


@dataclass(frozen=True)
class TrainingSettings:
    """How one network is trained; `SegmentProtocol` says what the fields mean."""

    mode: Mode
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    schedule: Literal["cosine", "exponential"]
    warmup_share: float
    decay_per_epoch: float
    background_per_foreground: float
    mirrored: float
    dice_loss: float
    weights: tuple[float, ...]
    choose: Literal["best", "last"]
    clip_norm: float


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        state: Weights of the chosen epoch, on the CPU.
        epoch: Its number.
        val_dice: Mean Dice of the validation volumes at it.
        curve: Every epoch.
    """

    state: dict[str, torch.Tensor]
    epoch: int
    val_dice: float
    curve: tuple[EpochPoint, ...]


def train_network(
    network: SegmentationNetwork,
    train: VolumeSplit,
    val: VolumeSplit,
    census: Census,
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    workers: int = 0,
) -> Trained:
    """Train a network in place and return its state at the chosen epoch.

    Args:
        network: On the device.
        train: Volumes to learn from.
        val: Volumes to choose the epoch on.
        census: Of `train`.
        settings: How.
        seed: Of order, dropout and views.
        device: Where.
        workers: Loader processes.

    Raises:
        DivergedError: The loss is not finite.
        RadnetError: A slice cannot be read.
    """
    network.encoder.requires_grad_(settings.mode == "full")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    slices = len(epoch_positions(census, settings, seed, 0))
    steps_an_epoch = len(batch_sizes(slices, settings.batch_size, training=True))
    rate = _rates(settings, steps_an_epoch)
    weights = torch.tensor(settings.weights, device=device) if settings.weights else None
    curve: list[EpochPoint] = []
    best: tuple[float, int, dict[str, torch.Tensor]] | None = None
    done = 0
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        progress(f"training ({settings.mode}, lr {settings.lr:g})", settings.epochs * steps_an_epoch) as meter,
    ):
        for epoch in range(settings.epochs):
            torch.manual_seed(_mixed(seed, epoch))
            network.train()
            if settings.mode == "frozen":
                network.encoder.eval()
            losses = []
            for batch in batches(
                train,
                epoch_positions(census, settings, seed, epoch),
                batch_size=settings.batch_size,
                seed=seed,
                epoch=epoch,
                mirrored=settings.mirrored,
                workers=workers,
                training=True,
            ):
                for group in optimizer.param_groups:
                    group["lr"] = settings.lr * rate(done)
                losses.append(_step(network, optimizer, trained, batch.pictures, batch.targets, weights, settings))
                done += 1
                meter.advance()
            value = mean_dice(
                volume_dice(network, val, batch_size=settings.batch_size, seed=seed, device=device, workers=workers)
            )
            curve.append(EpochPoint(epoch, done, float(np.mean(losses)), {"dice": value}))
            meter.note = f"val dice {value:.3f}"
            last = epoch == settings.epochs - 1
            if (settings.choose == "best" and (best is None or value > best[0])) or (
                settings.choose == "last" and last
            ):
                state = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
                best = (value, epoch, state)
    if best is None:
        raise RadnetError("The network was trained for no epoch", fix="Set protocol.epochs to 1 or more")
    return Trained(best[2], best[1], best[0], tuple(curve))


def epoch_positions(census: Census, settings: TrainingSettings, seed: int, epoch: int) -> NDArray[np.int64]:
    """The slices of one epoch in order: all that show a structure, and a draw of those that show none."""
    generator = np.random.default_rng([seed, epoch, 7])
    shown = np.flatnonzero(census.foreground)
    others = np.flatnonzero(~census.foreground)
    wanted = min(len(others), math.ceil(len(shown) * settings.background_per_foreground))
    chosen = np.concatenate([shown, generator.permutation(others)[:wanted]])
    return np.asarray(generator.permutation(chosen), dtype=np.int64)


def _step(
    network: SegmentationNetwork,
    optimizer: torch.optim.Optimizer,
    trained: list[torch.nn.Parameter],
    pictures: torch.Tensor,
    targets: torch.Tensor | None,
    weights: torch.Tensor | None,
    settings: TrainingSettings,
) -> float:
    """One optimizer step; the loss before it."""
    if targets is None:
        raise TypeError("training needs targets")
    device = next(network.parameters()).device
    pictures = pictures.to(device)
    if settings.mode != "full":
        with torch.no_grad():
            maps = network.encoder(pictures)
        logits = network.decode(maps, pictures.shape[-2:])
    else:
        logits = network(pictures)
    loss = segmentation_loss(logits, targets.to(device), weights, settings.dice_loss)
    if not torch.isfinite(loss):
        raise DivergedError(
            "The loss of the segmentation is not finite",
            seen=float(loss.detach()),
            fix="Lower protocol.lr, or check the weights of the model",
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if settings.clip_norm:
        torch.nn.utils.clip_grad_norm_(trained, settings.clip_norm)
    optimizer.step()
    return float(loss.detach())


def _rates(settings: TrainingSettings, steps_an_epoch: int) -> Callable[[int], float]:
    """Learning rate of each step as a share of the highest."""
    total = settings.epochs * steps_an_epoch
    warmup = math.ceil(settings.warmup_share * total)

    def cosine(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))

    def exponential(step: int) -> float:
        return float(settings.decay_per_epoch ** (step // steps_an_epoch))

    return cosine if settings.schedule == "cosine" else exponential


def _mixed(*numbers: int) -> int:
    """A seed of several numbers."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1)[0])
