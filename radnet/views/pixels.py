"""What a pixel means, by its dtype, and how it becomes a grey value. One place, so that every recipe agrees.

| dtype | unit | grey value |
|---|---|---|
| int16 (Y, X) | Hounsfield units, always CT | the recipe's window policy |
| uint16 (Y, X) | arbitrary (MR, radiographs) | between two percentiles of the image; no window has a meaning |
| uint8 (Y, X) or (Y, X, 3) | display picture, grey or RGB | value / 255 |

A recipe of one channel sees the luma of an RGB picture; one of three channels keeps its colours and repeats grey. So
CT, radiographs and photographs stack in one batch.

Shape legend: Y rows, X columns, C channels.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.errors import RadnetError

Image = NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.uint8]
"""One slice or picture: int16 or uint16 (Y, X), uint8 (Y, X) or (Y, X, 3)."""

Levels = tuple[tuple[float, float], ...]
"""(low, width) in pixel units, one a channel: grey is (value - low) / width, cut to [0, 1]."""

AIR_HU = -1024
"""What lies outside a slice."""

NOISE_RANGE_HU = 400.0
"""Noise in HU is meant in the soft-tissue window: other dtypes get the same share of their own range."""

_SAMPLED_VALUES = 1 << 14
"""Percentiles are taken of about so many evenly spread pixels: as good, and a hundred times faster than of all."""


def checked(image: Image, channels: int) -> Image:
    """The image as a recipe of so many channels sees it: RGB stays where there are three, else it becomes luma.

    Args:
        image: See `Image`.
        channels: Channels of the recipe.

    Returns:
        (Y, X), or uint8 (Y, X, 3).

    Raises:
        RadnetError: Another dtype or shape.
    """
    if image.dtype == np.int16 and image.ndim == 2:
        return image
    if image.ndim == 2 and image.dtype in (np.uint8, np.uint16):
        return image
    if image.ndim == 3 and image.dtype == np.uint8 and image.shape[2] == 3:
        return image if channels == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    raise RadnetError(
        "Views are made of int16 HU or uint16 (Y, X), or uint8 (Y, X) or (Y, X, 3)",
        seen=f"{image.dtype} {image.shape}",
        fix="Build the set again with radnet shards build",
    )


def black(image: Image) -> int:
    """What lies outside the image: air in CT, the lowest value in arbitrary units, black in a picture."""
    if image.dtype == np.int16:
        return AIR_HU
    return int(image.min()) if image.dtype == np.uint16 else 0


def own_levels(image: Image, percentiles: tuple[float, float]) -> tuple[float, float] | None:
    """(low, width) of an image that needs no window; None for CT, whose window is the recipe's decision.

    Args:
        image: See `Image`.
        percentiles: Which percentiles of a uint16 image become 0 and 1; (0, 100) takes its minimum and maximum.

    Returns:
        The width is infinite for a constant image: it becomes 0.
    """
    if image.dtype == np.int16:
        return None
    if image.dtype == np.uint8:
        return 0.0, 255.0
    if percentiles == (0, 100):
        return minmax_levels(image)
    step = max(int(np.sqrt(image.size / _SAMPLED_VALUES)), 1)
    low, high = np.percentile(image[::step, ::step], percentiles)
    return (float(low), float(high - low)) if high > low else minmax_levels(image)


def minmax_levels(image: NDArray[Any]) -> tuple[float, float]:
    """(low, width) of the minimum and maximum; the width of a constant image is infinite, so that it becomes 0."""
    low, high = float(image.min()), float(image.max())
    return low, high - low if high > low else np.inf


def noise_unit(own: tuple[float, float] | None) -> float:
    """Pixel values of one HU of noise, see `NOISE_RANGE_HU`."""
    if own is None:
        return 1.0
    return own[1] / NOISE_RANGE_HU if np.isfinite(own[1]) else 0.0
