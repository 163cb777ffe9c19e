"""The loss of segmentation: cross-entropy of every pixel plus soft Dice of every structure.

Cross-entropy alone is won by background, Dice alone is flat where a structure is absent; their sum is the usual
remedy (Isensee et al. 2021, nnU-Net, Nature Methods 18).

Shape legend: B batch, K structures, H height, W width.
"""

import torch
from torch.nn import functional

SMOOTH = 1.0
"""Pixels added above and below, so that an absent structure that is not drawn costs nothing."""


def segmentation_loss(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None, dice: float = 1.0
) -> torch.Tensor:
    """Mean over structures of binary cross-entropy plus `dice` times (1 - soft Dice over the batch).

    Args:
        logits: (B, K, H, W).
        target: Shares in [0, 1], (B, K, H, W).
        weights: How much more a pixel inside of each structure counts than one outside, (K,); 1 when None.
        dice: Weight of the Dice part.

    Returns:
        A scalar, float32.
    """
    logits, target = logits.float(), target.float()
    positive = None if weights is None else weights[:, None, None]
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=positive)
    if not dice:
        return cross_entropy
    probability = torch.sigmoid(logits)
    over = (0, 2, 3)
    both = (probability * target).sum(over)
    overlap = (2 * both + SMOOTH) / (probability.sum(over) + target.sum(over) + SMOOTH)
    return cross_entropy + dice * (1 - overlap).mean()
