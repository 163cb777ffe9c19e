import numpy as np
import pytest
from scipy import stats

from radnet.errors import RadnetError, UsageError
from radnet.transfer.metrics import METRICS
from radnet.transfer.statistics import holm, mean_of_units, paired_difference, paired_p_value, patient_bootstrap
from radnet.transfer.statistics.comparisons import Contest, compare_family, smallest_detectable


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


def contest(seed: int, better: float) -> Contest:
    rng = np.random.default_rng(seed)
    target = np.arange(120) % 3
    own, reference = (rng.random((120, 3)) + lift * np.eye(3)[target] for lift in (0.5 + better, 0.5))
    return Contest("balanced_accuracy", target, own, reference, np.arange(120) // 3)


def test_a_family_is_corrected_together_and_every_part_is_what_it_is_alone() -> None:
    contests = {"clear": contest(0, 1.0), "none": contest(1, 0.0), "some": contest(2, 0.3)}
    found = compare_family("CT tasks", contests, resamples=300, swaps=400, seed=3)
    assert list(found) == list(contests)
    assert [row.corrected for row in found.values()] == holm([row.p_value for row in found.values()])
    assert {row.comparisons for row in found.values()} == {3}
    assert found["clear"].corrected < 0.05 < found["none"].corrected
    one, metric = contests["some"], METRICS["balanced_accuracy"]
    own, reference = metric.statistic(one.target, one.own), metric.statistic(one.target, one.reference)
    assert found["some"].difference == paired_difference(own, reference, one.patients, resamples=300, seed=3)
    stacked = metric.statistic(np.tile(one.target, 2), np.concatenate([one.own, one.reference]))
    assert found["some"].p_value == paired_p_value(stacked, one.patients, resamples=400, seed=3)
    with pytest.raises(UsageError, match="no comparisons"):
        compare_family("empty", {})


def test_the_mean_over_volumes_leaves_out_those_without_a_value() -> None:
    dice = np.array([0.5, 0.9, np.nan, 0.7])
    statistic = mean_of_units(dice)
    assert statistic(np.array([[1.0, 1, 1, 1], [0, 2, 5, 1], [0, 0, 3, 0]])) == pytest.approx(
        [0.7, 2.5 / 3, np.nan], nan_ok=True
    )
    assert patient_bootstrap(statistic, np.arange(4), resamples=200, seed=0).value == pytest.approx(0.7)
