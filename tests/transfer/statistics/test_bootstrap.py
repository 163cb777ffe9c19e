import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from radnet.errors import RadnetError
from radnet.transfer.metrics import METRICS
from radnet.transfer.statistics import (
    bootstrap_values,
    expanded_tail,
    holm,
    mean_of_units,
    paired_difference,
    paired_p_value,
    patient_bootstrap,
    patient_draws,
    percentile_interval,
    seed_patient_bootstrap,
)


def mean_of(values: np.ndarray):
    """Weighted mean as a statistic."""
    return lambda weight: weight @ values / weight.sum(1)


def clustered(rng: np.random.Generator, patients: int, *, alike: tuple[float, float] = (3.0, 1.0)):
    """Right and wrong answers of slices; patients differ in size (1 to 9 slices) and in how hard they are."""
    sizes = rng.integers(1, 10, size=patients)
    ease = rng.beta(*alike, size=patients)
    owner = np.repeat(np.arange(patients), sizes)
    return (rng.random(len(owner)) < ease[owner]).astype(float), owner


def test_interval_covers_the_truth_as_often_as_it_says_and_resampling_slices_does_not() -> None:
    rng, sets, truth = np.random.default_rng(20), 1000, 0.75
    by_patient = by_slice = 0
    for seed in range(sets):
        right, owner = clustered(rng, 40)
        interval = patient_bootstrap(mean_of(right), owner, resamples=600, seed=seed)
        by_patient += interval.low <= truth <= interval.high
        half = 1.96 * right.std() / np.sqrt(len(right))
        by_slice += abs(right.mean() - truth) <= half
    assert 0.93 <= by_patient / sets <= 0.97
    assert by_slice / sets < 0.90


def test_expansion_brings_the_interval_of_few_patients_closer_to_what_it_says() -> None:
    rng, sets, truth = np.random.default_rng(22), 1000, 0.75
    expanded = plain = 0
    for seed in range(sets):
        right, owner = clustered(rng, 10)
        values = bootstrap_values(mean_of(right), owner, resamples=600, seed=seed)
        ours = percentile_interval(right.mean(), values, patients=10)
        expanded += ours.low <= truth <= ours.high
        low, high = np.quantile(values, [0.025, 0.975])
        plain += low <= truth <= high
    assert plain / sets < 0.91
    assert plain / sets + 0.02 < expanded / sets <= 0.97


def test_paired_interval_covers_the_true_difference() -> None:
    rng, sets, truth = np.random.default_rng(21), 600, 0.1
    covered = 0
    for seed in range(sets):
        shared, owner = clustered(rng, 40)
        # The model repeats the reference's answers, mends 40 % of its errors: 0.75 -> 0.85.
        better = np.maximum(shared, rng.random(len(shared)) < 0.4)
        interval = paired_difference(mean_of(better), mean_of(shared), owner, resamples=600, seed=seed)
        covered += interval.low <= truth <= interval.high
    assert 0.93 <= covered / sets <= 0.97


def test_few_patients_get_wider_intervals_than_the_plain_percentile() -> None:
    assert expanded_tail(5) < expanded_tail(10) < expanded_tail(40) < expanded_tail(10_000) < 0.025
    assert expanded_tail(10_000) == pytest.approx(0.025, abs=1e-4)
    # Hesterberg 2015: t quantile with n - 1 degrees of freedom, widened by sqrt(n / (n - 1)).
    assert stats.norm.ppf(expanded_tail(10)) == pytest.approx(-stats.t.ppf(0.975, 9) * np.sqrt(10 / 9))


def test_agrees_with_scipy_when_every_patient_has_one_sample() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=80)
    ours = patient_bootstrap(mean_of(values), np.arange(80), resamples=20_000, seed=1)
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=20_000,
        method="percentile",
        confidence_level=1 - 2 * expanded_tail(80),
        rng=np.random.default_rng(2),
    )
    assert ours.value == pytest.approx(values.mean())
    spread = theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * spread)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * spread)


def test_slices_copied_within_a_patient_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(4).random(30)
    once = patient_bootstrap(mean_of(values), np.arange(30), seed=0)
    tenfold = patient_bootstrap(mean_of(np.repeat(values, 10)), np.repeat(np.arange(30), 10), seed=0)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_same_seed_same_interval_whatever_the_order_of_items_and_names() -> None:
    right, owner = clustered(np.random.default_rng(5), 25)
    first = patient_bootstrap(mean_of(right), owner, seed=9)
    names = np.array([f"patient{number:03d}" for number in owner])
    turned = np.random.default_rng(6).permutation(len(right))
    again = patient_bootstrap(mean_of(right[turned]), names[turned], seed=9)
    assert (again.low, again.high) == pytest.approx((first.low, first.high))
    assert patient_bootstrap(mean_of(right), owner, seed=10) != first


def test_every_resample_draws_as_many_patients_as_there_are() -> None:
    draws = patient_draws(13, resamples=500, seed=0)
    assert draws.shape == (500, 13)
    assert (draws.sum(1) == 13).all()
    assert draws.mean(0) == pytest.approx(np.ones(13), abs=0.2)
    # Multinomial: the count of one patient has variance (P - 1) / P.
    assert draws.var(0).mean() == pytest.approx(12 / 13, abs=0.05)


def test_blocks_do_not_change_the_values() -> None:
    right, owner = clustered(np.random.default_rng(7), 1500)
    values = bootstrap_values(mean_of(right), owner, resamples=200, seed=3)
    draws = patient_draws(1500, resamples=200, seed=3)[:, owner].astype(float)
    assert values == pytest.approx(mean_of(right)(draws))


def test_rare_class_widens_the_interval_instead_of_vanishing() -> None:
    target = np.repeat([0, 1, 2], [20, 19, 1])
    score = np.eye(3)[np.where(target == 2, 0, target)]
    metric = METRICS["balanced_accuracy"]
    interval = patient_bootstrap(metric.statistic(target, score), np.arange(40), seed=0)
    assert interval.value == pytest.approx(2 / 3)
    assert interval.undefined == 0
    assert interval.high == 1, "without the one patient of class 2 everything is right"


def test_undefined_resamples_are_left_out_and_counted() -> None:
    target = np.repeat([0, 1], [18, 2])
    score = np.random.default_rng(0).random((20, 2))
    interval = patient_bootstrap(METRICS["macro_auroc"].statistic(target, score), np.arange(20), seed=0)
    # Neither of the two patients is drawn with probability (18 / 20) ** 20.
    assert interval.undefined == pytest.approx(0.9**20, abs=0.02)


def test_interval_is_refused_where_it_would_be_a_lie() -> None:
    with pytest.raises(RadnetError, match="at least two test patients"):
        patient_bootstrap(mean_of(np.ones(5)), np.zeros(5), seed=0)
    with pytest.raises(RadnetError, match="one class only"):
        patient_bootstrap(
            METRICS["macro_auroc"].statistic(np.zeros(5, dtype=int), np.ones((5, 2))), np.arange(5), seed=0
        )
    with pytest.raises(RadnetError, match="more than half"):
        # Defined only when each of three patients is drawn once: 6 of 27 resamples.
        patient_bootstrap(lambda weight: np.where((weight == 1).all(1), 1.0, np.nan), np.arange(3), seed=0)


def test_pairing_narrows_the_interval_of_models_that_err_alike() -> None:
    rng = np.random.default_rng(8)
    right, owner = clustered(rng, 60)
    other = np.where(rng.random(len(right)) < 0.05, 1 - right, right)
    paired = paired_difference(mean_of(right), mean_of(other), owner, seed=0)
    single = patient_bootstrap(mean_of(right), owner, seed=0)
    assert paired.value == pytest.approx(right.mean() - other.mean())
    assert paired.high - paired.low < 0.6 * (single.high - single.low)
    same = paired_difference(mean_of(right), mean_of(right), owner, seed=0)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_seeds_and_patients_are_drawn_as_a_slow_loop_draws_them() -> None:
    rng = np.random.default_rng(40)
    owner = np.repeat(np.arange(8), 3)
    answers = rng.random((3, len(owner)))
    found = seed_patient_bootstrap([mean_of(row) for row in answers], owner, resamples=200, seed=5)
    draws = patient_draws(8, resamples=200, seed=5)
    chosen = np.random.default_rng([5, 1]).integers(3, size=(200, 2))
    values = []
    for counts, seeds in zip(draws, chosen, strict=True):
        picked = [item for item in range(len(owner)) for _ in range(counts[owner[item]])]
        values.append(np.mean([answers[number, picked].mean() for number in seeds]))
    expected = percentile_interval(answers.mean(), np.array(values), patients=8)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_seeds_that_agree_add_nothing_and_seeds_that_differ_widen_the_interval() -> None:
    right, owner = clustered(np.random.default_rng(41), 30)
    alone = patient_bootstrap(mean_of(right), owner, resamples=500, seed=0)
    same = seed_patient_bootstrap([mean_of(right)] * 3, owner, resamples=500, seed=0)
    assert (same.value, same.low, same.high) == pytest.approx((alone.value, alone.low, alone.high))
    spread = [mean_of(right + shift) for shift in (-0.2, 0.0, 0.2)]
    wide = seed_patient_bootstrap(spread, owner, resamples=500, seed=0)
    assert wide.value == pytest.approx(alone.value)
    assert wide.high - wide.low > 1.3 * (alone.high - alone.low)
    with pytest.raises(ValueError, match="seeds"):
        seed_patient_bootstrap([mean_of(right)], owner, resamples=500, seed=0)


def test_the_variance_of_the_mean_over_three_seeds_is_without_bias() -> None:
    rng, owner, sets = np.random.default_rng(42), np.arange(2), 400
    variances = []
    for _ in range(sets):
        effects = rng.normal(size=3)
        statistics = [lambda weight, effect=effect: np.full(len(weight), effect) for effect in effects]
        draws = np.random.default_rng([0, 1]).integers(3, size=(300, 2))
        drawn = effects[draws].mean(axis=1)
        interval = seed_patient_bootstrap(statistics, owner, resamples=300, seed=0)
        expected = percentile_interval(effects.mean(), drawn, patients=2)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
        variances.append(drawn.var())
    assert np.mean(variances) == pytest.approx(1 / 3, rel=0.15)


def test_randomisation_p_is_uniform_under_the_null_and_small_for_a_real_difference() -> None:
    rng = np.random.default_rng(9)
    p_values = []
    for seed in range(300):
        owner = np.repeat(np.arange(25), 4)
        # Continuous outcomes: counts tie so often that p would be conservative, not uniform.
        shared = rng.normal(size=25)[owner]
        two = [shared + rng.normal(size=25)[owner] + rng.normal(size=100) for _ in range(2)]
        p_values.append(paired_p_value(mean_of(np.concatenate(two)), owner, resamples=300, seed=seed))
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.08
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)
    apart = np.concatenate([np.ones(100), np.zeros(100)])
    assert paired_p_value(mean_of(apart), owner, resamples=999, seed=0) == pytest.approx(1 / 1000, abs=2e-3)
    assert paired_p_value(mean_of(np.ones(200)), owner, resamples=99, seed=0) == 1


def test_holm_on_a_worked_example() -> None:
    # 0.005 * 4, then 0.01 * 3, then 0.03 * 2 = 0.06, then max(0.06, 0.04 * 1).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.9]) == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_equals_its_definition(p_values: list[float]) -> None:
    """Holm 1979: the i-th smallest is the largest of p_j (m - j + 1) over j <= i, at most 1."""
    ordered, count = sorted(p_values), len(p_values)
    slow = {
        value: min(1.0, max(ordered[j] * (count - j) for j in range(place + 1))) for place, value in enumerate(ordered)
    }
    assert holm(p_values) == pytest.approx([slow[value] for value in p_values])


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [float("nan")]])
def test_holm_refuses_what_is_no_probability(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="p values"):
        holm(p_values)


@pytest.mark.parametrize("name", METRICS)
def test_two_thousand_resamples_of_five_thousand_slices_are_quick(name: str) -> None:
    rng = np.random.default_rng(0)
    target, owner = rng.integers(20, size=5000), rng.integers(200, size=5000)
    score = rng.random((5000, 20))
    started_s = time.process_time()
    patient_bootstrap(METRICS[name].statistic(target, score), owner, seed=0)
    assert time.process_time() - started_s < 3, "about 0.3 s on one idle core; a loaded machine is allowed ten times"


def test_the_mean_over_volumes_leaves_out_those_without_a_value() -> None:
    dice = np.array([0.5, 0.9, np.nan, 0.7])
    statistic = mean_of_units(dice)
    assert statistic(np.array([[1.0, 1, 1, 1], [0, 2, 5, 1], [0, 0, 3, 0]])) == pytest.approx(
        [0.7, 2.5 / 3, np.nan], nan_ok=True
    )
    assert patient_bootstrap(statistic, np.arange(4), resamples=200, seed=0).value == pytest.approx(0.7)
