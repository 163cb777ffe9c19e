"""Differences to a reference arm, family by family, and what the design could have seen.

A family is a set of comparisons that one statement rests on ("RadNet weights against ImageNet weights on the CT
tasks"). It is named before the results are looked at, and all its p values are corrected together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from radnet.errors import RadnetError, UsageError
from radnet.records import Interval
from radnet.transfer.metrics import METRICS
from radnet.transfer.statistics.bootstrap import (
    Statistic,
    bootstrap_values,
    holm,
    on_whole_set,
    paired_difference,
    paired_p_value,
)


@dataclass(frozen=True)
class Contest:
    """Two models' predictions of the same test items.

    Attributes:
        metric: Name of the metric.
        target: int64, (N,) or (N, K).
        own: Scores of the model, float64, (N, K).
        reference: Scores of the reference, float64, (N, K).
        patients: Patient of each item, (N,).
    """

    metric: str
    target: NDArray[np.int64]
    own: NDArray[np.float64]
    reference: NDArray[np.float64]
    patients: NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """One difference of a family.

    Attributes:
        difference: The model minus the reference on the same patients, with its own 95 % interval.
        p_value: Of the randomisation test, uncorrected.
        corrected: Holm-corrected within the family.
        detectable: Smallest true difference that this comparison would have found with 80 % power at the strictest
            level of the family's correction.
        family: Name of the family.
        comparisons: Number of comparisons in it.
    """

    difference: Interval
    p_value: float
    corrected: float
    detectable: float
    family: str
    comparisons: int


def compare_family(
    family: str, contests: Mapping[str, Contest], *, resamples: int = 2000, swaps: int = 10_000, seed: int = 0
) -> dict[str, Comparison]:
    """Paired differences of a family of comparisons, corrected together.

    Args:
        family: Name of the family.
        contests: Name of each comparison -> its predictions.
        resamples: Bootstrap resamples.
        swaps: Random swaps of the randomisation test; p cannot fall below 1 / (swaps + 1).
        seed: Seed of the draws.

    Raises:
        UsageError: The family is empty.
        RadnetError: As `patient_bootstrap`.
    """
    if not contests:
        raise UsageError("A family of no comparisons cannot be corrected", seen=family, fix="Name its comparisons")
    parts = []
    for contest in contests.values():
        metric = METRICS[contest.metric]
        own = metric.statistic(contest.target, contest.own)
        reference = metric.statistic(contest.target, contest.reference)
        stacked = metric.statistic(
            np.concatenate([contest.target] * 2), np.concatenate([contest.own, contest.reference])
        )
        parts.append(
            (
                paired_difference(own, reference, contest.patients, resamples=resamples, seed=seed),
                paired_p_value(stacked, contest.patients, resamples=swaps, seed=seed),
                smallest_detectable(
                    _minus(own, reference),
                    contest.patients,
                    comparisons=len(contests),
                    resamples=resamples,
                    seed=seed,
                ),
            )
        )
    corrected = holm([p for _, p, _ in parts])
    return {
        name: Comparison(difference, p, adjusted, detectable, family, len(contests))
        for name, (difference, p, detectable), adjusted in zip(contests, parts, corrected, strict=True)
    }


def _minus(own: Statistic, reference: Statistic) -> Statistic:
    return lambda weight: own(weight) - reference(weight)


def smallest_detectable(
    difference: Statistic,
    patients: NDArray[Any],
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    comparisons: int = 1,
    resamples: int = 2000,
    seed: int,
) -> float:
    """The smallest true difference that this design finds with the given power, two-sided.

    (t_{1 - alpha / 2m} + t_{power}) times the standard error of the paired difference, with P - 1 degrees of freedom
    (Bloom 1995, "Minimum Detectable Effects", Evaluation Review 19). The standard error is the bootstrap's on these
    test patients. Holm's correction tests the smallest p of a family of m at alpha / m, so that is what is asked of
    every comparison here; the later ones of a family have it easier. A null result with a large value here says that
    the test set was too small, not that the models are alike.

    Args:
        difference: Difference of the two models as a function of item weights.
        patients: Patient of each item, shape (N,).
        power: Probability with which the difference is to be found, above 0.5.
        alpha: Level of the family.
        comparisons: Number m of comparisons in the family.
        resamples: Bootstrap resamples.
        seed: Seed of the draws.

    Raises:
        UsageError: Power, level or number out of range.
        RadnetError: As `patient_bootstrap`.
    """
    if not (0.5 <= power < 1 and 0 < alpha < 1 and comparisons >= 1):
        raise UsageError(
            "Power lies in [0.5, 1), alpha in (0, 1), and a family has at least one comparison",
            seen={"power": power, "alpha": alpha, "comparisons": comparisons},
            fix="Take power 0.8, alpha 0.05",
        )
    _, count = on_whole_set(difference, patients)
    values = bootstrap_values(difference, patients, resamples=resamples, seed=seed)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise RadnetError("The difference is undefined on the resamples", fix="Use a task with more patients")
    error = float(np.sqrt(values.var() * count / (count - 1)))
    return float(stdtrit(count - 1, 1 - alpha / (2 * comparisons)) + stdtrit(count - 1, power)) * error
