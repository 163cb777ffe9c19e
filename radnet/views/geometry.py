"""Geometry with OpenCV: crop, resize, flip, rotate, blur.

Every function takes the images of `radnet.views.pixels`, or float32 of the same shapes, and keeps their dtype.

Shape legend: Y rows, X columns.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.views.area import shrink
from radnet.views.draws import uniform
from radnet.views.pixels import black


def resize(image: NDArray[Any], size: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Resize to (size, size): area averaging when shrinking, bilinear when growing; dtype kept.

    Args:
        image: (Y, X) or (Y, X, 3).
        size: Side of the result.
        out: Memory of the same dtype that the result may take, (size, size); it is returned when it was.
    """
    if image.shape[0] >= size and image.shape[1] >= size:
        return shrink(image, size, out)
    return np.asarray(cv2.resize(image, (size, size), dst=out, interpolation=cv2.INTER_LINEAR))


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


def flip(image: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Left to right; `out` is memory of the same shape and dtype for the result and may be `image` itself."""
    return np.asarray(cv2.flip(image, 1, dst=out))


def random_resized_crop(
    image: NDArray[Any],
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[Any]:
    """A random part of the image, resized to (size, size); see `random_crop`."""
    return resize(random_crop(image, scale, ratio, generator), size)


def random_crop(
    image: NDArray[Any], scale: tuple[float, float], ratio: tuple[float, float], generator: np.random.Generator
) -> NDArray[Any]:
    """A random part of the image: the crop of Szegedy et al. 2015 (arXiv 1409.4842), before its resizing.

    A crop that would be larger than the image along one side is cut to that side, where the original draws again:
    one draw a crop keeps the cost of a view and its use of the generator constant.

    Args:
        image: (Y, X) or (Y, X, 3).
        scale: Range of the crop's share of the area.
        ratio: Range of its width over its height, drawn log-uniformly.
        generator: Source of the randomness.

    Returns:
        A part of `image`, not a copy.
    """
    rows, columns = image.shape[:2]
    area = rows * columns * uniform(generator, *scale)
    aspect = math.exp(uniform(generator, math.log(ratio[0]), math.log(ratio[1])))
    width = min(max(round(math.sqrt(area * aspect)), 1), columns)
    height = min(max(round(math.sqrt(area / aspect)), 1), rows)
    top = int(generator.integers(rows - height + 1))
    left = int(generator.integers(columns - width + 1))
    return image[top : top + height, left : left + width]


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


def blur(image: NDArray[Any], sigma_px: float, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Gaussian blur with a standard deviation in pixels; the border is repeated.

    Args:
        image: (Y, X) or (Y, X, 3).
        sigma_px: Standard deviation.
        out: Memory of the same shape and dtype for the result; may be `image` itself.
    """
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, dst=out, borderType=cv2.BORDER_REPLICATE))
