"""Geometry with OpenCV: crop, resize, flip, rotate, blur. Fast because it stays on the integers of the image.

Every function takes the images of `radnet.views.pixels` and keeps their dtype.

Shape legend: Y rows, X columns.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.views.area import shrink
from radnet.views.pixels import black


def uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """`generator.uniform(low, high)`, the same number in a third of its time."""
    return low + (high - low) * generator.random()


def resize(image: NDArray[Any], size: int) -> NDArray[Any]:
    """Resize to (size, size): area averaging when shrinking, bilinear when growing; dtype kept."""
    if image.shape[0] >= size and image.shape[1] >= size:
        return shrink(image, size)
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR))


def pad_to_square(image: NDArray[Any]) -> NDArray[Any]:
    """Pad the shorter side on both sides with air, or what is black, so that resizing does not distort anatomy."""
    rows, columns = image.shape[:2]
    side = max(rows, columns)
    if rows == columns:
        return image
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.full((side, side, *image.shape[2:]), black(image), dtype=image.dtype)
    square[top : top + rows, left : left + columns] = image
    return square


def flip(image: NDArray[Any]) -> NDArray[Any]:
    """Left to right."""
    return np.asarray(cv2.flip(image, 1))


def random_resized_crop(
    image: NDArray[Any],
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[Any]:
    """A random part of the image, resized to (size, size): the crop of Szegedy et al. 2015 (arXiv 1409.4842).

    A crop that would be larger than the image along one side is cut to that side, where the original draws again:
    one draw a crop keeps the cost of a view and its use of the generator constant.

    Args:
        image: (Y, X) or (Y, X, 3).
        size: Side of the result.
        scale: Range of the crop's share of the area.
        ratio: Range of its width over its height, drawn log-uniformly.
        generator: Source of the randomness.
    """
    rows, columns = image.shape[:2]
    area = rows * columns * uniform(generator, *scale)
    aspect = math.exp(uniform(generator, math.log(ratio[0]), math.log(ratio[1])))
    width = min(max(round(math.sqrt(area * aspect)), 1), columns)
    height = min(max(round(math.sqrt(area / aspect)), 1), rows)
    top = int(generator.integers(rows - height + 1))
    left = int(generator.integers(columns - width + 1))
    return resize(image[top : top + height, left : left + width], size)


def rotate(image: NDArray[Any], degrees: float, outside: int) -> NDArray[Any]:
    """Rotate counter-clockwise about the centre, bilinear.

    Args:
        image: (Y, X) or (Y, X, 3).
        degrees: Angle.
        outside: Value of what comes in from outside, see `radnet.views.pixels.black`.
    """
    rows, columns = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    border = (outside,) * 4
    return np.asarray(
        cv2.warpAffine(image, matrix, (columns, rows), borderMode=cv2.BORDER_CONSTANT, borderValue=border)
    )


def blur(image: NDArray[Any], sigma_px: float) -> NDArray[Any]:
    """Gaussian blur with a standard deviation in pixels; the border is repeated."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE))
