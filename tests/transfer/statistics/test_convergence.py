import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from radnet.errors import UsageError
from radnet.transfer.statistics import flat_since, within_reach


def slow_flat_since(values: np.ndarray, segment: int = 5, sigmas: float = 3.0) -> int | None:
    """Window by window from the end, with scipy's regression."""
    found = None
    for start in range(len(values) - segment, -1, -1):
        line = stats.linregress(np.arange(segment), values[start : start + segment])
        if abs(line.slope) >= sigmas * line.stderr and abs(line.slope) > 1e-12 * np.abs(values).max():
            break
        found = start
    return found


def rising(epochs: int = 60, *, noise: float = 0.002, seed: int = 0) -> np.ndarray:
    """A saturating curve with a little noise."""
    return 0.9 - 0.5 * np.exp(-np.arange(epochs) / 6) + noise * np.random.default_rng(seed).normal(size=epochs)


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_a_slow_regression_window_by_window(seed: int) -> None:
    curve = rising(seed=seed, noise=0.01 * (seed % 3))
    assert flat_since(curve) == slow_flat_since(curve)


def test_a_curve_that_still_rises_has_not_converged_and_a_flat_one_always_had() -> None:
    assert flat_since(np.arange(20) / 20) is None
    assert flat_since(np.full(20, 0.7)) == 0
    assert within_reach(np.full(20, 0.7)) == 0
    plateau = np.concatenate([np.linspace(0, 0.8, 11), np.full(20, 0.8)])
    assert flat_since(plateau) == 9, "the window of epochs 8 to 12 still leans; the next, 9 to 13, is within 3 sigma"
    assert within_reach(plateau) == 10


def test_one_lucky_epoch_does_not_count_and_a_fall_later_does() -> None:
    curve = np.concatenate([np.linspace(0.5, 0.7, 10), [0.9], np.linspace(0.71, 0.89, 10), np.full(10, 0.9)])
    assert within_reach(curve) == 21
    curve[25] = 0.6
    assert within_reach(curve) == 26
    curve[-1] = 0.6
    assert within_reach(curve) is None


def test_low_plateau_is_flat_but_not_within_reach() -> None:
    curve = np.concatenate([np.full(20, 0.5), np.linspace(0.5, 0.9, 10), np.full(20, 0.9)])
    assert within_reach(curve) == 29
    late = flat_since(curve)
    assert late is not None
    assert late > 20


def test_tolerance_is_a_share_of_the_way() -> None:
    curve = 1 - 0.5 ** np.arange(40)
    # 1 % of the way is missing after log2(100) = 6.6 halvings.
    assert within_reach(curve, tolerance=0.01) == 7
    assert within_reach(curve, tolerance=0.3) == 2


@pytest.mark.parametrize("read", [flat_since, within_reach])
def test_curves_that_say_nothing_are_refused(read) -> None:
    with pytest.raises(UsageError, match="at least 5 epochs"):
        read([0.1, 0.2])
    with pytest.raises(UsageError, match="not finite"):
        read([0.1, 0.2, float("nan"), 0.2, 0.2, 0.2])
    with pytest.raises(UsageError, match="three epochs"):
        read([0.1] * 9, segment=2)
    with pytest.raises(UsageError, match="share"):
        within_reach([0.1] * 9, tolerance=1.0)


def test_the_reference_study_s_own_curves_can_be_read(shared: Path) -> None:
    curves: dict[tuple[str, ...], list[float]] = {}
    with (shared / "paper" / "convergence.csv").open() as file:
        for row in csv.DictReader(file):
            if row["task"] == "R" and row["metric"] == "acc":
                name = tuple(row[key] for key in ("experiment", "pretraining", "variant", "repeat"))
                curves.setdefault(name, []).append(float(row["value"]))
    assert len(curves) >= 8
    for curve in curves.values():
        flat, near = flat_since(curve), within_reach(curve)
        assert flat == slow_flat_since(np.asarray(curve))
        assert near is None or 0 <= near < len(curve)
