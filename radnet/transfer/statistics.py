"""Intervals, differences and corrected p values, always at the level of the patient.

Slices of one patient resemble each other, so they are not independent draws: a bootstrap over slices gives
intervals that are far too narrow. Here whole patients are drawn with replacement (cluster bootstrap: Davison &
Hinkley 1997, *Bootstrap Methods and their Application*, section 3.8; Field & Welsh 2007, "Bootstrapping clustered
data", JRSS B 69) and every item counts as often as its patient was drawn. A statistic is therefore a function of
item weights, evaluated for many resamples at once.

Why the percentile interval (Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, chapter 13): it stays
within the range of the metric, does not depend on the scale the metric is written in, and still exists at the
ends of the range. The bias-corrected BCa interval (same, chapter 14) is second-order accurate, yet its correction
is infinite when all resamples fall on one side of the estimate (a model without errors) and its acceleration rests
on a skewness estimated from as many numbers as there are patients; with the few dozen test patients usual here that
costs more than it corrects.

The plain percentile interval is too narrow for few patients, by the factor between a normal and a t quantile and by
the missing n - 1. So its tail probabilities are moved out as Hesterberg 2015 ("What Teachers Should Know About the
Bootstrap", The American Statistician 69, section 5.3, "expanded percentile") proposes. With 1000 patients this
changes nothing that can be seen; with 10 the 95 % interval takes the 0.9 % and 99.1 % quantiles.

What no interval here can do: see an error that did not occur. A model that is right on every test item gets an
interval without width; that is no certainty (rule of three: with n patients, up to 3 / n of all patients may still
be misread).

Shape legend: B resamples, N items, P patients.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from radnet.errors import RadnetError
from radnet.pvalues import holm as holm
from radnet.records import Interval

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Item weights, float64 (B, N) -> the statistic of each resample, float64 (B,); NaN where it is undefined."""

BLOCK_ITEMS = 1 << 18
"""Weights evaluated at once: B * N numbers, 2 MiB, so that a block stays in the cache."""

MOST_UNDEFINED = 0.5
"""Largest share of undefined resamples of which an interval is still made."""


def patient_draws(patients: int, *, resamples: int, seed: int) -> NDArray[np.int32]:
    """How often each patient is drawn in each resample.

    Args:
        patients: Number of patients P; each resample draws P times with replacement.
        resamples: Number of resamples B.
        seed: Seed; equal arguments give equal draws, so two models are compared on the same resamples.

    Returns:
        int32, shape (B, P); every row sums to P.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.integers(patients, size=(resamples, patients))
    flat = (drawn + np.arange(resamples)[:, None] * patients).ravel()
    return np.bincount(flat, minlength=resamples * patients).reshape(resamples, patients).astype(np.int32)


def bootstrap_values(
    statistic: Statistic, patients: NDArray[Any], *, resamples: int = 2000, seed: int
) -> NDArray[np.float64]:
    """The statistic on each resample of the patients.

    Args:
        statistic: See `Statistic`.
        patients: Patient of each item, any dtype that can be compared, shape (N,).
        resamples: Number of resamples B.
        seed: Seed of the draws.

    Returns:
        float64, shape (B,), NaN where the statistic is undefined.
    """
    names, patient_of_item = np.unique(np.asarray(patients), return_inverse=True)
    draws = patient_draws(len(names), resamples=resamples, seed=seed)
    block = max(1, BLOCK_ITEMS // max(len(patient_of_item), 1))
    values = [
        statistic(draws[start : start + block, patient_of_item].astype(np.float64))
        for start in range(0, resamples, block)
    ]
    return np.concatenate(values)


def patient_bootstrap(
    statistic: Statistic, patients: NDArray[Any], *, resamples: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """The statistic on the test set with its expanded percentile interval from the cluster bootstrap.

    A class that no drawn patient has is left out of that resample's mean over classes (see
    `radnet.transfer.metrics`): the interval widens by what is unknown about that class. A resample on which the
    statistic is undefined altogether is left out, and the share of these is kept in `Interval.undefined`.

    Args:
        statistic: See `Statistic`.
        patients: Patient of each item, shape (N,).
        resamples: Number of resamples. With 2000 the ends of the interval move from seed to seed by less than a
            tenth of the statistic's standard error.
        seed: Seed of the draws.
        level: Coverage that is aimed at, in (0, 1).

    Raises:
        RadnetError: Fewer than two patients, the statistic is undefined on the whole set, or on more than half of
            the resamples.
    """
    value, count = _on_whole_set(statistic, patients)
    values = bootstrap_values(statistic, patients, resamples=resamples, seed=seed)
    return percentile_interval(value, values, patients=count, level=level)


def _on_whole_set(statistic: Statistic, patients: NDArray[Any]) -> tuple[float, int]:
    """The statistic on all items, and the number of patients; see `patient_bootstrap` for what is refused."""
    count = len(np.unique(np.asarray(patients)))
    if count < 2:
        raise RadnetError(
            "A confidence interval needs at least two test patients",
            seen=count,
            fix="Use a set with more labelled patients, or build it with other --split-fractions",
        )
    value = float(statistic(np.ones((1, len(patients))))[0])
    if not np.isfinite(value):
        raise RadnetError(
            "The metric is undefined on this set (does it hold one class only?)",
            seen=value,
            fix="Use a task whose test split holds items of at least two classes",
        )
    return value, count


def percentile_interval(value: float, values: NDArray[np.float64], *, patients: int, level: float = 0.95) -> Interval:
    """The expanded percentile interval of bootstrap values.

    Args:
        value: The statistic on the whole set.
        values: The statistic on each resample, float64, shape (B,); NaN is left out and counted.
        patients: Number of patients that were resampled.
        level: Coverage that is aimed at.

    Raises:
        RadnetError: More than half of the values are undefined.
    """
    defined = values[np.isfinite(values)]
    undefined = 1 - len(defined) / len(values)
    if undefined > MOST_UNDEFINED:
        raise RadnetError(
            "The metric is undefined on more than half of the resamples: too few patients have the rarer class",
            seen=round(undefined, 3),
            fix="Use a task with more patients of each class, or another metric",
        )
    tail = expanded_tail(patients, level=level)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high), undefined=round(undefined, 6))


def expanded_tail(patients: int, *, level: float = 0.95) -> float:
    """Tail probability of the expanded percentile interval (Hesterberg 2015): Phi(-sqrt(n / (n - 1)) t_{n-1}).

    Args:
        patients: Number n of independent units, at least 2.
        level: Coverage that is aimed at.
    """
    t = stdtrit(patients - 1, (1 + level) / 2)
    return float(ndtr(-np.sqrt(patients / (patients - 1)) * t))


def paired_difference(
    statistic: Statistic,
    reference: Statistic,
    patients: NDArray[Any],
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """How far one model lies above another on the same test patients.

    Both statistics are evaluated on the same resamples, so what makes a patient hard for both cancels out and the
    interval is narrower than two separate ones suggest. Zero outside the interval: the models differ.

    Args:
        statistic: Statistic of the model, a function of the weights of the N items.
        reference: Statistic of the reference, a function of the weights of the same N items.
        patients: Patient of each item, shape (N,).
        resamples: Number of resamples.
        seed: Seed of the draws.
        level: Coverage that is aimed at.

    Returns:
        Interval of `statistic - reference`.

    Raises:
        RadnetError: As `patient_bootstrap`.
    """
    return patient_bootstrap(
        lambda weight: statistic(weight) - reference(weight), patients, resamples=resamples, seed=seed, level=level
    )


def seed_patient_bootstrap(
    statistics: Sequence[Statistic],
    patients: NDArray[Any],
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """The mean of a statistic over trainings with several seeds, with an interval for patients and seeds together.

    Every resample draws patients, the same ones for all seeds, and S - 1 of the S seeds, both with replacement; its
    value is the mean over the drawn seeds. Drawing one less than there are makes the variance of the mean over seeds
    come out without bias (McCarthy & Snowden 1985, "The Bootstrap and Finite Population Sampling"; Rao & Wu 1988,
    JASA 83): with the usual S draws it would be too small by (S - 1) / S, a third with three seeds. For differences
    of two models pass one statistic a seed that is the difference.

    Args:
        statistics: One a seed, functions of the weights of the same N items.
        patients: Patient of each item, shape (N,).
        resamples: Number of resamples.
        seed: Seed of the draws of both kinds.
        level: Coverage that is aimed at.

    Raises:
        ValueError: Fewer than two seeds.
        RadnetError: As `patient_bootstrap`.
    """
    if len(statistics) < 2:
        raise ValueError(f"what seeds do is not to be seen from {len(statistics)} of them")
    whole = [_on_whole_set(statistic, patients) for statistic in statistics]
    draws = np.random.default_rng([seed, 1]).integers(len(statistics), size=(resamples, len(statistics) - 1))
    values = np.stack([bootstrap_values(one, patients, resamples=resamples, seed=seed) for one in statistics], axis=1)
    drawn = np.take_along_axis(values, draws, axis=1).mean(axis=1)
    mean = float(np.mean([value for value, _ in whole]))
    return percentile_interval(mean, drawn, patients=whole[0][1], level=level)


def paired_p_value(stacked: Statistic, patients: NDArray[Any], *, resamples: int = 10_000, seed: int) -> float:
    """Two-sided p value that two models are exchangeable patient by patient (randomisation test).

    Under the null hypothesis swapping the two models' predictions of a patient changes nothing, so the observed
    difference is compared with differences after random swaps of whole patients (Good 2005, *Permutation,
    Parametric and Bootstrap Tests of Hypotheses*; the observed labelling counts as one draw, Phipson & Smyth 2010).

    Args:
        stacked: Statistic of 2 N items: the predictions of the model for all N test items, then those of the
            reference for the same items in the same order.
        patients: Patient of each of the N items, shape (N,).
        resamples: Number of random swaps.
        seed: Seed of the swaps.

    Returns:
        p in (0, 1]; never 0.

    Raises:
        RadnetError: The difference is undefined on the set as it is.
    """
    names, patient_of_item = np.unique(np.asarray(patients), return_inverse=True)
    items = len(patient_of_item)

    def difference(swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
        other = swapped[:, patient_of_item].astype(np.float64)
        own = 1 - other
        return stacked(np.concatenate([own, other], 1)) - stacked(np.concatenate([other, own], 1))

    observed = abs(float(difference(np.zeros((1, len(names)), dtype=bool))[0]))
    if not np.isfinite(observed):
        raise RadnetError(
            "The metric is undefined on this set (does it hold one class only?)",
            seen=observed,
            fix="Use a task whose test split holds items of at least two classes",
        )
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_ITEMS // max(2 * items, 1))
    as_far = defined = 0
    for start in range(0, resamples, block):
        swapped = generator.random((min(block, resamples - start), len(names))) < 0.5
        values = np.abs(difference(swapped))
        as_far += int(np.sum(values >= observed - 1e-12))
        defined += int(np.sum(np.isfinite(values)))
    return (as_far + 1) / (defined + 1)
