"""What a pretraining method is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from radnet.pretrain.moment import Moment
from radnet.views.pixels import Image

FEATURES = "features"
"""Key of `Method.forward`'s values under which the features for the monitors lie; the loop keeps it out of the log."""


class Recipe(Protocol):
    """How a method makes views of a slice: what the loader calls, and what the export must know to do likewise."""

    @property
    def size(self) -> int:
        """Side of the (global) views in pixels."""
        ...

    @property
    def channels(self) -> int:
        """Channels of a view."""
        ...

    @property
    def mean(self) -> float:
        """Subtracted from the grey values in [0, 1]."""
        ...

    @property
    def std(self) -> float:
        """Divides the grey values after that."""
        ...

    def __call__(self, image: Image, generator: np.random.Generator) -> Sequence[NDArray[np.floating[Any]]]:
        """Views of one image: see `radnet.views.pixels` -> float arrays (C, H, W), one a view."""
        ...


class Method(nn.Module, ABC):
    """A pretraining method: a module that turns views into a loss.

    Attributes:
        backbone: What is exported.
        views: The recipe that the loader's workers run.
    """

    backbone: nn.Module
    views: Recipe

    @classmethod
    def resolve(cls, settings: dict[str, Any], *, slices: int) -> dict[str, Any]:
        """The settings with everything filled in that follows the size of the data unless it is set.

        Args:
            settings: `configs/method/*.yaml` as a dictionary.
            slices: Training slices.
        """
        return settings

    @property
    def trained_backbone(self) -> nn.Module:
        """The backbone that gradients reach: where activation checkpointing and drop path belong."""
        return self.backbone

    def compile_backbone(self, **options: Any) -> None:
        """Compile in place what costs most; names in the state stay as they are.

        Views come in a few fixed sizes, so each gets its own graph unless `dynamic` says otherwise.

        Args:
            options: Of `torch.compile`.
        """
        self.trained_backbone.compile(**{"dynamic": False, **options})

    @abstractmethod
    def forward(self, views: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Loss of one batch.

        Args:
            views: One tensor (B, C, H, W) a view, in the order of the recipe.

        Returns:
            "loss" (scalar, float32, to be minimised), other named scalars for the log, and under `FEATURES` the
            detached features of the backbone for one view of every slice, float32 (B, D), which the monitors look at.
        """

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Trainable parameters for the optimizer; norms, biases, tokens and positions are not decayed.

        Args:
            weight_decay: Decay of all other parameters.
        """
        spared: set[str] = set()
        for prefix, module in self.named_modules():
            names = getattr(module, "no_weight_decay", None)
            if callable(names):
                spared |= {f"{prefix}.{name}" if prefix else name for name in names()}
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[parameter.ndim > 1 and name not in spared].append(parameter)
        return [
            {"params": groups[True], "weight_decay": weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ]

    def before_step(self, moment: Moment) -> dict[str, float]:
        """Set what changes with the step (temperatures, momenta); called before the first forward of a step.

        Returns:
            The values set, by name, for the log.
        """
        return {}

    def before_update(self, moment: Moment) -> None:
        """Called between backward and the update, before gradients are clipped: a method may drop some of them."""

    def after_step(self, moment: Moment) -> None:
        """Called after every optimizer step, for teachers that follow by moving average."""

    def landmarks(self, global_batch: int) -> dict[str, float]:
        """Values of the loss that mean something, for the diagnosis of a run.

        Args:
            global_batch: Slices a step on all ranks together.

        Returns:
            Any of "chance" (no slice is told from another), "collapse" (all outputs are alike) and "floor" (nothing
            is left to learn).
        """
        return {}
