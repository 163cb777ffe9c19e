import numpy as np
import pytest
from scipy import stats

from radnet.errors import RadnetError, UsageError
from radnet.transfer.statistics import smallest_detectable


def mean_of(values: np.ndarray):
    """Weighted mean as a statistic."""
    return lambda weight: weight @ values / weight.sum(1)


@pytest.mark.parametrize("comparisons", [1, 5])
def test_a_difference_of_the_stated_size_is_found_as_often_as_stated(comparisons: int) -> None:
    rng, sets, patients = np.random.default_rng(60), 8000, 40
    # The size that would be stated on average, from data without any difference.
    sizes = [
        smallest_detectable(
            mean_of(rng.normal(size=patients)), np.arange(patients), comparisons=comparisons, resamples=300, seed=seed
        )
        for seed in range(500)
    ]
    truth = float(np.mean(sizes))
    values = truth + rng.normal(size=(sets, patients))
    # The test that is planned for: a paired t test at the strictest level of the family.
    error = values.std(1, ddof=1) / np.sqrt(patients)
    found = np.abs(values.mean(1)) > stats.t.ppf(1 - 0.05 / (2 * comparisons), patients - 1) * error
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def test_more_patients_see_smaller_differences_and_more_comparisons_larger_ones() -> None:
    values = np.random.default_rng(61).normal(size=160)
    few = smallest_detectable(mean_of(values[:40]), np.arange(40), seed=0)
    many = smallest_detectable(mean_of(values), np.arange(160), seed=0)
    assert many == pytest.approx(few / 2, rel=0.2)
    assert smallest_detectable(mean_of(values), np.arange(160), comparisons=26, seed=0) > 1.25 * many
    assert smallest_detectable(mean_of(values), np.arange(160), power=0.9, seed=0) > many
    with pytest.raises(UsageError, match="Power"):
        smallest_detectable(mean_of(values), np.arange(160), power=0.2, seed=0)
    with pytest.raises(RadnetError, match="at least two test patients"):
        smallest_detectable(mean_of(values), np.zeros(160), seed=0)
