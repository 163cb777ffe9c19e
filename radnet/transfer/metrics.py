"""Classification metrics of weighted items, evaluated for many weightings at once.

An item's weight says how often its patient was drawn in a bootstrap resample; weight 1 everywhere gives the plain
metric. Sorting and one-hot coding happen once for all resamples, which makes 2000 of them a matter of a second.
All metrics lie in [0, 1], higher is better. Every macro metric is the mean of one value a class, which
`class_statistics` gives one by one.

A class without weight (in a resample, or in the whole test set) is left out of the mean over classes. It is neither
scored 0, which would blame the model, nor 1, which would reward it.

Labels are class numbers (N,), or for findings that occur together 0 and 1 of shape (N, K). Metrics of the predicted
class need the first form; the areas under curves take both.

Shape legend: B weightings, N items, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.transfer.ranking import TransposedStatistic, auroc, average_precision, divided
from radnet.transfer.statistics import Statistic

Target = NDArray[np.int64]
Score = NDArray[np.float64]
ByClass = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Item weights (B, N) -> one value a class (B, K), NaN where the class is not there."""


@dataclass(frozen=True)
class Metric:
    """A metric of class scores.

    Attributes:
        name: Name in records and tables.
        prepare: Target and score (N, K) -> the values that are averaged, one a class (B, K), or the metric itself
            (B, 1) where `one` is None.
        one: Name of the value of one class ("recall"), None for a metric that is no mean over classes.
        multi_label: Whether it takes labels of shape (N, K).
    """

    name: str
    prepare: Callable[[Target, Score], ByClass]
    one: str | None = None
    multi_label: bool = False

    def statistic(self, target: Target, score: Score) -> Statistic:
        """The metric of these predictions as a function of item weights, for `patient_bootstrap`.

        Args:
            target: int64: class number of each item (N,), or 0 and 1 (N, K).
            score: Score of each class, float64, shape (N, K); the predicted class has the largest, the first of
                equal ones.

        Raises:
            UsageError: Multi-label targets, which this metric does not take.
            ValueError: Shapes do not fit, a label is none of the classes, or a score is not finite.
        """
        by_class = self._by_class(target, score)
        return lambda weight: _mean_over_defined(by_class(weight))

    def class_statistics(self, target: Target, score: Score, classes: Sequence[str]) -> dict[str, Statistic]:
        """What the metric is the mean of: "recall/NAME" -> statistic, one a class; empty for `accuracy`.

        Args:
            target: As in `statistic`.
            score: As in `statistic`.
            classes: Name of each class, in order.

        Raises:
            UsageError: As `statistic`.
            ValueError: As `statistic`, or another number of names.
        """
        if self.one is None:
            return {}
        by_class = self._by_class(target, score)
        named = list(classes)
        if len(named) != score.shape[1]:
            raise ValueError(f"{len(named)} names for {score.shape[1]} classes")
        if named and target.ndim == 1 and len(named) == 2 and self.multi_label:
            named = named[1:]  # the one curve of two classes

        def column(number: int) -> Statistic:
            return lambda weight: by_class(weight)[:, number]

        return {f"{self.one}/{name}": column(number) for number, name in enumerate(named)}

    def __call__(self, target: Target, score: Score, weight: NDArray[np.float64] | None = None) -> float:
        """The metric of these predictions; `weight` float64 (N,), 1 everywhere when None. NaN when undefined."""
        weights = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=np.float64)
        return float(self.statistic(target, score)(weights[None])[0])

    def _by_class(self, target: Target, score: Score) -> ByClass:
        target, score = np.asarray(target), np.asarray(score, dtype=np.float64)
        if target.ndim == 2 and target.shape == score.shape and not self.multi_label:
            raise UsageError(
                f"The metric {self.name} needs one class an item, and here an item can have several",
                fix=f"Use one of {', '.join(name for name, metric in METRICS.items() if metric.multi_label)}",
            )
        good = target.ndim == 1 or target.shape == score.shape
        if score.ndim != 2 or len(target) != len(score) or not good:
            raise ValueError(f"target (N,) and score (N, K) are needed, not {target.shape} and {score.shape}")
        most = score.shape[1] if target.ndim == 1 else 2
        if target.size and (target.min() < 0 or target.max() >= most):
            raise ValueError(f"target holds {target.min()}..{target.max()}, score has {score.shape[1]} classes")
        if not np.isfinite(score).all():
            raise ValueError("score holds values that are not finite")
        return self.prepare(target.astype(np.int64), score)


def _mean_over_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean along the last axis over what is not NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return divided(np.where(defined, values, 0).sum(-1), defined.sum(-1).astype(np.float64))


def _one_hot(labels: Target, classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[labels]


def _accuracy(target: Target, score: Score) -> ByClass:
    correct = (score.argmax(1) == target).astype(np.float64)
    return lambda weight: divided(weight @ correct, weight.sum(1))[:, None]


def _recall(target: Target, score: Score) -> ByClass:
    truth = _one_hot(target, score.shape[1])
    hit = truth * (score.argmax(1) == target)[:, None]
    return lambda weight: divided(weight @ hit, weight @ truth)


def _f1(target: Target, score: Score) -> ByClass:
    truth, predicted = _one_hot(target, score.shape[1]), _one_hot(score.argmax(1), score.shape[1])
    hit = truth * predicted

    def of(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        there = weight @ truth
        f1 = divided(2 * (weight @ hit), there + weight @ predicted)
        return np.where(there > 0, f1, np.nan)

    return of


def _area(
    curve: Callable[[NDArray[np.bool_], NDArray[np.float64]], TransposedStatistic],
) -> Callable[[Target, Score], ByClass]:
    """The area of each class against the rest; of two exclusive classes that of the second one alone."""

    def prepare(target: Target, score: Score) -> ByClass:
        classes = score.shape[1]
        # Of two classes one curve says it all (the other is its mirror image when scores sum to 1).
        columns = [1] if classes == 2 and target.ndim == 1 else range(classes)
        truth = target == 1 if target.ndim == 2 else target[:, None] == np.arange(classes)
        each = [curve(truth[:, column], score[:, column]) for column in columns]

        def of(weight: NDArray[np.float64]) -> NDArray[np.float64]:
            weight_nb = np.ascontiguousarray(weight.T)
            return np.stack([of_class(weight_nb) for of_class in each], axis=-1)

        return of

    return prepare


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("accuracy", _accuracy),
            Metric("balanced_accuracy", _recall, one="recall"),
            Metric("macro_f1", _f1, one="f1"),
            Metric("macro_auroc", _area(auroc), one="auroc", multi_label=True),
            Metric("macro_average_precision", _area(average_precision), one="average_precision", multi_label=True),
        )
    }
)
"""Every classification metric by name. `balanced_accuracy` is the mean recall, `macro_auroc` and
`macro_average_precision` are one class against the rest, all averaged over the classes that are there."""
