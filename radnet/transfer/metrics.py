"""Classification metrics of weighted items, evaluated for many weightings at once.

An item's weight says how often its patient was drawn in a bootstrap resample; weight 1 everywhere gives the plain
metric. Sorting and one-hot coding happen once for all resamples, which makes 2000 of them a matter of a second.
All metrics lie in [0, 1], higher is better.

A class without weight (in a resample, or in the whole test set) is left out of the mean over classes. It is neither
scored 0, which would blame the model, nor 1, which would reward it.

Shape legend: B weightings, N items, K classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radnet.transfer.statistics import Statistic

Target = NDArray[np.int64]
Score = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric of class scores.

    Attributes:
        name: Name in records and tables.
        prepare: Target (N,) and score (N, K) -> the metric as a function of weights (B, N) -> (B,).
    """

    name: str
    prepare: Callable[[Target, Score], Statistic]

    def statistic(self, target: Target, score: Score) -> Statistic:
        """The metric of these predictions as a function of item weights, for `patient_bootstrap`.

        Args:
            target: Class number of each item, int64, shape (N,).
            score: Score of each class, float64, shape (N, K); the predicted class has the largest, the first of
                equal ones.

        Raises:
            ValueError: Shapes do not fit, a class number lies outside 0..K-1, or a score is not finite.
        """
        target, score = np.asarray(target), np.asarray(score, dtype=np.float64)
        if target.ndim != 1 or score.ndim != 2 or len(target) != len(score):
            raise ValueError(f"target (N,) and score (N, K) are needed, not {target.shape} and {score.shape}")
        if len(target) and (target.min() < 0 or target.max() >= score.shape[1]):
            raise ValueError(f"target holds {target.min()}..{target.max()}, score has {score.shape[1]} classes")
        if not np.isfinite(score).all():
            raise ValueError("score holds values that are not finite")
        return self.prepare(target.astype(np.int64), score)

    def __call__(self, target: Target, score: Score, weight: NDArray[np.float64] | None = None) -> float:
        """The metric of these predictions; `weight` float64 (N,), 1 everywhere when None. NaN when undefined."""
        weights = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=np.float64)
        return float(self.statistic(target, score)(weights[None])[0])


def _divided(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, NaN where the divisor is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _mean_over_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean along the last axis over what is not NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return _divided(np.where(defined, values, 0).sum(-1), defined.sum(-1).astype(np.float64))


def _one_hot(labels: Target, classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[labels]


def _accuracy(target: Target, score: Score) -> Statistic:
    correct = (score.argmax(1) == target).astype(np.float64)
    return lambda weight: _divided(weight @ correct, weight.sum(1))


def _balanced_accuracy(target: Target, score: Score) -> Statistic:
    truth = _one_hot(target, score.shape[1])
    hit = truth * (score.argmax(1) == target)[:, None]
    return lambda weight: _mean_over_defined(_divided(weight @ hit, weight @ truth))


def _macro_f1(target: Target, score: Score) -> Statistic:
    truth, predicted = _one_hot(target, score.shape[1]), _one_hot(score.argmax(1), score.shape[1])
    hit = truth * predicted

    def of(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        there = weight @ truth
        f1 = _divided(2 * (weight @ hit), there + weight @ predicted)
        return _mean_over_defined(np.where(there > 0, f1, np.nan))

    return of


def _auroc_of_class(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> Statistic:
    """Area under the ROC curve of one class against the rest: the Mann-Whitney statistic, ties count half.

    Takes the weights transposed, (N, B): one sparse product then adds up, for all resamples, the weight of the
    negatives that lie between two neighbouring positives.
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
        return _divided(np.einsum("nb,nb->b", beaten, from_here), from_here[0] * beaten.sum(0))

    return of


def _macro_auroc(target: Target, score: Score) -> Statistic:
    classes = score.shape[1]
    # Of two classes one curve says it all (the other is its mirror image when scores sum to 1).
    columns = [1] if classes == 2 else range(classes)
    each = [_auroc_of_class(target == column, score[:, column]) for column in columns]

    def of(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        weight_nb = np.ascontiguousarray(weight.T)
        return _mean_over_defined(np.stack([of_class(weight_nb) for of_class in each], axis=-1))

    return of


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("accuracy", _accuracy),
            Metric("balanced_accuracy", _balanced_accuracy),
            Metric("macro_f1", _macro_f1),
            Metric("macro_auroc", _macro_auroc),
        )
    }
)
"""Every classification metric by name. `balanced_accuracy` is the mean recall, `macro_auroc` one class against the
rest, both averaged over the classes that are there."""
