import numpy as np
import pytest
from scipy import stats

from radnet.pvalues import (
    detectable_from_interval,
    detectable_from_t,
    holm,
    mixed_degrees,
    p_from_interval,
    p_from_t,
    t_reach,
)


def test_holm_against_the_definition() -> None:
    """The smallest level at which Holm's procedure rejects each hypothesis."""
    generator = np.random.default_rng(0)
    for size in (1, 2, 7, 20):
        p = generator.random(size)
        order = np.argsort(p)
        slow = [0.0] * size
        for place, index in enumerate(order):
            slow[index] = min(1, max((size - before) * p[order[before]] for before in range(place + 1)))
        assert holm(list(p)) == pytest.approx(slow)


def test_p_of_an_interval_is_that_of_its_normal_distribution() -> None:
    for value, error in ((0.1, 0.05), (-0.3, 0.1), (0.01, 1.0)):
        half = stats.norm.ppf(0.975) * error
        expected = 2 * stats.norm.sf(abs(value) / error)
        assert p_from_interval(value, value - half, value + half) == pytest.approx(expected)
    assert p_from_interval(0.0, -1, 1) == 1
    assert p_from_interval(0.2, 0.2, 0.2) == 0
    assert p_from_interval(0.0, 0.0, 0.0) == 1


def test_detectable_difference_is_found_four_times_in_five() -> None:
    error = 0.02
    half = stats.norm.ppf(0.975) * error
    difference = detectable_from_interval(-half, half)
    power = stats.norm.sf(stats.norm.ppf(0.975) - difference / error)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_degrees_lie_between_those_of_the_seeds_and_of_the_patients() -> None:
    assert mixed_degrees(1.0, 3, 40) == 2
    assert mixed_degrees(0.0, 3, 40) == 39
    assert mixed_degrees(0.5, 3, 40) == pytest.approx(1 / (0.25 + 0.5 / 39))
    assert mixed_degrees(0.5, 1, 0) == 1, "what cannot be seen counts as one degree, not as none"


def test_p_interval_and_power_of_an_error_are_those_of_the_t_distribution() -> None:
    for degrees in (1, 2.5, 39):
        t = stats.t(degrees)
        assert p_from_t(-0.3, 0.1, degrees) == pytest.approx(2 * t.sf(3))
        assert t_reach(0.1, degrees) == pytest.approx(0.1 * t.ppf(0.975))
        assert detectable_from_t(0.1, degrees) == pytest.approx(0.1 * (t.ppf(0.975) + t.ppf(0.8)))
    assert p_from_t(0.0, 0.0, 5) == 1
    assert p_from_t(0.1, 0.0, 5) == 0
