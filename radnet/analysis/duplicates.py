"""Pictures that are there twice: found by their features, proven by their pixels.

Features alone cannot prove it: they change with the crop, and two different livers may lie closer than two crops of
one. So features only propose, and pixels decide: where one picture shows a part of the other, some shift makes their
overlap equal.

Shape legend: N items, Y rows, X columns, M pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from radnet.analysis.arrays import Floats
from radnet.analysis.neighbours import nearest_neighbours

CANDIDATES = 5
"""Neighbours of other series that are looked at."""
CORRELATION = 0.995
"""From here on two overlaps count as the same picture. Neighbouring slices of 3 mm reach 0.99, copies 0.999."""
LEAST_OVERLAP = 0.4
"""Share of the smaller picture that must overlap."""
LONGEST_SIDE, COARSE_SIDE = 128, 48
"""Pictures are shrunk to this before they are compared; most pairs are told apart at the coarse size already."""
COARSE_CORRELATION = 0.9
"""Pairs below it at the coarse size are not looked at again; shrinking by odd factors costs an equal pair less."""


@dataclass(frozen=True)
class Duplicate:
    """Two items that show the same.

    Attributes:
        first: Position of one item.
        second: Position of the other, larger than `first`.
        similarity: Cosine similarity of their features.
        correlation: Of the grey values where they overlap, -1…1.
        overlap: Share of the smaller picture that overlaps.
    """

    first: int
    second: int
    similarity: float
    correlation: float
    overlap: float


def candidate_pairs(
    features: NDArray[Any], series: NDArray[Any], *, k: int = CANDIDATES, threads: int | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Pairs of items of different series, one of which is among the k nearest of the other.

    Args:
        features: (N, D), floating.
        series: Series of each item, (N,): slices beside each other are alike and no finding.
        k: Neighbours.
        threads: Threads of the search.

    Returns:
        Positions, int64, (M, 2), the smaller first, each pair once; and their cosine similarity, (M,).
    """
    similarity, neighbour = nearest_neighbours(features, k, groups=series, threads=threads)
    row, place = np.nonzero(neighbour >= 0)
    pairs = np.sort(np.stack([row, neighbour[row, place]], axis=1), axis=1).astype(np.int64)
    unique, first = np.unique(pairs, axis=0, return_index=True)
    return unique, similarity[row, place].astype(np.float64)[first]


def overlap_correlation(a: NDArray[Any], b: NDArray[Any]) -> tuple[float, float]:
    """The best correlation of two pictures over all shifts of one against the other.

    Pearson correlation of the grey values in the overlap, for every whole shift at once by products of Fourier
    transforms (normalised cross-correlation with masks, Padfield 2012, IEEE TIP 21).

    Args:
        a: (Y, X), grey values of any unit.
        b: (Y, X), of its own size; equal scales are assumed, turned or mirrored copies are not found.

    Returns:
        Correlation and share of the smaller picture in the overlap; (0, 0) where a picture is of one value.
    """
    rows, columns = (a.shape[axis] + b.shape[axis] - 1 for axis in (0, 1))
    shape = (next_fast_len(rows, real=True), next_fast_len(columns, real=True))
    deviations = [float(x.std(dtype=np.float64)) for x in (a, b)]
    if min(deviations) == 0:
        return 0.0, 0.0
    # of mean 0 and deviation 1, so that float32 has digits enough
    left, right = (
        (x.astype(np.float32) - np.float32(x.mean())) / np.float32(d) for x, d in zip((a, b), deviations, strict=True)
    )
    of_left = [rfft2(x, shape) for x in (np.ones_like(left), left, left**2)]
    of_right = [np.conj(rfft2(x, shape)) for x in (np.ones_like(right), right, right**2)]

    def shifted(x: NDArray[Any], y: NDArray[Any]) -> Floats:
        return np.asarray(irfft2(x * y, shape), dtype=np.float64)

    count = np.maximum(shifted(of_left[0], of_right[0]), 1)
    sum_a, sum_b = shifted(of_left[1], of_right[0]), shifted(of_left[0], of_right[1])
    square_a, square_b = shifted(of_left[2], of_right[0]), shifted(of_left[0], of_right[2])
    covariance = shifted(of_left[1], of_right[1]) - sum_a * sum_b / count
    variance = np.maximum(square_a - sum_a**2 / count, 0) * np.maximum(square_b - sum_b**2 / count, 0)
    share = count / min(left.size, right.size)
    # an overlap of one value, or one much flatter than both pictures, has no pattern that could agree
    usable = (share >= LEAST_OVERLAP) & (variance > (0.05 * count) ** 2)
    correlation = np.divide(covariance, np.sqrt(variance), out=np.full(shape, -1.0), where=usable)
    best = int(correlation.argmax())
    return (float(correlation.flat[best]), float(share.flat[best])) if usable.any() else (0.0, 0.0)


def shrunk(picture: NDArray[Any], factor: float) -> NDArray[np.float32]:
    """A picture of fewer pixels, float32; one factor for both pictures of a pair keeps their scales equal."""
    grey = picture if picture.ndim == 2 else picture.mean(2)
    values = grey.astype(np.float32)
    if factor >= 1:
        return values
    size = (max(8, round(grey.shape[1] * factor)), max(8, round(grey.shape[0] * factor)))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def compared(a: NDArray[Any], b: NDArray[Any]) -> tuple[float, float]:
    """`overlap_correlation` of two pictures of any size, at the coarse size first; (Y, X) or (Y, X, 3) each."""
    longest = max(*a.shape[:2], *b.shape[:2])
    correlation, overlap = overlap_correlation(*(shrunk(x, COARSE_SIDE / longest) for x in (a, b)))
    if correlation < COARSE_CORRELATION:
        return correlation, overlap
    return overlap_correlation(*(shrunk(x, LONGEST_SIDE / longest) for x in (a, b)))


def near_duplicates(
    features: NDArray[Any],
    series: NDArray[Any],
    picture: Callable[[int], NDArray[Any]],
    *,
    k: int = CANDIDATES,
    least_correlation: float = CORRELATION,
    on_pair: Callable[[], None] | None = None,
    threads: int | None = None,
) -> list[Duplicate]:
    """Items of different series that show the same, best first.

    Args:
        features: (N, D), floating.
        series: Series of each item, (N,).
        picture: Position -> its grey values, (Y, X) or (Y, X, 3).
        k: Neighbours that are proposed for each item.
        least_correlation: From which two overlaps are the same picture.
        on_pair: Called for each pair that was looked at.
        threads: Threads of the search.
    """
    pairs, similarity = candidate_pairs(features, series, k=k, threads=threads)
    held: dict[int, NDArray[Any]] = {}
    found = []
    for (first, second), cosine in zip(pairs.tolist(), similarity.tolist(), strict=True):
        for gone in [item for item in held if item < first and len(held) > 512]:
            del held[gone]
        for item in (first, second):
            if item not in held:
                held[item] = picture(item)
        correlation, overlap = compared(held[first], held[second])
        if correlation >= least_correlation:
            found.append(Duplicate(first, second, cosine, correlation, overlap))
        if on_pair is not None:
            on_pair()
    return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))
