"""Geometry on int16 slices with OpenCV: crop, resize, flip, rotate. Fast because it stays on 16-bit integers.

Shape legend: Y rows, X columns.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

AIR_HU = -1024
"""What lies outside a slice."""


def resize(hu: NDArray[Any], size: int) -> NDArray[Any]:
    """Resize to (size, size): area averaging when shrinking, bilinear when growing; dtype kept."""
    shrinking = hu.shape[0] >= size and hu.shape[1] >= size
    return np.asarray(cv2.resize(hu, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR))


def pad_to_square(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Pad the shorter side with air on both sides, so that resizing does not distort anatomy."""
    rows, columns = hu.shape
    side = max(rows, columns)
    if rows == columns:
        return hu
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.full((side, side), AIR_HU, dtype=np.int16)
    square[top : top + rows, left : left + columns] = hu
    return square


def random_resized_crop(
    hu: NDArray[np.int16],
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[np.int16]:
    """A random part of the slice, resized to (size, size): the crop of Szegedy et al. 2015 (arXiv 1409.4842).

    A crop that would be larger than the slice along one side is cut to that side, where the original draws again:
    one draw a crop keeps the cost of a view and its use of the generator constant.

    Args:
        hu: int16, (Y, X).
        size: Side of the result.
        scale: Range of the crop's share of the area.
        ratio: Range of its width over its height, drawn log-uniformly.
        generator: Source of the randomness.
    """
    rows, columns = hu.shape
    area = rows * columns * generator.uniform(*scale)
    aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
    width = min(max(round(math.sqrt(area * aspect)), 1), columns)
    height = min(max(round(math.sqrt(area / aspect)), 1), rows)
    top = int(generator.integers(rows - height + 1))
    left = int(generator.integers(columns - width + 1))
    return np.asarray(resize(hu[top : top + height, left : left + width], size))


def rotate(hu: NDArray[np.int16], degrees: float) -> NDArray[np.int16]:
    """Rotate about the centre, bilinear, air outside."""
    rows, columns = hu.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(hu, matrix, (columns, rows), borderMode=cv2.BORDER_CONSTANT, borderValue=AIR_HU)
    return np.asarray(turned, dtype=np.int16)


def blur(hu: NDArray[np.int16], sigma_px: float) -> NDArray[np.int16]:
    """Gaussian blur with a standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(hu, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), dtype=np.int16)
