"""Whether a similarity could be chance, and how far it would move with other patients.

Slices of one patient are no independent draws: the null shuffles one item a patient, the interval leaves out patients.

Shape legend: N items, P patients, G groups of patients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from radnet.analysis.arrays import Floats, checked, same_items
from radnet.analysis.similarity import LEAST_BATCH, Kernel, gram, unbiased_hsic
from radnet.errors import RadnetError


@dataclass(frozen=True)
class PermutationTest:
    """A value held against the same value after random shuffles.

    Attributes:
        value: As observed.
        null_mean: Mean over the shuffles.
        null_high: 95 % of the shuffles lie below.
        p_value: (1 + shuffles at least as high) / (1 + shuffles) (Phipson & Smyth 2010); never 0.
    """

    value: float
    null_mean: float
    null_high: float
    p_value: float


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def one_item_a_patient(patients: NDArray[Any], *, seed: int = 0) -> NDArray[np.int64]:
    """Positions of one random item of each patient, sorted, int64, (P,)."""
    order = np.random.default_rng(seed).permutation(len(patients))
    first = np.unique(np.asarray(patients)[order], return_index=True)[1]
    return np.sort(order[first]).astype(np.int64)


def cka_of_grams(k: Floats, m: Floats) -> float:
    """CKA from unbiased HSIC estimates of two kernels on the same items, each float64, (N, N)."""
    hsic = unbiased_hsic([k, m])
    product = max(hsic[0, 0], 0) * max(hsic[1, 1], 0)
    return float(hsic[0, 1] / np.sqrt(product)) if product > 0 else float("nan")


def cka_permutation_test(
    x: NDArray[Any],
    y: NDArray[Any],
    patients: NDArray[Any],
    *,
    kernel: Kernel = "linear",
    permutations: int = 500,
    seed: int = 0,
) -> PermutationTest:
    """Whether two representations share more than any two of so many items would: Y is shuffled against X.

    One random item of each patient takes part, so that the items are exchangeable under the null hypothesis.

    Args:
        x: (N, D_x), floating.
        y: (N, D_y), floating, of the same items.
        patients: Patient of each item, (N,).
        kernel: "linear" or "rbf".
        permutations: Number of shuffles.
        seed: Of the choice and of the shuffles.

    Raises:
        RadnetError: Fewer than 4 patients, or a feature is not finite.
    """
    same_items(checked(x), checked(y))
    chosen = one_item_a_patient(patients, seed=seed)
    if len(chosen) < LEAST_BATCH:
        raise RadnetError("A permutation test of CKA needs at least 4 patients", seen=len(chosen))
    k, m = (gram(np.asarray(features[chosen], dtype=np.float64), kernel) for features in (x, y))
    generator = np.random.default_rng(seed)
    value = cka_of_grams(k, m)
    null = np.empty(permutations)
    for number in range(permutations):
        order = generator.permutation(len(chosen))
        null[number] = cka_of_grams(k, m[np.ix_(order, order)])
    return tested(value, null)


def tested(value: float, null: Floats) -> PermutationTest:
    """The test of a value against its null distribution, float64, (shuffles,)."""
    if not np.isfinite(value):
        return PermutationTest(float("nan"), float("nan"), float("nan"), 1.0)
    above = int((null >= value - 1e-12).sum())
    return PermutationTest(value, float(null.mean()), float(np.quantile(null, 0.95)), (1 + above) / (1 + len(null)))


def jackknife(
    statistic: Callable[[NDArray[np.int64]], float],
    patients: NDArray[Any],
    *,
    groups: int = 20,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """A statistic with its interval from leaving out groups of patients, for statistics that repeated items distort.

    A bootstrap repeats items, and a repeated item is its own nearest neighbour and inflates every kernel; leaving out
    does neither (delete-a-group jackknife, Kott 2001, Journal of Official Statistics 17): the variance is
    (G - 1) / G times the sum of squared deviations from the mean, the interval takes Student's t with G - 1 degrees
    of freedom.

    Args:
        statistic: Of the positions of the items that take part, int64, sorted.
        patients: Patient of each item, (N,).
        groups: Groups G; the number of patients where there are fewer.
        seed: Of the assignment of patients to groups.
        level: Coverage that is aimed at.

    Raises:
        RadnetError: Fewer than 2 patients.
    """
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    groups = min(groups, len(names))
    if groups < 2:
        raise RadnetError("An interval needs at least two patients", seen=len(names))
    group_of_patient = np.random.default_rng(seed).permutation(len(names)) % groups
    group = group_of_patient[patient]
    everything = np.arange(len(patient), dtype=np.int64)
    value = statistic(everything)
    left_out = np.array([statistic(everything[group != number]) for number in range(groups)])
    left_out = left_out[np.isfinite(left_out)]
    if len(left_out) < 2 or not np.isfinite(value):
        return Estimate(value, float("nan"), float("nan"))
    count = len(left_out)
    spread = np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())
    reach = float(stdtrit(count - 1, (1 + level) / 2) * spread)
    return Estimate(value, value - reach, value + reach)


def cka_interval(
    x: NDArray[Any],
    y: NDArray[Any],
    patients: NDArray[Any],
    *,
    kernel: Kernel = "linear",
    groups: int = 20,
    seed: int = 0,
) -> Estimate:
    """Unbiased CKA of two representations with its interval over patients; needs N x N memory, so give a sample.

    Args:
        x: (N, D_x), floating.
        y: (N, D_y), floating, of the same items.
        patients: Patient of each item, (N,).
        kernel: "linear" or "rbf".
        groups: Of the jackknife.
        seed: Of the jackknife.
    """
    same_items(checked(x, LEAST_BATCH), checked(y, LEAST_BATCH))
    k, m = (gram(np.asarray(features, dtype=np.float64), kernel) for features in (x, y))

    def of_rows(rows: NDArray[np.int64]) -> float:
        return cka_of_grams(k[np.ix_(rows, rows)], m[np.ix_(rows, rows)]) if len(rows) >= LEAST_BATCH else float("nan")

    return jackknife(of_rows, patients, groups=groups, seed=seed)
