"""How alike two representations of the same items are: CKA, Procrustes, mutual nearest neighbours.

All of these do not change when a representation is rotated, mirrored, moved or scaled.

Shape legend: N items, D feature dimensions, L layers, B items of a minibatch.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.arrays import (
    BLOCK_ROWS,
    Floats,
    checked,
    column_means,
    median_squared_distance,
    row_blocks,
    same_items,
    squared_distances,
)
from radnet.analysis.neighbours import nearest_neighbours

Kernel = Literal["linear", "rbf"]
LEAST_BATCH = 4
"""The unbiased estimator divides by B (B - 3)."""


def linear_cka(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Linear centred kernel alignment of two representations; see `linear_cka_matrix`."""
    return float(linear_cka_matrix([x], [y])[0, 0])


def linear_cka_matrix(xs: Sequence[NDArray[Any]], ys: Sequence[NDArray[Any]]) -> Floats:
    """Linear CKA between every layer of one model and every layer of another.

    CKA(X, Y) = |Y'X|_F^2 / (|X'X|_F |Y'Y|_F) with centred columns (Kornblith et al. 2019, arXiv 1905.00414, section
    3). This form has D x D matrices where the textbook has N x N ones; rows are read in blocks, so memory does not
    grow with N. Products are of the features' own precision, sums over blocks are float64.

    Args:
        xs: Layers of one model, each (N, D_i), floating, memory-mapped or not.
        ys: Layers of the other model, each (N, D_j), of the same items in the same order.

    Returns:
        float64, (len(xs), len(ys)), in [0, 1]; NaN where a layer is constant. It overestimates where N is not much
        larger than D: `minibatch_cka` does not.

    Raises:
        ValueError: The layers are of different numbers of items.
        RadnetError: A feature is not finite.
    """
    for layer in (*xs, *ys):
        checked(layer, 2)
        same_items(layer, xs[0])
    means_x, means_y = [column_means(x) for x in xs], [column_means(y) for y in ys]
    own_x = np.array([_self_product(x, mean) for x, mean in zip(xs, means_x, strict=True)])
    own_y = np.array([_self_product(y, mean) for y, mean in zip(ys, means_y, strict=True)])
    cross = np.zeros((len(xs), len(ys)))
    for i, x in enumerate(xs):
        products = [np.zeros((x.shape[1], y.shape[1])) for y in ys]
        for rows in row_blocks(len(x), BLOCK_ROWS):
            left = _centred(x, rows, means_x[i]).T
            for j, y in enumerate(ys):
                products[j] += left @ _centred(y, rows, means_y[j])
        cross[i] = [(product**2).sum() for product in products]
    return _divided(cross, own_x, own_y)


def _centred(features: NDArray[Any], rows: slice, mean: Floats) -> NDArray[Any]:
    return np.asarray(features[rows] - mean.astype(features.dtype))


def _self_product(features: NDArray[Any], mean: Floats) -> float:
    """|X'X|_F^2 of the centred features."""
    product = np.zeros((features.shape[1], features.shape[1]))
    for rows in row_blocks(len(features)):
        block = _centred(features, rows, mean)
        product += block.T @ block
    return float((product**2).sum())


def _divided(cross: Floats, own_x: Floats, own_y: Floats) -> Floats:
    """Cross / sqrt(own_x own_y), NaN where one of them is not positive."""
    product = np.outer(np.maximum(own_x, 0), np.maximum(own_y, 0))
    return np.asarray(np.divide(cross, np.sqrt(product), out=np.full_like(cross, np.nan), where=product > 0))


def gram(features: NDArray[Any], kernel: Kernel = "linear", squared_bandwidth: float | None = None) -> Floats:
    """Kernel values of all pairs, float64, (N, N).

    Args:
        features: (N, D).
        kernel: "linear" (of features moved to their mean, which changes no HSIC) or "rbf",
            exp(-|a - b|^2 / (2 bandwidth^2)).
        squared_bandwidth: Of the RBF kernel; None takes the median of the squared distances.
    """
    if kernel == "linear":
        rows = features - features.mean(0, dtype=np.float64)
        return np.asarray(rows @ rows.T)
    bandwidth = median_squared_distance(features) if squared_bandwidth is None else squared_bandwidth
    distances = squared_distances(features, features)
    return np.exp(-distances / (2 * bandwidth)) if bandwidth > 0 else (distances == 0).astype(np.float64)


def rbf_cka(x: NDArray[Any], y: NDArray[Any]) -> float:
    """CKA with RBF kernels whose bandwidth is the median distance, from N x N matrices, biased.

    HSIC(K, L) = tr(K H L H) / (N - 1)^2 (Gretton et al. 2005, ALT), CKA as in `linear_cka_matrix`. For many items take
    `minibatch_cka(…, kernel="rbf")`, whose memory does not grow.

    Args:
        x: (N, D_x), floating.
        y: (N, D_y), floating, of the same items.

    Returns:
        In [0, 1]; NaN where a representation is constant.
    """
    same_items(checked(x, 2), checked(y, 2))
    k, m = (_double_centred(gram(features, "rbf")) for features in (x, y))
    return float(_divided(np.array([[(k * m).sum()]]), np.array([(k * k).sum()]), np.array([(m * m).sum()]))[0, 0])


def _double_centred(kernel: Floats) -> Floats:
    """H K H with H = I - 11'/N."""
    mean = kernel.mean(0)
    return np.asarray(kernel - mean - mean[:, None] + mean.mean())


def unbiased_hsic(kernels: Sequence[Floats]) -> Floats:
    """The unbiased estimate of HSIC between every two kernels on the same items.

    HSIC_1(K, L) = [tr(K~ L~) + 1'K~1 1'L~1 / ((B - 1)(B - 2)) - 2 / (B - 2) 1'K~ L~1] / (B (B - 3)), where the
    diagonals of K~ and L~ are zero (Song et al. 2012, JMLR 13, equation 5).

    Args:
        kernels: L matrices, float64, (B, B), B at least 4.

    Returns:
        float64, (L, L). It may be negative where two kernels are independent.
    """
    size = len(kernels[0])
    if size < LEAST_BATCH:
        raise ValueError(f"the unbiased HSIC needs at least {LEAST_BATCH} items, not {size}")
    stacked = np.stack(kernels)
    stacked[:, np.arange(size), np.arange(size)] = 0
    flat, sums = stacked.reshape(len(kernels), -1), stacked.sum(2)
    total = sums.sum(1)
    estimate = flat @ flat.T + np.outer(total, total) / ((size - 1) * (size - 2)) - 2 / (size - 2) * (sums @ sums.T)
    return np.asarray(estimate / (size * (size - 3)))


def minibatch_cka(
    xs: Sequence[NDArray[Any]],
    ys: Sequence[NDArray[Any]],
    *,
    kernel: Kernel = "linear",
    batch: int = 256,
    seed: int = 0,
) -> Floats:
    """CKA between layers from unbiased HSIC estimates of minibatches: memory depends on the batch alone.

    Numerator and both factors of the denominator are means of HSIC_1 over the batches (Nguyen et al. 2021, arXiv
    2010.15327, equations 2 and 3). Unlike the biased estimate it does not rise where there are fewer items than
    dimensions. Items are shuffled once; batches are as equal in size as can be and take all of them.

    Args:
        xs: Layers of one model, each (N, D_i), floating, memory-mapped or not.
        ys: Layers of the other, of the same items.
        kernel: "linear" or "rbf"; the bandwidth of a layer is its median distance, the same for every batch.
        batch: Items of a batch, at most.
        seed: Of the shuffle.

    Returns:
        float64, (len(xs), len(ys)); at most about 1, slightly negative where layers have nothing in common, NaN where
        a layer is constant.

    Raises:
        ValueError: The layers are of different numbers of items, or the batch is too small.
        RadnetError: A feature is not finite, or there are fewer than 4 items.
    """
    layers = [*xs, *ys]
    for layer in layers:
        same_items(checked(layer, LEAST_BATCH), layers[0])
    if batch < LEAST_BATCH:
        raise ValueError(f"a batch has at least {LEAST_BATCH} items, not {batch}")
    items = len(layers[0])
    bandwidths = [median_squared_distance(layer, seed=seed) if kernel == "rbf" else None for layer in layers]
    order = np.random.default_rng(seed).permutation(items)
    parts = np.array_split(order, max(1, min(-(-items // batch), items // LEAST_BATCH)))
    total = np.zeros((len(layers), len(layers)))
    for part in parts:
        rows = np.sort(part)  # memory-mapped features are read forward
        sample = [np.asarray(layer[rows], dtype=np.float64) for layer in layers]
        total += unbiased_hsic([gram(own, kernel, width) for own, width in zip(sample, bandwidths, strict=True)])
    constant = np.array([_is_constant(layer) for layer in layers])
    own = np.where(constant, 0, np.diag(total))
    return _divided(total[: len(xs), len(xs) :], own[: len(xs)], own[len(xs) :])


def _is_constant(features: NDArray[Any]) -> bool:
    first = features[0]
    return all(bool((features[rows] == first).all()) for rows in row_blocks(len(features)))


def procrustes_similarity(x: NDArray[Any], y: NDArray[Any]) -> float:
    """What the best rotation leaves in common: the nuclear norm of X'Y, both centred and of Frobenius norm 1.

    The squared Procrustes distance is 2 - 2 times this (Schönemann 1966; Ding et al. 2021, arXiv 2108.01661, section
    2). Unlike CKA it counts every direction by its length, not by its square.

    Args:
        x: (N, D_x), floating.
        y: (N, D_y), floating, of the same items; the smaller D is filled up with zeros, which changes nothing.

    Returns:
        In [0, 1]; NaN where a representation is constant.
    """
    same_items(checked(x, 2), checked(y, 2))
    left, right = (features - features.mean(0, dtype=np.float64) for features in (x, y))
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    if _is_constant(x) or _is_constant(y) or lengths == 0:
        return float("nan")
    return float(np.linalg.norm(left.T @ right, ord="nuc") / lengths)


def mutual_knn(x: NDArray[np.float32], y: NDArray[np.float32], k: int = 10) -> float:
    """Share of the k nearest neighbours that two representations have in common, by cosine similarity.

    m = mean over items of |kNN_x(i) & kNN_y(i)| / k (Huh et al. 2024, arXiv 2405.07987, section 2).

    Args:
        x: float32, (N, D_x).
        y: float32, (N, D_y), of the same items.
        k: Neighbours; N - 1 where there are fewer items.

    Returns:
        In [0, 1]; chance gives k / (N - 1).
    """
    same_items(checked(x, 2), checked(y, 2))
    near = [nearest_neighbours(features, k)[1] for features in (x, y)]
    shared = sum(np.isin(a, b).sum() for a, b in zip(*near, strict=True))
    return float(shared / near[0].size)
