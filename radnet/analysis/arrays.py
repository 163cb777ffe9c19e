"""What the measures share: checks of features, blocks of rows, distances.

Shape legend: N items, D feature dimensions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.errors import RadnetError

BLOCK_ROWS = 4096
"""Rows of a memory-mapped matrix that are held at once."""
MEDIAN_ITEMS = 1000
"""Items whose distances to each other give the median: half a million of them."""

Floats = NDArray[np.float64]


def checked(features: NDArray[Any], least: int = 1, what: str = "features") -> NDArray[Any]:
    """The features themselves, when they are a finite floating matrix of enough rows.

    Args:
        features: (N, D), floating, memory-mapped or not.
        least: Smallest N that makes sense.
        what: How messages call them.

    Raises:
        ValueError: Another number of axes or another dtype.
        RadnetError: A value is NaN or infinite, or there are too few rows.
    """
    if features.ndim != 2 or features.dtype.kind != "f":
        raise ValueError(f"{what} must be floating of shape (N, D), not {features.dtype} of {features.shape}")
    if len(features) < least:
        raise RadnetError(
            f"This measure needs at least {least} items", seen=len(features), fix="Give a set with more items"
        )
    broken = sum(int((~np.isfinite(features[rows]).all(1)).sum()) for rows in row_blocks(len(features)))
    if broken:
        raise RadnetError(
            f"{what}: {broken} of {len(features)} items have features that are NaN or infinite",
            fix="Check the weights (a diverged run?) and the precision of the feature extraction",
        )
    return features


def same_items(x: NDArray[Any], y: NDArray[Any]) -> None:
    """Refuse two representations of different numbers of items.

    Raises:
        ValueError: N differs.
    """
    if len(x) != len(y):
        raise ValueError(f"both representations must be of the same items, not of {len(x)} and {len(y)}")


def row_blocks(items: int, rows: int = BLOCK_ROWS) -> Iterator[slice]:
    """Slices that cover 0…items-1 in order, `rows` at a time."""
    for start in range(0, items, rows):
        yield slice(start, min(start + rows, items))


def column_means(features: NDArray[Any]) -> Floats:
    """Mean of each column, float64, (D,), read block by block."""
    total = np.zeros(features.shape[1])
    for rows in row_blocks(len(features)):
        total += features[rows].sum(0, dtype=np.float64)
    return total / max(len(features), 1)


def squared_distances(a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """Squared Euclidean distances of all pairs, float64, (len(a), len(b)), never below 0.

    Both sides are moved by the same vector first, which changes no distance and keeps the digits that a common offset
    would eat.
    """
    centre = a.mean(0, dtype=np.float64)
    left, right = a - centre, b - centre
    distances = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * (left @ right.T)
    return np.asarray(np.maximum(distances, 0))


def median_squared_distance(features: NDArray[Any], *, seed: int = 0) -> float:
    """Median over pairs of different items of the squared distance: the usual bandwidth of an RBF kernel.

    Args:
        features: (N, D); of more than `MEDIAN_ITEMS` items so many are drawn.
        seed: Of the draw.

    Returns:
        The median (Gretton et al. 2012, JMLR 13, section 8); 0 when more than half of the pairs coincide.
    """
    chosen = np.arange(len(features))
    if len(chosen) > MEDIAN_ITEMS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MEDIAN_ITEMS, replace=False))
    sample = np.asarray(features[chosen], dtype=np.float64)
    distances = squared_distances(sample, sample)
    return float(np.median(distances[np.triu_indices(len(sample), 1)])) if len(sample) > 1 else 0.0


def labelled(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which items have a label: a text that is neither empty nor "unknown"."""
    text = np.asarray(values).astype(str)
    return np.asarray((text != "") & (text != "unknown") & (text != "nan") & (text != "None"))
