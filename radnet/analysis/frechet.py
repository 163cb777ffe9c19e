"""Fréchet distance between two sets of features taken as Gaussians, with its bias in small sets taken off.

Shape legend: N items, D feature dimensions, P principal components.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.arrays import checked

SIZES = 8
"""Sizes of subsets from which the limit is read."""
DRAWS = 3
"""Subsets of each size."""


def frechet_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of means and covariances.

    Dowson & Landau 1982; on Inception features it is known as FID (Heusel et al. 2017, arXiv 1706.08500). The trace
    of the root is the nuclear norm of A B' / sqrt((N_a - 1)(N_b - 1)) with centred A and B, or of the product of their
    factors, whichever is smaller; no root of a D x D matrix is taken.

    Args:
        a: (N_a, D), floating, at least 2 rows.
        b: (N_b, D), floating, at least 2 rows.

    Returns:
        At least 0, in squared units of the features. It is too large for small sets: see `frechet_limit`.
    """
    left, right = (np.asarray(checked(features, 2), dtype=np.float64) for features in (a, b))
    gap = left.mean(0) - right.mean(0)
    roots: list[NDArray[np.float64]] = []
    for features in (left, right):
        centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
        # with more rows than columns R of QR has the same covariance in fewer rows
        roots.append(np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred)
    spread = sum(float((root**2).sum()) for root in roots)
    shared = float(np.linalg.norm(roots[0] @ roots[1].T, ord="nuc"))
    return max(float(gap @ gap) + spread - 2 * shared, 0.0)


@dataclass(frozen=True)
class Frechet:
    """A Fréchet distance.

    Attributes:
        biased: Of the sets as they are.
        corrected: Extrapolated to endless sets; may fall slightly below 0 for equal sets.
        components: Principal components of both sets together that it was measured on.
    """

    biased: float
    corrected: float
    components: int


def frechet_limit(a: NDArray[Any], b: NDArray[Any], *, components: int | None = 64, seed: int = 0) -> Frechet:
    """Fréchet distance without the bias of small sets.

    The bias falls about as 1 / N, so distances of random subsets of growing size are extrapolated to 1 / N = 0 by a
    straight line (Chong & Forsyth 2020, arXiv 1911.07023). That holds only where N is well above the dimensions, so
    features are projected on the first principal components of both sets together, at most an eighth of the smaller
    set. What remains uncorrected: slices of a patient are alike, so a set of slices is smaller than its count.

    Args:
        a: (N_a, D), floating, at least 16 rows.
        b: (N_b, D), floating, at least 16 rows.
        components: P, at most; None keeps all dimensions.
        seed: Of the subsets.
    """
    left, right = (np.asarray(checked(features, 16), dtype=np.float64) for features in (a, b))
    fewest = min(len(left), len(right))
    if components is not None:
        pooled = np.concatenate([left, right])
        centre = pooled.mean(0)
        kept = min(components, pooled.shape[1], max(1, fewest // 8))
        vectors = np.linalg.eigh(np.cov(pooled, rowvar=False).reshape(pooled.shape[1], -1))[1][:, ::-1][:, :kept]
        left, right = (left - centre) @ vectors, (right - centre) @ vectors
    generator = np.random.default_rng(seed)
    shares = np.linspace(0.25, 1, SIZES)
    inverse, values = [], []
    for share in shares:
        for _ in range(DRAWS if share < 1 else 1):
            parts = [x[generator.permutation(len(x))[: max(8, round(share * len(x)))]] for x in (left, right)]
            # the bias of each side falls with its own size
            inverse.append(0.5 / len(parts[0]) + 0.5 / len(parts[1]))
            values.append(frechet_distance(*parts))
    limit = float(np.polyfit(inverse, values, 1)[1])
    return Frechet(values[-1], limit, left.shape[1])
