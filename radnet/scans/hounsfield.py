"""From stored values to int16 Hounsfield units, and whether values can be Hounsfield units at all."""

import numpy as np
from numpy.typing import NDArray

RealVoxels = np.integer | np.floating
INT16 = np.iinfo(np.int16)
AIR_HU = -500
"""Air, lung and what surrounds a patient lie below; no soft tissue does."""
AIR_SHARE = 0.002
"""A crop around a tumour may hold little air, but some."""
LOWEST_PLAUSIBLE_HU = -10_000
MASK_LABELS = 160
"""More different values than this are no label map."""
SAMPLE = 100_000
"""So many voxels usually show already that there are too many different values."""


def rescale(stored: NDArray[RealVoxels], slope: float, intercept: float) -> tuple[NDArray[np.int16], bool]:
    """Apply slope and intercept, round to the nearest integer, clip to int16.

    Args:
        stored: Any real dtype, finite, any shape.
        slope: Units a stored step.
        intercept: Units at stored 0.

    Returns:
        int16 of the same shape, and whether any value had to be clipped.
    """
    whole = np.issubdtype(stored.dtype, np.integer) and slope == int(slope) and intercept == int(intercept)
    values: NDArray[RealVoxels]
    if slope == 1 and intercept == 0:
        values = stored if whole else np.rint(stored)
    elif whole:
        values = stored.astype(np.int64) * int(slope) + int(intercept)
    else:
        values = np.rint(stored.astype(np.float64) * slope + intercept)
    if values.size == 0:
        return values.astype(np.int16), False
    clipped = bool(values.min() < INT16.min or values.max() > INT16.max)
    return (np.clip(values, INT16.min, INT16.max) if clipped else values).astype(np.int16), clipped


def looks_like_mask(values: NDArray[RealVoxels]) -> bool:
    """Whether the values are a label map: non-negative whole numbers, few different ones.

    An 8-bit picture holds nearly all of 0..255 and so is none.
    """
    if values.size == 0 or values.min() < 0 or values.max() > 65535:
        return False
    if len(np.unique(values.reshape(-1)[:: 1 + values.size // SAMPLE])) > MASK_LABELS:
        return False
    distinct = np.unique(values)
    return bool(len(distinct) <= MASK_LABELS and (distinct == np.rint(distinct)).all())


def looks_like_hu(values: NDArray[RealVoxels]) -> bool:
    """Whether the values can be Hounsfield units: some air, and nothing that only another unit reaches."""
    if values.size == 0 or values.min() < LOWEST_PLAUSIBLE_HU or values.max() > INT16.max:
        return False
    air = float((values < AIR_HU).mean())
    return AIR_SHARE <= air < 1
