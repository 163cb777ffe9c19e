"""Plane curves of which the phantom's contours are made.

All coordinates are millimetres of the standard body: x grows to the patient's left, y to the back. A polygon is
float64 of shape (N, 2) and closed without repeating its first point.
"""

from bisect import bisect_left
from functools import lru_cache
from math import hypot

import numpy as np
from numpy.typing import ArrayLike, NDArray

Polygon = NDArray[np.float64]


def keyed(table: ArrayLike, at: float) -> NDArray[np.float64]:
    """Interpolate the rows of a table with cubic Hermite pieces; constant beyond both ends.

    Args:
        table: Shape (K, 1 + M): ascending keys, then M values a row.
        at: Where to look.

    Returns:
        The M values.
    """
    rows = np.asarray(table, dtype=np.float64)
    keys = rows[:, 0].tolist()
    if at <= keys[0]:
        return rows[0, 1:]
    if at >= keys[-1]:
        return rows[-1, 1:]
    high = bisect_left(keys, at)
    low = high - 1
    before, after = max(low - 1, 0), min(high + 1, len(keys) - 1)
    step = keys[high] - keys[low]
    t = (at - keys[low]) / step
    slope_low = (t**3 - 2 * t**2 + t) * step / (keys[high] - keys[before])
    slope_high = (t**3 - t**2) * step / (keys[after] - keys[low])
    value = (2 * t**3 - 3 * t**2 + 1 - slope_high) * rows[low]
    value += (3 * t**2 - 2 * t**3 + slope_low) * rows[high]
    value -= slope_low * rows[before]
    value += slope_high * rows[after]
    return np.asarray(value[1:])


def keyed_many(table: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """`keyed` at many places: shape (N,) -> (N, M)."""
    keys = table[:, 0]
    at = np.clip(at, keys[0], keys[-1])
    high = np.clip(np.searchsorted(keys, at), 1, len(keys) - 1)
    low = high - 1
    before, after = np.maximum(low - 1, 0), np.minimum(high + 1, len(keys) - 1)
    step = keys[high] - keys[low]
    t = (at - keys[low]) / step
    slope_low = (t**3 - 2 * t**2 + t) * step / (keys[high] - keys[before])
    slope_high = (t**3 - t**2) * step / (keys[after] - keys[low])
    rows = table[:, 1:]
    return np.asarray(
        (2 * t**3 - 3 * t**2 + 1 - slope_high)[:, None] * rows[low]
        + (3 * t**2 - 2 * t**3 + slope_low)[:, None] * rows[high]
        - slope_low[:, None] * rows[before]
        + slope_high[:, None] * rows[after]
    )


@lru_cache(maxsize=64)
def _circle(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.cos(angle), np.sin(angle)


def oval(
    x: float, y: float, radius_x: float, radius_y: float, *, turn: float = 0.0, power: float = 2.0, count: int = 32
) -> Polygon:
    """A superellipse, `turn` radians from the x axis towards the back; power 2 is an ellipse, more is boxier."""
    cosine, sine = _circle(count)
    if power != 2.0:
        cosine = np.sign(cosine) * np.abs(cosine) ** (2 / power)
        sine = np.sign(sine) * np.abs(sine) ** (2 / power)
    points = np.stack([radius_x * cosine, radius_y * sine], axis=1)
    if turn:
        points = turned(points, turn)
    return np.asarray(points + np.array((x, y)))


def oval_at(centre: ArrayLike, radius_x: float, radius_y: float, *, turn: float = 0.0, power: float = 2.0) -> Polygon:
    """`oval` around a point (x, y)."""
    x, y = np.asarray(centre, dtype=np.float64).tolist()
    return oval(x, y, radius_x, radius_y, turn=turn, power=power)


def turned(points: Polygon, turn: float, about: tuple[float, float] = (0.0, 0.0)) -> Polygon:
    """Rotate points by `turn` radians."""
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.asarray((points - about) @ np.array([[cosine, sine], [-sine, cosine]]) + about)


@lru_cache(maxsize=64)
def _spline_matrix(count: int, dense: int) -> NDArray[np.float64]:
    """Weights that turn `count` control points into `count * dense` points of a closed Catmull-Rom curve."""
    t = np.arange(dense) / dense
    weights = np.stack(
        [(-t + 2 * t**2 - t**3) / 2, (2 - 5 * t**2 + 3 * t**3) / 2, (t + 4 * t**2 - 3 * t**3) / 2, (t**3 - t**2) / 2]
    )
    matrix = np.zeros((count * dense, count))
    for start in range(count):
        for offset in range(4):
            matrix[start * dense : (start + 1) * dense, (start + offset - 1) % count] += weights[offset]
    return matrix


def spline(controls: ArrayLike, dense: int = 5) -> Polygon:
    """A smooth closed curve through control points of shape (K, 2)."""
    points = np.asarray(controls, dtype=np.float64)
    return np.asarray(_spline_matrix(len(points), dense) @ points)


_HARMONICS = np.arange(2.0, 6.0)


def waved(polygon: Polygon, amount: float, phases: NDArray[np.float64], z_mm: float) -> Polygon:
    """Push a contour in and out by a few low harmonics that drift along z, so that no organ is a textbook ellipse.

    Args:
        polygon: The contour.
        amount: Largest relative change of the radius, roughly.
        phases: At least 4 numbers in -1..1, fixed for one organ of one person.
        z_mm: Height of the slice.
    """
    centre = polygon.mean(axis=0)
    offset = polygon - centre
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    harmonics, phase = _HARMONICS, phases[:4]
    start = np.pi * phase + z_mm * (0.012 + 0.006 * harmonics * phase)
    wave = (1 / harmonics) @ np.cos(harmonics[:, None] * angle + start[:, None])
    return np.asarray(centre + offset * (1 + amount * wave)[:, None])


_END = np.array([-0.8, 0.0, 0.8])[:, None]
_END_COS, _END_SIN = np.cos(_END), np.sin(_END)


def ribbon(centres: ArrayLike, half_widths: ArrayLike) -> Polygon:
    """A band around an open line: shape (N, 2) centres, N half widths (or one), with rounded ends."""
    line = np.asarray(centres, dtype=np.float64)
    widths = np.empty((len(line), 1))
    widths[:, 0] = half_widths
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    along *= widths / np.sqrt(np.maximum((along * along).sum(axis=1, keepdims=True), 1e-12))
    across = along[:, ::-1] * (-1.0, 1.0)
    count = len(line)
    outline = np.empty((2 * count + 6, 2))
    outline[:count] = line + across
    outline[count : count + 3] = line[-1] + _END_COS * along[-1] - _END_SIN * across[-1]
    outline[count + 3 : 2 * count + 3] = (line - across)[::-1]
    outline[2 * count + 3 :] = line[0] - _END_COS * along[0] + _END_SIN * across[0]
    return outline


def capsule(start: NDArray[np.float64], end: NDArray[np.float64], radius: float) -> Polygon:
    """A straight band with pointed ends from one point to another, cheap enough for hundreds of vessels."""
    (x0, y0), (x1, y1) = start.tolist(), end.tolist()
    length = hypot(x1 - x0, y1 - y0)
    u, v = ((x1 - x0) / length * radius, (y1 - y0) / length * radius) if length > 1e-3 else (radius, 0.0)
    return np.array(
        [
            (x0 - v, y0 + u), (x1 - v, y1 + u), (x1 + 0.6 * (u - v), y1 + 0.6 * (u + v)), (x1 + u, y1 + v),
            (x1 + 0.6 * (u + v), y1 + 0.6 * (v - u)), (x1 + v, y1 - u), (x0 + v, y0 - u),
            (x0 - 0.6 * (u - v), y0 - 0.6 * (u + v)), (x0 - u, y0 - v), (x0 - 0.6 * (u + v), y0 - 0.6 * (v - u)),
        ]
    )  # fmt: skip


def dome(u: float, power: float = 2.0) -> float:
    """Relative width of a rounded body at height u in -1..1 from its middle; 0 beyond its ends."""
    return float(max(0.0, 1 - abs(u) ** power) ** 0.5)
