"""Making slices smaller: averages of areas for images, the nearest label for masks."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.uint8]


def size_within(rows: int, columns: int, longest: int | None) -> tuple[int, int]:
    """Rows and columns of a slice whose longer side is `longest` at most, in the same proportion."""
    if longest is None or max(rows, columns) <= longest:
        return rows, columns
    share = longest / max(rows, columns)
    return max(round(rows * share), 1), max(round(columns * share), 1)


def shrink_image(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """Every new pixel is the mean of the area it covers, rounded; dtype kept.

    Args:
        pixels: (Y, X) or (Y, X, 3).
        rows: New rows, at most the old ones.
        columns: New columns, at most the old ones.
    """
    if pixels.shape[:2] == (rows, columns):
        return pixels
    # in float32: OpenCV's integer path cuts off instead of rounding for some sizes
    mean = cv2.resize(pixels.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    whole = np.rint(mean)
    return whole.astype(np.int16) if pixels.dtype == np.int16 else _unsigned(whole, pixels.dtype)


def _unsigned(whole: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    return whole.astype(np.uint8) if dtype == np.uint8 else whole.astype(np.uint16)


def shrink_mask(
    mask: NDArray[np.uint8] | NDArray[np.uint16], rows: int, columns: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Every new pixel is the label at its centre, (Y, X)."""
    if mask.shape == (rows, columns):
        return mask
    y = ((np.arange(rows) + 0.5) * mask.shape[0] / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * mask.shape[1] / columns).astype(int)
    return mask[np.ix_(y, x)]
