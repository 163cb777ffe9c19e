"""When a training had converged, from its validation curve.

Two definitions. `flat_since` is the reference study's (arXiv 2306.17555): the end of a curve is flat when a straight
line through a few neighbouring epochs has a slope within three standard errors of zero, and the training had converged
at the beginning of the last unbroken stretch of flat windows. It asks how steep the curve is, not how high: a curve
that rests on a low plateau early, or that is so noisy that no slope stands out, counts as converged.

`within_reach` asks how high: the first epoch from which on the curve stays near the level where it ends. One lucky
epoch does not count, because the curve must stay there.

Both are read on the validation curve, in epochs from 0 like the study's, and in optimizer steps by the caller.

Shape legend: E epochs.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError

SEGMENT = 5
"""Epochs of a window, the study's."""


def flat_since(values: Sequence[float], *, segment: int = SEGMENT, sigmas: float = 3.0) -> int | None:
    """Epoch at which a curve had converged as the reference study defines it.

    Deviations: the study's published code fits one epoch less in every window but the last, and gives the beginning of
    the last window when all windows are flat. Here all windows are equally long, and a curve that is flat everywhere
    had converged at epoch 0.

    Args:
        values: Metric after each epoch, (E,).
        segment: Epochs of a window, at least 3.
        sigmas: A slope of at least this many standard errors is none of a flat window.

    Returns:
        The first epoch of the last unbroken stretch of flat windows, or None when the last window is not flat.

    Raises:
        UsageError: Fewer epochs than a window, a window without a standard error, or a value that is not finite.
    """
    curve = _checked(values, segment)
    windows = np.lib.stride_tricks.sliding_window_view(curve, segment)
    place = np.arange(segment) - (segment - 1) / 2
    squares = float((place**2).sum())
    centred = windows - windows.mean(1, keepdims=True)
    slope = centred @ place / squares
    left = ((centred - slope[:, None] * place) ** 2).sum(1)
    error = np.sqrt(left / (segment - 2) / squares)
    # Rounding leaves tiny slopes in a constant curve, and tiny errors beside a straight rise.
    tiny = 1e-12 * np.maximum(np.abs(windows).max(1), 1e-300)
    steep = (np.abs(slope) >= sigmas * error) & (np.abs(slope) > tiny)
    if steep[-1]:
        return None
    return int(np.flatnonzero(steep)[-1]) + 1 if steep.any() else 0


def within_reach(values: Sequence[float], *, tolerance: float = 0.01, segment: int = SEGMENT) -> int | None:
    """First epoch from which on a curve stays near the level at which it ends.

    The level is the median of the last `segment` epochs; near is at most `tolerance` of the whole way from the first
    epoch's value to the level below it. Values above the level are near. A curve that never leaves its start by more
    than rounding is there at epoch 0.

    Args:
        values: Metric after each epoch, (E,), higher is better.
        tolerance: Share of the way that may be missing.
        segment: Epochs whose median is the level.

    Returns:
        The epoch, or None when the last epoch itself has fallen further below: the curve does not stay anywhere.

    Raises:
        UsageError: As `flat_since`, or a tolerance outside [0, 1).
    """
    curve = _checked(values, segment)
    if not 0 <= tolerance < 1:
        raise UsageError("The tolerance is a share within [0, 1)", seen=tolerance, fix="Take 0.01")
    level = float(np.median(curve[-segment:]))
    room = tolerance * abs(level - float(curve[0])) + 1e-12 * max(abs(level), 1e-300)
    below = np.flatnonzero(curve < level - room)
    if not len(below):
        return 0
    return int(below[-1]) + 1 if below[-1] + 1 < len(curve) else None


def _checked(values: Sequence[float], segment: int) -> NDArray[np.float64]:
    curve = np.asarray(values, dtype=np.float64)
    if segment < 3:
        raise UsageError("A window needs at least three epochs for a standard error", seen=segment, fix="Take 5")
    if curve.ndim != 1 or len(curve) < segment:
        raise UsageError(
            f"A curve of at least {segment} epochs is needed to see convergence",
            seen=len(curve),
            fix="Train for more epochs",
        )
    if not np.isfinite(curve).all():
        raise UsageError(
            "A curve with values that are not finite says nothing about convergence",
            seen=int((~np.isfinite(curve)).sum()),
            fix="Look at why validation was undefined at these epochs",
        )
    return curve
