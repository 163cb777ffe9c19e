"""Between the grid of a slice and the square that a model sees.

The evaluation view pads a slice to a square and resizes it. A mask goes the same way as shares of each pixel; what a
model says comes back by the inverse: bilinear, then the padding is cut off. So scores are taken on the grid of the
slice and no arm gains by a smaller picture.

Shape legend: K structures, Y rows, X columns, S side of the view.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.views.geometry import resize


def to_view(inside: NDArray[np.bool_], size: int) -> NDArray[np.float32]:
    """Shares of each pixel of the view that belong to each structure.

    Args:
        inside: bool, (K, Y, X).
        size: Side S.

    Returns:
        float32, (K, S, S), in [0, 1].
    """
    rows, columns = inside.shape[1:]
    side = max(rows, columns)
    top, left = _margins(rows, columns)
    square = np.zeros((len(inside), side, side), np.float32)
    square[:, top : top + rows, left : left + columns] = inside
    return np.stack([resize(plane, size) for plane in square])


def from_view(probability: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Probabilities of a view on the grid of its slice.

    Args:
        probability: float32, (K, S, S).
        shape: (Y, X).

    Returns:
        float32, (K, Y, X).
    """
    rows, columns = shape
    side = max(rows, columns)
    top, left = _margins(rows, columns)
    whole: list[NDArray[Any]] = [
        np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR)) for plane in probability
    ]
    return np.stack(whole)[:, top : top + rows, left : left + columns]


def _margins(rows: int, columns: int) -> tuple[int, int]:
    """What `pad_to_square` puts above and to the left."""
    side = max(rows, columns)
    return (side - rows) // 2, (side - columns) // 2
