"""One training of a classifier from a pretrained backbone: groups, schedule, epochs, validation curve.

What is chosen between trainings, and which epoch counts, is the protocols' business.

Shape legend: B batch, N items, K classes.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from radnet.errors import RadnetError, UsageError
from radnet.models import LoadedModel, embedding_size
from radnet.transfer.contract import EpochPoint
from radnet.transfer.lars import LARS
from radnet.transfer.metrics import METRICS
from radnet.transfer.pictures import Augmentation, batches_an_epoch, scoring_batches, training_batches
from radnet.transfer.splits import SliceSplit

TRAINABLE = ("all", "head", "head_and_statistics")
"""What a training changes: everything; the head alone, the backbone in eval mode; or the head, with the backbone's
batch-norm statistics adapting (what the reference study called linear evaluation)."""
OPTIMIZERS = ("adamw", "lars")


@dataclass(frozen=True)
class Recipe:
    """How one training runs.

    Attributes:
        epochs: Passes over the training slices.
        batch_size: Slices a step, about: an epoch is cut into equal parts.
        optimizer: One of `OPTIMIZERS`.
        lr: Highest learning rate, of the head.
        weight_decay: Of matrices; norms, biases, tokens and positions have none.
        layer_decay: Factor of the learning rate from each layer to the one below; 1 leaves it out.
        schedule: "cosine": linear warm-up, then half a cosine to 0, by step. "exponential": times `epoch_decay` after
            each epoch.
        warmup: Share of all steps, for the cosine.
        epoch_decay: Factor an epoch, for the exponential.
        trainable: One of `TRAINABLE`.
        class_weights: Weight of each class in the loss; empty: all 1.
        augmentation: Of training slices; None: none.
    """

    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float
    layer_decay: float
    schedule: str
    warmup: float
    epoch_decay: float
    trainable: str
    class_weights: tuple[float, ...]
    augmentation: Augmentation | None


class Classifier(nn.Module):
    """A backbone with a linear head: (B, C, S, S) -> logits (B, K)."""

    def __init__(self, backbone: nn.Module, dimensions: int, classes: int, trainable: str) -> None:
        super().__init__()
        self.backbone, self.trainable = backbone, trainable
        self.head = nn.Linear(dimensions, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        backbone.requires_grad_(trainable == "all")

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.head(self.backbone(pictures))
        return logits

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode; a backbone that is not trained stays in eval mode, so that nothing of it moves."""
        super().train(mode)
        if self.trainable == "head":
            self.backbone.eval()
        return self


def parameter_groups(model: Classifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups whose own `lr` holds the decay of their layer.

    timm's groups carry the factor as `lr_scale`, which no optimizer or scheduler of torch reads; here it becomes the
    group's learning rate, and schedules multiply that.
    """
    from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # see `radnet.models.backbone`

    groups: list[dict[str, Any]] = []
    if recipe.trainable == "all":
        names = getattr(model.backbone, "no_weight_decay", None)
        groups = param_groups_layer_decay(
            model.backbone,
            weight_decay=recipe.weight_decay,
            no_weight_decay_list=tuple(names()) if callable(names) else (),
            # The head lies above the backbone's last layer.
            layer_decay=recipe.layer_decay,
        )
        for group in groups:
            group["lr"] = recipe.lr * group.pop("lr_scale") * recipe.layer_decay
    groups.append({"params": [model.head.weight], "lr": recipe.lr, "weight_decay": recipe.weight_decay})
    groups.append({"params": [model.head.bias], "lr": recipe.lr, "weight_decay": 0.0})
    return groups


def factor(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """What every group's learning rate is multiplied with at a step, from 0."""
    if recipe.schedule == "exponential":
        return float(recipe.epoch_decay ** (step // steps_per_epoch))
    total = recipe.epochs * steps_per_epoch
    warm = round(recipe.warmup * total)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1))) / 2


@dataclass(frozen=True)
class Epoch:
    """A training at the end of an epoch.

    Attributes:
        point: For the curve.
        value: The metric on validation, NaN where it is undefined or the training has diverged.
    """

    point: EpochPoint
    value: float


class Training:
    """One run of a recipe; iterate over `epochs` and take the model's `state` or `scores` where they are wanted."""

    def __init__(
        self, model: LoadedModel, train: SliceSplit, classes: int, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        self.recipe, self.classes, self._train, self._seed, self._device = recipe, classes, train, seed, device
        if train.target is None:
            raise UsageError("This protocol needs class labels, and the task has masks only", fix="Use segment")
        if len(train) < 2:
            raise UsageError("Training needs at least two slices", seen=len(train), fix="Raise the fraction")
        self._target = torch.from_numpy(train.target)
        size = train.view.shapes[0][1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone = copy.deepcopy(model.backbone).cpu()
            dimensions = embedding_size(backbone, model.in_chans, size)
            self.model = Classifier(backbone, dimensions, classes, recipe.trainable).to(device)
        weights = torch.tensor(recipe.class_weights, device=device) if recipe.class_weights else None
        self._loss: nn.Module = (
            nn.BCEWithLogitsLoss(weight=weights) if train.multi_label else nn.CrossEntropyLoss(weight=weights)
        )
        groups = parameter_groups(self.model, recipe)
        self._optimizer: torch.optim.Optimizer = (
            LARS(groups, lr=recipe.lr) if recipe.optimizer == "lars" else torch.optim.AdamW(groups, lr=recipe.lr)
        )
        self._peak = [float(group["lr"]) for group in self._optimizer.param_groups]

    def epochs(self, val: SliceSplit, metric: str, workers: int) -> Iterator[Epoch]:
        """Train epoch by epoch; a training whose loss is no longer finite ends there, with NaN as its value."""
        steps = 0
        for epoch in range(self.recipe.epochs):
            losses = []
            with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
                torch.manual_seed(int(np.random.default_rng([self._seed, epoch, 2]).integers(2**62)))
                self.model.train()
                batches = batches_an_epoch(len(self._train), self.recipe.batch_size)
                for pictures, positions in training_batches(
                    self._train,
                    seed=self._seed,
                    epoch=epoch,
                    batch_size=self.recipe.batch_size,
                    augmentation=self.recipe.augmentation,
                    workers=workers,
                ):
                    losses.append(self._step(pictures, positions, factor(self.recipe, steps, batches)))
                    steps += 1
            loss, value = float(np.mean(losses)), float("nan")
            if math.isfinite(loss) and val.target is not None:
                scores = self._raw_scores(val, workers)
                if np.isfinite(scores).all():
                    value = METRICS[metric](val.target, scores)
                else:  # the last step broke the weights, which the next loss would have shown
                    loss = float("nan")
            yield Epoch(EpochPoint(epoch, steps, loss, {metric: value}), value)
            if not math.isfinite(loss):
                return

    def _step(self, pictures: torch.Tensor, positions: NDArray[np.int64], multiplier: float) -> float:
        for group, peak in zip(self._optimizer.param_groups, self._peak, strict=True):
            group["lr"] = peak * multiplier
        target = self._target[torch.from_numpy(positions)].to(self._device)
        logits = self.model(pictures.to(self._device))
        loss = self._loss(logits, target.float() if target.ndim == 2 else target)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def scores(self, split: SliceSplit, workers: int = 0) -> NDArray[np.float64]:
        """Class probabilities of every slice of a split, float64, (N, K), in eval mode.

        Raises:
            RadnetError: A score is not finite.
        """
        scores = self._raw_scores(split, workers)
        broken = int((~np.isfinite(scores).all(1)).sum())
        if broken:
            raise RadnetError(
                f"The trained model gives scores that are NaN or infinite for {broken} of {len(scores)} slices",
                fix="Lower the learning rate, or check the weights it starts from",
            )
        return scores

    @torch.inference_mode()
    def _raw_scores(self, split: SliceSplit, workers: int) -> NDArray[np.float64]:
        self.model.eval()
        parts = [np.zeros((0, self.classes))]
        for pictures, _ in scoring_batches(split, batch_size=max(self.recipe.batch_size, 64), workers=workers):
            logits = self.model(pictures.to(self._device)).double()
            chance = logits.sigmoid() if self._train.multi_label else logits.softmax(1)
            parts.append(chance.cpu().numpy())
        return np.concatenate(parts)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of all weights and statistics, on the CPU."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Set all weights and statistics."""
        self.model.load_state_dict(dict(state))


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Within the block torch computes on so many threads: sums then have one order, whatever the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
