import numpy as np
import pytest
from scipy import stats

from radnet.convergence import settled_epoch, study_convergence


def slow_study(values: list[float], segment: int = 5) -> int | None:
    """The study's rule with scipy's regression: back from the end, piece by piece, until one is not flat."""

    def flat(start: int, stop: int) -> bool:
        fit = stats.linregress(range(start, stop), values[start:stop])
        return bool(abs(fit.slope) < 3 * fit.stderr)

    count = len(values)
    if not flat(count - segment, count):
        return None
    back = 1
    while back <= count - segment and flat(count - segment - back, count - 1 - back):
        back += 1
    return count - segment - back + 1


def test_study_rule_against_a_slow_reference() -> None:
    generator = np.random.default_rng(0)
    found = set()
    for case in range(60):
        curve = 1 - np.exp(-np.arange(40) / (2 + case / 4)) + generator.normal(0, 0.002 * (1 + case % 5), 40)
        answer = study_convergence(list(curve))
        assert answer == slow_study(list(curve))
        found.add(answer)
    assert len(found) > 10
    assert None in found


def test_rising_line_never_converges_and_a_constant_one_has_from_the_start() -> None:
    assert study_convergence(list(np.arange(30.0))) is None
    assert study_convergence([0.5] * 30) == 0
    assert settled_epoch([0.5] * 30) == 0


def test_settled_curve_does_not_leave_again() -> None:
    plateau = [0.0] + [0.8] * 15 + [0.2] + [1.0] * 14
    assert settled_epoch(plateau) == 17
    assert settled_epoch([0.0, 0.5, 0.9, 0.99, *[1.0] * 10]) == 3
    noisy = [0.0, 0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 0.9]
    assert settled_epoch(noisy) <= 2


@pytest.mark.parametrize("values", [[], [1.0] * 4, [1.0, float("nan"), 1, 1, 1]])
def test_too_short_or_broken_curves_are_refused(values: list[float]) -> None:
    for rule in (study_convergence, settled_epoch):
        with pytest.raises(ValueError, match="finite values"):
            rule(values)
