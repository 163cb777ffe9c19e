"""How features use their space: effective ranks, decay of the spectrum, spread on the sphere.

Shape legend: N items, D feature dimensions, O objects (each seen in several items), M pairs.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.analysis.arrays import Floats, checked, squared_distances
from radnet.analysis.neighbours import unit_rows
from radnet.errors import RadnetError
from radnet.transfer.rankme import EPSILON
from radnet.transfer.rankme import rankme as rankme_of_tensor

UNIFORMITY_ITEMS = 2000
FIRST_RANK = 11
"""Where the power law of a spectrum is read from; the first few eigenvalues follow none (Stringer et al. 2019)."""


def rankme(features: NDArray[Any]) -> float:
    """RankMe: see `radnet.transfer.rankme`.

    Args:
        features: (N, D), floating.

    Returns:
        Between 1 and min(N, D); 0 when all features are zero.
    """
    return rankme_of_tensor(torch.from_numpy(np.array(checked(features), dtype=np.float64)))


def covariance_eigenvalues(features: NDArray[Any]) -> Floats:
    """Eigenvalues of the covariance, float64, largest first, (min(N, D),), from the smaller of the two products."""
    rows = np.asarray(checked(features, 2), dtype=np.float64)
    rows = rows - rows.mean(0)
    product = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return np.asarray(np.maximum(np.linalg.eigvalsh(product)[::-1], 0) / (len(rows) - 1))


def participation_ratio(eigenvalues: Floats) -> float:
    """Number of directions that share the variance: (sum l)^2 / sum l^2 (Gao et al. 2017, bioRxiv 214262).

    Args:
        eigenvalues: Of a covariance, float64, not negative.

    Returns:
        Between 1 and their number; 0 for constant features.
    """
    square = float((eigenvalues**2).sum())
    return float(eigenvalues.sum() ** 2 / square) if square > 0 else 0.0


def alpha_req(eigenvalues: Floats, *, first: int = FIRST_RANK) -> float:
    """alpha-ReQ: the exponent a of the decay l_j ~ j^-a of a covariance's eigenvalues.

    A straight line through log l_j over log j by least squares (Agrawal et al. 2022, NeurIPS, "alpha-ReQ"); near 1 is
    said to be best, larger means fewer directions in use. The line is laid through ranks from `first` to half of the
    nonzero ones; from 1 where there are too few of them. The tail beyond bends down with any finite set.

    Args:
        eigenvalues: float64, largest first.
        first: First rank of the line, counted from 1.

    Returns:
        a; NaN with fewer than 4 nonzero eigenvalues.
    """
    values = eigenvalues[eigenvalues > 1e-12 * max(float(eigenvalues[0]), 1e-300)]
    last = len(values) // 2
    if last - first < 10:
        first, last = 1, len(values)
    if last - first < 3:
        return float("nan")
    ranks = np.arange(first, last + 1)
    slope = np.polyfit(np.log(ranks), np.log(values[first - 1 : last]), 1)[0]
    return float(-slope)


def lidar(features: NDArray[Any], objects: NDArray[Any], *, delta: float = 1e-4) -> float:
    """LiDAR: effective rank of what tells objects apart, measured against how much one object's items differ.

    exp of the entropy of the eigenvalues of S_w^(-1/2) S_b S_w^(-1/2), where S_b is the covariance of the objects'
    means and S_w the mean covariance within objects plus delta I (Thilak et al. 2023, arXiv 2312.04000, equations 2 to
    4). There an object is a clean picture and its items are augmentations; with frozen features of a set an object
    can be a series and its items neighbouring slices, which is a harder notion of sameness.

    Args:
        features: (N, D), floating.
        objects: Object of each item, (N,); objects of one item take no part.
        delta: Regularisation, as a share of the mean variance within objects.

    Returns:
        Between 1 and min(D, O - 1).

    Raises:
        RadnetError: Fewer than 2 objects have two items.
    """
    checked(features, 2)
    number, count = np.unique(np.asarray(objects), return_inverse=True, return_counts=True)[1:]
    used = count[number] > 1
    rows, number = np.asarray(features, dtype=np.float64)[used], np.unique(number[used], return_inverse=True)[1]
    total = int(number.max()) + 1 if len(number) else 0
    if total < 2:
        raise RadnetError("LiDAR needs two objects (series, patients) of at least two items", seen=total)
    weight = np.bincount(number).astype(np.float64)
    means = np.zeros((total, rows.shape[1]))
    np.add.at(means, number, rows)
    means /= weight[:, None]
    within = (rows - means[number]) / np.sqrt((weight - 1)[number] * total)[:, None]
    between = (means - means.mean(0)) / np.sqrt(total - 1)
    covariance = within.T @ within
    scale = max(float(np.trace(covariance)) / len(covariance), np.finfo(np.float64).tiny)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors / np.sqrt(np.maximum(values, 0) + delta * scale)
    singular = np.linalg.svd(between @ root, compute_uv=False) ** 2
    if singular.sum() == 0:
        return 0.0
    share = singular / singular.sum() + EPSILON
    return float(np.exp(-(share * np.log(share)).sum()))


def uniformity(features: NDArray[Any], *, t: float = 2.0, seed: int = 0) -> float:
    """Log of the mean of exp(-t |u - v|^2) over pairs of different items of unit length; the lower the more even.

    Wang & Isola 2020, arXiv 2005.10242, equation 2. About -3.9 at best for t = 2 in many dimensions, 0 when all items
    point one way.

    Args:
        features: (N, D), floating; of more than `UNIFORMITY_ITEMS` so many are drawn.
        t: Sharpness.
        seed: Of the draw.
    """
    checked(features, 2)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:UNIFORMITY_ITEMS])
    unit = unit_rows(np.asarray(features[chosen])).astype(np.float64)
    distances = squared_distances(unit, unit)
    return float(np.log(np.exp(-t * distances[np.triu_indices(len(unit), 1)]).mean()))


def alignment(features: NDArray[Any], pairs: NDArray[np.int64]) -> float:
    """Mean of |u - v|^2 over pairs that should be alike, items of unit length; the lower the more alike.

    Wang & Isola 2020, arXiv 2005.10242, equation 1 with exponent 2.

    Args:
        features: (N, D), floating.
        pairs: Positions of the two items of each pair, int64, (M, 2).

    Returns:
        In [0, 4]; NaN without pairs.
    """
    unit = unit_rows(checked(features))
    gap = unit[pairs[:, 0]].astype(np.float64) - unit[pairs[:, 1]]
    return float((gap**2).sum(1).mean()) if len(pairs) else float("nan")


def neighbouring_pairs(series: NDArray[Any], place: NDArray[Any]) -> NDArray[np.int64]:
    """Pairs of items that follow each other in a series, int64, (M, 2).

    Args:
        series: Series of each item, (N,).
        place: What orders the items of a series, (N,).
    """
    number = np.unique(np.asarray(series), return_inverse=True)[1]
    order = np.lexsort((np.asarray(place), number))
    same = number[order[1:]] == number[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1).astype(np.int64)
