"""Areas under curves of one class against the rest, for many weightings at once.

Both curves need, at each positive, the weight of what is ranked at least as high. One sparse product adds it up
between neighbouring positives for all weightings; the rest is a cumulative sum over the positives alone.

All functions give a statistic of transposed weights: float64 (N, B) -> (B,), NaN where it is undefined.

Shape legend: B weightings, N items, P positives, G different scores of positives.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

TransposedStatistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def divided(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, NaN where the divisor is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def auroc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> TransposedStatistic:
    """Area under the ROC curve: the Mann-Whitney statistic, ties count half.

    Args:
        positive: bool, (N,).
        score: float64, (N,), higher for positives.
    """
    positives, negatives = np.flatnonzero(positive), np.flatnonzero(~positive)
    positives = positives[np.argsort(score[positives], kind="stable")]
    # Positives from `level` on score at least as high as the negative, those from `above` on higher.
    level = np.searchsorted(score[positives], score[negatives], side="left")
    above = np.searchsorted(score[positives], score[negatives], side="right")
    rows, columns = np.concatenate([level, above]), np.tile(negatives, 2)
    between = csr_array((np.full(len(rows), 0.5), (rows, columns)), shape=(len(positives) + 1, len(score)))

    def of(weight_nb: NDArray[np.float64]) -> NDArray[np.float64]:
        beaten = between @ weight_nb
        from_here = np.zeros_like(beaten)
        from_here[:-1] = weight_nb[positives]
        from_here = np.cumsum(from_here[::-1], axis=0)[::-1]
        return divided(np.einsum("nb,nb->b", beaten, from_here), from_here[0] * beaten.sum(0))

    return of


def average_precision(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> TransposedStatistic:
    """Average precision: the precision at each positive's score, averaged over the positives; no interpolation.

    Equal scores form one threshold, as in scikit-learn's `average_precision_score`. Undefined without a positive; 1
    without a negative.

    Args:
        positive: bool, (N,).
        score: float64, (N,), higher for positives.
    """
    positives = np.flatnonzero(positive)
    thresholds, place = np.unique(-score[positives], return_inverse=True)  # descending scores
    # An item counts from the first threshold that its score reaches; negatives below the last never do.
    first = np.searchsorted(thresholds, -score, side="left")
    counted = np.flatnonzero(~positive & (first < len(thresholds)))
    shape = (len(thresholds), len(score))
    hits = csr_array((np.ones(len(positives)), (place, positives)), shape=shape)
    false_alarms = csr_array((np.ones(len(counted)), (first[counted], counted)), shape=shape)

    def of(weight_nb: NDArray[np.float64]) -> NDArray[np.float64]:
        gained = np.asarray(hits @ weight_nb)
        found = np.cumsum(gained, axis=0)
        called = np.cumsum(np.asarray(false_alarms @ weight_nb), axis=0)
        called += found
        np.divide(found, called, out=called, where=called > 0)
        total = found[-1] if len(found) else np.zeros(weight_nb.shape[1])
        return divided(np.einsum("gb,gb->b", gained, called), total)

    return of
