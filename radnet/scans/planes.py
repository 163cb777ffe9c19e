"""Where the slices of a scan really lie, for masks that name places in space.

The affine of a stack knows one step from slice to slice. Where slices are missing or unevenly spaced it does not say
where a slice lies, so a mask must ask here: places are indices of the affine, one for each plane of the grid.
"""

import numpy as np
from numpy.typing import NDArray

from radnet.scans.orientation import to_canonical
from radnet.scans.sources import RefusedError

Places = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Of the planes along z, y and x, ascending; in steps of the canonical affine, counted from its origin."""
MISSING_STEPS = 0.9
"""So far from all slices a plane inside of a scan may lie on a slice that is missing."""


def even_places(shape: tuple[int, ...]) -> Places:
    """Places that the affine gives; shape (Z, Y, X)."""
    z, y, x = (np.arange(side, dtype=np.float64) for side in shape)
    return z, y, x


def canonical_places(along: NDArray[np.float64] | None, shape: tuple[int, ...], affine: NDArray[np.float64]) -> Places:
    """Places in the canonical orientation.

    Args:
        along: Of the slices along the last axis of a volume, ascending from 0, in steps of its affine; None where they
            are even.
        shape: Of the volume, index order (I, J, K).
        affine: Of the volume, before it is turned.
    """
    everywhere = np.broadcast_to(np.arange(shape[2], dtype=np.float64) if along is None else along, shape)
    turned, _ = to_canonical(everywhere, affine)
    places = list(even_places(turned.shape))
    axis = next((axis for axis, stride in enumerate(turned.strides) if stride), None)
    if axis is not None:
        line = np.moveaxis(turned, axis, 0)[:, 0, 0]
        places[axis] = line if line[-1] >= line[0] else shape[2] - 1 - line
    return places[0], places[1], places[2]


def plane_at(places: NDArray[np.float64], place: float, tolerance: float) -> int | None:
    """The number of the plane at a place; None where the scan has none, beyond its ends or where one is missing.

    Args:
        places: Of the planes along one axis.
        place: In the same steps.
        tolerance: So far off its plane a place may lie.

    Raises:
        RefusedError: "mask_grid": it lies between two planes.
    """
    number = int(np.abs(places - place).argmin())
    off = abs(float(places[number]) - place)
    if off <= tolerance:
        return number
    inside = places[0] < place < places[-1]
    if off < (MISSING_STEPS if inside else 1 - tolerance):
        raise RefusedError("mask_grid", "A plane of the mask lies between two slices of the scan")
    return None
