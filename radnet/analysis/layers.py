"""Activations of a backbone's stages, averaged over space, for comparisons layer by layer.

Shape legend: N items, L layers, C channels, H height, W width, T tokens.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

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
    intermediates = getattr(backbone, "forward_intermediates", None)
    for pictures in batches:
        stages: list[torch.Tensor] = []
        if intermediates is not None:
            try:
                stages = intermediates(pictures, intermediates_only=True)
            except (NotImplementedError, AssertionError, TypeError):
                intermediates = None
        for number in evenly(len(stages)) if stages else []:
            name = f"stage {number + 1}"
            found.setdefault(name, []).append(_pooled(stages[number]))
        found.setdefault(OUTPUT, []).append(backbone(pictures).float().cpu().numpy())
        if on_batch is not None:
            on_batch(len(pictures))
    names = [name for name in found if name != OUTPUT] + [OUTPUT]
    return {name: np.concatenate(found[name]) for name in names if name in found}


def _pooled(activation: torch.Tensor) -> NDArray[np.float32]:
    """(B, C, H, W) or (B, T, C) or (B, C) -> (B, C)."""
    values = activation.float()
    if values.ndim == 4:
        values = values.mean((2, 3))
    elif values.ndim == 3:
        values = values.mean(1)
    return np.asarray(values.cpu().numpy(), dtype=np.float32)
