"""Who knew what (the study's WKW): which models are right on an item, and whether that is more than chance makes of it.

Shape legend: M models, N items, B resamples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.arrays import Floats
from radnet.errors import UsageError
from radnet.transfer.statistics import expanded_tail, patient_draws

MOST_MODELS = 8
"""2^M groups must stay readable."""


@dataclass(frozen=True)
class Knowledge:
    """One group of models that were right together, all others wrong.

    Attributes:
        models: Positions of the models that were right; () where none was.
        count: Items.
        share: Of all items, and its 95 % interval over patients.
        low: Lower end of the interval.
        high: Upper end.
        expected: Share if the models were right independently of each other.
        ratio_low: Lower end of the interval of share / expected, both of the same resample.
        ratio_high: Upper end.
    """

    models: tuple[int, ...]
    count: int
    share: float
    low: float
    high: float
    expected: float
    ratio_low: float
    ratio_high: float


def patterns(correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which models were right on each item, as a number: model m adds 2^m. bool (M, N) -> int64 (N,)."""
    return np.asarray((1 << np.arange(len(correct), dtype=np.int64)) @ correct.astype(np.int64))


def expected_shares(accuracy: Floats) -> Floats:
    """Share of each pattern if the models were right independently of each other.

    The product of a_m for those who are right and 1 - a_m for those who are wrong, as in the reference study
    (arXiv 2306.17555).

    Args:
        accuracy: float64, (…, M).

    Returns:
        float64, (…, 2^M), in the order of `patterns`.
    """
    models = accuracy.shape[-1]
    right = (np.arange(1 << models)[:, None] >> np.arange(models)) & 1
    a = accuracy[..., None, :]
    return np.asarray(np.where(right == 1, a, 1 - a).prod(-1))


def who_knew_what(
    correct: NDArray[np.bool_], patients: NDArray[Any], *, resamples: int = 2000, seed: int = 0
) -> list[Knowledge]:
    """Counts of all 2^M groups of models, with intervals by patient bootstrap.

    The study draws sqrt(count) as error, which takes slices for independent; here whole patients are resampled, and
    the expectation is computed anew in each resample.

    Args:
        correct: Whether a model is right on an item, bool, (M, N).
        patients: Patient of each item, (N,).
        resamples: B.
        seed: Of the draws.

    Returns:
        One entry a group, from none to all; intervals are NaN with fewer than two patients.

    Raises:
        UsageError: No item, fewer than 2 or more than 8 models.
    """
    models, items = correct.shape
    if not 2 <= models <= MOST_MODELS or not items:
        raise UsageError(f"This needs 2 to {MOST_MODELS} models and one item", seen=correct.shape)
    code = patterns(correct)
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    by_pattern = np.zeros((len(names), 1 << models))
    np.add.at(by_pattern, (patient, code), 1)
    right = np.zeros((len(names), models))
    np.add.at(right, patient, correct.T.astype(np.float64))
    size = np.bincount(patient).astype(np.float64)
    share, expected = by_pattern.sum(0) / items, expected_shares(right.sum(0) / items)
    ends = np.full((4, 1 << models), np.nan)
    if len(names) > 1:
        draws = patient_draws(len(names), resamples=resamples, seed=seed).astype(np.float64)
        total = (draws @ size)[:, None]
        shares, chance = draws @ by_pattern / total, expected_shares(draws @ right / total)
        tail = expanded_tail(len(names))
        ends[:2] = np.quantile(shares, [tail, 1 - tail], axis=0)
        ratio = np.divide(shares, chance, out=np.ones_like(shares), where=chance > 0)
        ends[2:] = np.quantile(ratio, [tail, 1 - tail], axis=0)
    count = by_pattern.sum(0)
    return [
        Knowledge(
            tuple(m for m in range(models) if number >> m & 1),
            int(count[number]),
            float(share[number]),
            float(ends[0, number]),
            float(ends[1, number]),
            float(expected[number]),
            float(ends[2, number]),
            float(ends[3, number]),
        )
        for number in range(1 << models)
    ]


def known_by_one(correct: NDArray[np.bool_]) -> dict[int, NDArray[np.int64]]:
    """Items that exactly one model got right: model -> positions, int64. bool, (M, N)."""
    alone = correct.sum(0) == 1
    return {model: np.flatnonzero(alone & correct[model]).astype(np.int64) for model in range(len(correct))}
