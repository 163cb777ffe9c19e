"""Slow, obviously right versions of every transform, in float64 and pixel by pixel.

Shape legend: Y rows, X columns.
"""

import math

import numpy as np


def area(image: np.ndarray, size: int) -> np.ndarray:
    """Every pixel of the result is the mean over the rectangle of the source that it covers."""
    rows, columns = image.shape
    result = np.zeros((size, size))
    for y in range(size):
        for x in range(size):
            total, covered = 0.0, 0.0
            for v in range(int(y * rows / size), math.ceil((y + 1) * rows / size)):
                for u in range(int(x * columns / size), math.ceil((x + 1) * columns / size)):
                    high = min(v + 1, (y + 1) * rows / size) - max(v, y * rows / size)
                    wide = min(u + 1, (x + 1) * columns / size) - max(u, x * columns / size)
                    total += float(image[min(v, rows - 1), min(u, columns - 1)]) * max(high, 0) * max(wide, 0)
                    covered += max(high, 0) * max(wide, 0)
            result[y, x] = total / covered
    return result


def at(image: np.ndarray, y: float, x: float, outside: float | None = None) -> float:
    """The bilinear value between four pixels; beyond the border the nearest one, or `outside`."""
    rows, columns = image.shape
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for v, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for u, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = 0 <= v < rows and 0 <= u < columns
            nearest = float(image[min(max(v, 0), rows - 1), min(max(u, 0), columns - 1)])
            total += share_y * share_x * (nearest if inside or outside is None else outside)
    return total


def bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """Centres of pixels fall on centres of pixels: y = (row + 0.5) * scale - 0.5."""
    rows, columns = image.shape
    return np.array(
        [
            [at(image, (y + 0.5) * rows / size - 0.5, (x + 0.5) * columns / size - 0.5) for x in range(size)]
            for y in range(size)
        ]
    )


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Area averaging where both sides shrink, bilinear otherwise."""
    return area(image, size) if min(image.shape) >= size else bilinear(image, size)


def pad(image: np.ndarray, value: float) -> np.ndarray:
    """Each pixel of the square asks for its place in the image."""
    rows, columns = image.shape
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.full((side, side), value, dtype=image.dtype)
    for y in range(rows):
        for x in range(columns):
            square[y + top, x + left] = image[y, x]
    return square


def crop_box(
    shape: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) with numpy's own draws."""
    rows, columns = shape
    share = rows * columns * generator.uniform(*scale)
    aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
    width = min(max(round(math.sqrt(share * aspect)), 1), columns)
    height = min(max(round(math.sqrt(share / aspect)), 1), rows)
    top = int(generator.integers(rows - height + 1))
    return top, int(generator.integers(columns - width + 1)), height, width


def flip(image: np.ndarray) -> np.ndarray:
    """Columns from right to left."""
    return np.array([[row[len(row) - 1 - x] for x in range(len(row))] for row in image])


def rotate(image: np.ndarray, degrees: float, outside: float) -> np.ndarray:
    """Each pixel looks where it came from: counter-clockwise about the centre, rows downward."""
    rows, columns = image.shape
    middle_y, middle_x = (rows - 1) / 2, (columns - 1) / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(
        [
            [
                at(
                    image,
                    sin * (x - middle_x) + cos * (y - middle_y) + middle_y,
                    cos * (x - middle_x) - sin * (y - middle_y) + middle_x,
                    outside,
                )
                for x in range(columns)
            ]
            for y in range(rows)
        ]
    )


def blur(image: np.ndarray, sigma: float, reach: int) -> np.ndarray:
    """A Gaussian cut at `reach` pixels; beyond the border the nearest pixel."""
    rows, columns = image.shape
    weights = [math.exp(-(step**2) / (2 * sigma**2)) for step in range(-reach, reach + 1)]
    result = np.zeros((rows, columns))
    for y in range(rows):
        for x in range(columns):
            for v, down in enumerate(weights):
                for u, across in enumerate(weights):
                    near_y = min(max(y + v - reach, 0), rows - 1)
                    near_x = min(max(x + u - reach, 0), columns - 1)
                    result[y, x] += float(image[near_y, near_x]) * down * across
    return result / sum(weights) ** 2


def cut(grey: np.ndarray) -> np.ndarray:
    """To [0, 1]."""
    return np.array([[min(max(float(value), 0.0), 1.0) for value in row] for row in grey])


def windowed(values: np.ndarray, low: float, width: float) -> np.ndarray:
    """0 at low, 1 at low + width."""
    return cut((values.astype(float) - low) / width) if np.isfinite(width) else np.zeros(values.shape)


def toned(grey: np.ndarray, gamma: float, gain: float, offset: float) -> np.ndarray:
    """Gamma, then contrast about the middle and brightness."""
    return cut((grey**gamma - 0.5) * gain + 0.5 + offset)
