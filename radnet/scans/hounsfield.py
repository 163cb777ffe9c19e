"""From stored values to int16 Hounsfield units, and whether values can be Hounsfield units at all."""

from collections.abc import Iterator

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
BLOCK_VOXELS = 2**20
"""Volumes are looked at in blocks of about so many voxels, so that no copy of a whole one is ever made."""


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


class Survey:
    """What the values of a volume are like, gathered block by block."""

    def __init__(self) -> None:
        self.size, self.air = 0, 0
        self.minimum, self.maximum = np.inf, -np.inf
        self.finite, self.whole = True, True
        self._distinct: NDArray[RealVoxels] | None = np.array([], dtype=np.float64)

    def add(self, block: NDArray[RealVoxels]) -> None:
        """Look at more values, any shape and real dtype."""
        if block.size == 0:
            return
        self.size += block.size
        if np.issubdtype(block.dtype, np.floating):
            self.finite = self.finite and bool(np.isfinite(block).all())
            self.whole = self.whole and self.finite and bool((np.rint(block) == block).all())
        self.minimum = min(self.minimum, float(block.min()))
        self.maximum = max(self.maximum, float(block.max()))
        self.air += int(np.count_nonzero(block < AIR_HU))
        if self._distinct is not None and self.finite:
            few = _distinct_values(block)
            joined = None if few is None else np.union1d(self._distinct, few)
            self._distinct = None if joined is None or len(joined) > MASK_LABELS else joined

    def looks_like_mask(self) -> bool:
        """Whether the values are a label map: non-negative whole numbers, few different ones.

        An 8-bit picture holds nearly all of 0..255 and so is none.
        """
        in_range = self.size > 0 and self.minimum >= 0 and self.maximum <= 65535
        return in_range and self.finite and self.whole and self._distinct is not None

    def looks_like_hu(self) -> bool:
        """Whether the values can be Hounsfield units: some air, and nothing that only another unit reaches."""
        if self.size == 0 or not self.finite or self.minimum < LOWEST_PLAUSIBLE_HU or self.maximum > INT16.max:
            return False
        return AIR_SHARE <= self.air / self.size < 1


def survey(values: NDArray[RealVoxels]) -> Survey:
    """Look at a whole array, any shape."""
    found = Survey()
    for block in blocks(values):
        found.add(block)
    return found


def blocks(values: NDArray[RealVoxels]) -> Iterator[NDArray[RealVoxels]]:
    """Views along the first axis that together are `values`."""
    each = blocks_of(values.shape)
    for start in range(0, len(values), each):
        yield values[start : start + each]


def blocks_of(shape: tuple[int, ...]) -> int:
    """How many indices of the first axis make a block."""
    return max(1, BLOCK_VOXELS // max(1, int(np.prod(shape[1:], dtype=np.int64))))


def looks_like_mask(values: NDArray[RealVoxels]) -> bool:
    """See `Survey.looks_like_mask`."""
    return survey(values).looks_like_mask()


def looks_like_hu(values: NDArray[RealVoxels]) -> bool:
    """See `Survey.looks_like_hu`."""
    return survey(values).looks_like_hu()


def _distinct_values(block: NDArray[RealVoxels]) -> NDArray[RealVoxels] | None:
    """The different values of a block, None when they are too many for labels."""
    if block.min() < 0 or block.max() > 65535:
        return None
    flat = block.reshape(-1)
    some = np.unique(flat[:: 1 + flat.size // SAMPLE])
    if len(some) > MASK_LABELS:
        return None
    rest = flat[~np.isin(flat, some)]
    return some if rest.size == 0 else np.union1d(some, np.unique(rest))
