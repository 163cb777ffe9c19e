"""What a protocol said about the test items, and what is measured on it: metrics, intervals, resamples, curves.

Shape legend: N test items, U units (volumes), K classes, B resamples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.console import warn
from radnet.errors import RadnetError
from radnet.hashing import settings_hash
from radnet.records import Curve, Interval, Resampled
from radnet.transfer.contract import EpochPoint, ProtocolResult
from radnet.transfer.metrics import METRICS
from radnet.transfer.statistics import Statistic, bootstrap_values, mean_of_units, patient_bootstrap
from radnet.transfer.tasks import Task, TaskItems

KEPT_RESAMPLES = 300
"""Resamples that stay in a record, for the stability of ranks."""
MOST_CLASSES = 50
"""Classes are scored one by one up to so many: a thousand intervals of each cell would tell nobody anything."""


@dataclass(frozen=True)
class Outcome:
    """Predictions of the test items, or values of whole volumes.

    Attributes:
        keys: Key of each item or unit, text.
        patients: Patient of each, text.
        target: int64 (N,) or (N, K); None for units.
        scores: float64, (N, K); None for units.
        unit_values: Metric -> value of each unit, float64 (U,), NaN where undefined; empty for items.
    """

    keys: NDArray[np.str_]
    patients: NDArray[np.str_]
    target: NDArray[np.int64] | None
    scores: NDArray[np.float64] | None
    unit_values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, result: ProtocolResult, items: TaskItems) -> "Outcome":
        """From what a protocol gave back."""
        if result.units is not None:
            return cls(result.units.keys, result.units.patients, None, None, dict(result.units.values.items()))
        test = items.side("test")
        return cls(items.keys[test], items.patients[test], items.target[test], result.scores)

    def statistic(self, metric: str) -> Statistic:
        """A metric as a function of the weights of items or units.

        Raises:
            RadnetError: The volumes have no value of this name.
        """
        if self.scores is not None and self.target is not None:
            return METRICS[metric].statistic(self.target, self.scores)
        if metric not in self.unit_values:
            raise RadnetError(
                "The volumes have no such metric", seen=metric, fix=f"There are: {', '.join(self.unit_values)}"
            )
        return mean_of_units(self.unit_values[metric])

    def draws(self, seed: int) -> str:
        """Hash of what decides the bootstrap's draws."""
        return settings_hash({"seed": seed, "patients": np.unique(self.patients).tolist()})[:32]


def outcome_of(outcome: Outcome, result: ProtocolResult, task: Task, *, resamples: int, seed: int) -> dict[str, Any]:
    """Metrics, undefined ones, resamples, curves and values of each class, as fields of a record.

    A secondary metric that is undefined here (one class in the test set, …) is left out, with the reason.

    Raises:
        RadnetError: The task's own metric is undefined.
    """
    metrics: dict[str, Interval] = {}
    undefined: dict[str, str] = {}
    names = [task.metric, *(name for name in (outcome.unit_values or task.metrics) if name != task.metric)]
    statistics = {name: outcome.statistic(name) for name in names}
    for variant, scores in result.variants.items():
        if outcome.target is not None:
            statistics[f"{task.metric}_{variant}"] = METRICS[task.metric].statistic(outcome.target, scores)
    for name, statistic in statistics.items():
        try:
            metrics[name] = patient_bootstrap(statistic, outcome.patients, resamples=resamples, seed=seed)
        except RadnetError as error:
            if name == task.metric:
                raise
            warn(f"{name} is left out: {error}")
            undefined[name] = str(error)
    kept = bootstrap_values(
        statistics[task.metric], outcome.patients, resamples=min(KEPT_RESAMPLES, resamples), seed=seed
    )
    values = tuple(round(float(value), 6) if math.isfinite(value) else None for value in kept)
    return {
        "metrics": metrics,
        "undefined": undefined,
        "resampled": Resampled(draws=outcome.draws(seed), values=values),
        "curves": curves_of(result.curve),
        "per_class": _per_class(outcome, task, resamples=resamples, seed=seed),
    }


def _per_class(outcome: Outcome, task: Task, *, resamples: int, seed: int) -> dict[str, dict[str, Interval | None]]:
    """What the task's metric is the mean of, class by class; None for a class that cannot be scored here."""
    if outcome.target is None or outcome.scores is None or len(task.classes) > MOST_CLASSES:
        return {}
    found: dict[str, dict[str, Interval | None]] = {}
    each = METRICS[task.metric].class_statistics(outcome.target, outcome.scores, task.classes)
    for name, statistic in each.items():
        quantity, _, one = name.partition("/")
        try:
            value: Interval | None = patient_bootstrap(statistic, outcome.patients, resamples=resamples, seed=seed)
        except RadnetError:
            value = None
        found.setdefault(quantity, {})[one] = value
    return found


def curves_of(points: tuple[EpochPoint, ...]) -> dict[str, Curve]:
    """Training loss and validation metrics over the epochs."""
    if not points:
        return {}
    at = tuple(float(point.epoch) for point in points)
    courses: dict[str, list[float]] = {"train_loss": [point.train_loss for point in points]}
    for name in points[0].val:
        courses[f"val_{name}"] = [point.val.get(name, math.nan) for point in points]
    return {
        name: Curve(over="epoch", at=at, values=tuple(float(v) if math.isfinite(v) else None for v in values))
        for name, values in courses.items()
    }
