"""Activations of a backbone's stages, averaged over space, for comparisons layer by layer.

Shape legend: N items, L layers, C channels, H height, W width, T tokens.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from radnet.models.inference import for_inference

OUTPUT = "output"
"""Name of the last layer: the features that the backbone gives."""
MOST_LAYERS = 12


def evenly(number: int, most: int = MOST_LAYERS) -> list[int]:
    """At most `most` of 0…number-1, evenly spaced, the last among them."""
    return sorted({round(place) for place in np.linspace(0, number - 1, min(number, most))})


@torch.inference_mode()
def layer_activations(
    backbone: nn.Module,
    batches: Iterable[torch.Tensor],
    *,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Activations of every stage of a timm backbone, and its output.

    A stage is what timm's `forward_intermediates` gives: residual stages of a CNN, blocks of a transformer (12 at
    most, evenly spaced). Maps (B, C, H, W) and tokens (B, T, C) are averaged over places: pooled activations are what
    a probe would see, and CKA of whole maps of many items has no room in memory.

    Args:
        backbone: Gives (B, D); in eval mode.
        batches: Inputs, float32, (B, C_in, H, W), on the backbone's device.
        on_batch: Called with the number of items of each batch that is done.

    Returns:
        Layer name -> float32, (N, C); the last is `OUTPUT`. Only that where timm has no intermediates of the
        architecture.
    """
    found: dict[str, list[NDArray[np.float32]]] = {}
    network: _Network | None = None
    for pictures in batches:
        network = network or _Network(for_inference(backbone, pictures))
        stages, output = network(pictures.to(memory_format=torch.channels_last))
        for number in evenly(len(stages)) if stages else []:
            found.setdefault(f"stage {number + 1}", []).append(_pooled(stages[number]))
        found.setdefault(OUTPUT, []).append(output.float().cpu().numpy())
        if on_batch is not None:
            on_batch(len(pictures))
    names = [name for name in found if name != OUTPUT] + [OUTPUT]
    return {name: np.concatenate(found[name]) for name in names if name in found}


class _Network:
    """A backbone that gives its stages with its output, in one pass where that is the same."""

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone: Any = backbone
        self._intermediates = getattr(backbone, "forward_intermediates", None)
        self._one_pass: bool | None = None  # unknown before the first batch

    def __call__(self, pictures: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Every stage (none where timm has no intermediates of the architecture) and the output."""
        last, stages = None, list[torch.Tensor]()
        if self._intermediates is not None:
            try:
                last, stages = self._intermediates(pictures)
            except (NotImplementedError, AssertionError, TypeError):
                self._intermediates = None
        if self._one_pass and last is not None:
            return stages, self._backbone.forward_head(last)
        output = self._backbone(pictures)
        if self._one_pass is None:
            self._one_pass = last is not None and self._gives(output, last)
        return stages, output

    def _gives(self, output: torch.Tensor, last: torch.Tensor) -> bool:
        """Whether the head makes the output of the last feature map."""
        head = getattr(self._backbone, "forward_head", None)
        if head is None:
            return False
        try:
            made = head(last)
        except (RuntimeError, TypeError, ValueError):
            return False
        return made.shape == output.shape and torch.allclose(made, output, rtol=1e-4, atol=1e-5)


def _pooled(activation: torch.Tensor) -> NDArray[np.float32]:
    """(B, C, H, W) or (B, T, C) or (B, C) -> (B, C)."""
    values = activation.float()
    if values.ndim == 4:
        values = values.mean((2, 3))
    elif values.ndim == 3:
        values = values.mean(1)
    return np.asarray(values.cpu().numpy(), dtype=np.float32)
