"""How many epochs a training needs, read from its validation curve.

Two answers. The reference study's walks back from the end for as long as short pieces of the curve are flat
(`study_convergence`); noise alone makes a piece flat, and it may end on a plateau that the curve leaves again. The
other asks from when on the curve stays near its end (`settled_epoch`).
"""

from collections.abc import Sequence

import numpy as np

SEGMENT = 5
"""Epochs of a piece of the curve."""

SIGMAS = 3.0
"""A slope within so many standard errors of 0 counts as flat."""

TOLERANCE = 0.05
"""Share of its whole rise by which a settled curve may still lie away from its end."""


def study_convergence(values: Sequence[float], *, segment: int = SEGMENT) -> int | None:
    """Time to convergence as the reference study's evaluation computes it (arXiv 2306.17555).

    A line is fitted by least squares to the last `segment` values, then, going back epoch by epoch, to the
    `segment - 1` values before; a piece is flat when its slope is less than three standard errors from 0. The answer
    is the first epoch of the earliest piece of the unbroken run of flat pieces that ends the curve. That the last
    piece is longer by one than the others, and that each of these leaves out one value more at the end, is the
    study's, and kept for comparison.

    Args:
        values: One value an epoch.
        segment: Length of the last piece.

    Returns:
        Number of epochs before the curve is flat; None when the last piece is not flat. A curve whose pieces are all
        flat gives 0.

    Raises:
        ValueError: Fewer values than one piece, or one that is not finite.
    """
    y = np.asarray(values, dtype=np.float64)
    if len(y) < segment or segment < 4 or not bool(np.isfinite(y).all()):
        raise ValueError(f"at least {segment} finite values are needed, not {list(values)!r}")
    start = len(y) - segment
    if not _is_flat(y[start:]):
        return None
    while start > 0 and _is_flat(y[start - 1 : start - 1 + segment - 1]):
        start -= 1
    return start


def settled_epoch(values: Sequence[float], *, segment: int = SEGMENT, tolerance: float = TOLERANCE) -> int:
    """The first epoch from which on the curve stays near its end.

    Near means within `tolerance` of the distance between the first value and the mean of the last `segment` values,
    on either side of that mean; a value further away starts the count anew. Only values on the near side of the
    first value can leave the band from below, so a noisy end is not mistaken for learning: the band is never narrower
    than the spread of the last `segment` values.

    Args:
        values: One value an epoch.
        segment: Number of values that make the end.
        tolerance: Half the band's width as a share of the curve's rise.

    Returns:
        Number of epochs before the curve has settled.

    Raises:
        ValueError: Fewer values than `segment`, or one that is not finite.
    """
    y = np.asarray(values, dtype=np.float64)
    if len(y) < segment or not bool(np.isfinite(y).all()):
        raise ValueError(f"at least {segment} finite values are needed, not {list(values)!r}")
    end = y[-segment:].mean()
    band = max(tolerance * abs(end - y[0]), float(np.abs(y[-segment:] - end).max()))
    outside = np.flatnonzero(np.abs(y - end) > band * (1 + 1e-12))
    return int(outside[-1]) + 1 if len(outside) else 0


def _is_flat(y: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> bool:
    """Whether the slope of a least-squares line lies within `SIGMAS` standard errors of 0."""
    x = np.arange(len(y)) - (len(y) - 1) / 2
    spread = float(x @ x)
    slope = float(x @ y) / spread
    rest = y - y.mean() - slope * x
    error = float(np.sqrt(rest @ rest / (len(y) - 2) / spread))
    return abs(slope) < SIGMAS * error or slope == 0
