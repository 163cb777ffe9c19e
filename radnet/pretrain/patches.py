"""Square patches: their pixels, their positions, and which of them are hidden.

Shape legend: B images, C channels, P side of a patch, N patches, D width of a token.
"""

import torch
from torch import nn


def patch_pixels(images: torch.Tensor, patch: int) -> torch.Tensor:
    """Pixels of every patch: (B, C, H, W) -> (B, N, P * P * C), patches row by row as timm orders its tokens."""
    rows = images.unfold(2, patch, patch).unfold(3, patch, patch)
    return rows.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def sine_cosine_positions(width: int, side: int) -> torch.Tensor:
    """Fixed positions on a grid of side x side, float32 (side * side, width), row by row.

    Half of the width tells the row and half the column, each with sines and cosines of width/4 wavelengths from 2 pi to
    20,000 pi (arXiv 1706.03762, section 3.5, once an axis).

    Args:
        width: D, divisible by 4.
        side: Patches along an edge.
    """
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1).float()


def gather_tokens(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Tokens (B, N, D) at positions (B, M) -> (B, M, D)."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


def masked_loss(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error over hidden patches, in float32.

    Args:
        predicted: (B, M, P * P * C).
        target: The same, see `normalised`.
    """
    return nn.functional.mse_loss(predicted.float(), target.float())


def mean_picture_loss(targets: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """What `masked_loss` comes to when every image gets the same picture, the mean of all at each place.

    No network that looks away from its input does better. The mean of a batch fits the batch itself better than the
    next; as with any variance of a sample, B / (B - 1) makes up for it.

    Args:
        targets: (B, N, P * P * C), of hidden and visible patches; B at least 2.
        hidden: (B, M), numbers of the hidden patches.
    """
    exact = targets.float()
    loss = gather_tokens((exact - exact.mean(dim=0)).square(), hidden).mean()
    return loss * (len(targets) / (len(targets) - 1))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Every patch less its mean, over its standard deviation (arXiv 2111.06377, section 3), in float32.

    The deviation is that of the population, so predicting 0 costs exactly 1. A patch of one grey value becomes 0.

    Args:
        pixels: (B, M, P * P * C).
    """
    exact = pixels.float()
    variance, mean = torch.var_mean(exact, dim=-1, keepdim=True, correction=0)
    return (exact - mean) / (variance + 1e-6).sqrt()
