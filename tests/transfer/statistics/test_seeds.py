"""The nested interval on data whose truth is known: normal effects of patients, seeds, and their meeting."""

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.transfer.statistics import nested_bootstrap, patient_bootstrap

PATIENTS = np.arange(30)


def mean_of(values: np.ndarray):
    """Weighted mean as a statistic."""
    return lambda weight: weight @ values / weight.sum(1)


def trainings(rng: np.random.Generator, spread: dict[str, float], outer: int, inner: int) -> list[list[np.ndarray]]:
    """Values of each patient under each training; the true mean over patients and seeds is 0."""
    patient = spread["patient"] * rng.normal(size=30)
    found = []
    for _ in range(outer):
        pretraining = spread["pretraining"] * rng.normal()
        found.append(
            [
                patient + pretraining + spread["finetuning"] * rng.normal() + spread["meeting"] * rng.normal(size=30)
                for _ in range(inner)
            ]
        )
    return found


@pytest.mark.parametrize(
    ("spread", "outer", "inner"),
    [
        ({"patient": 1, "pretraining": 0, "finetuning": 0, "meeting": 1}, 3, 2),
        ({"patient": 0.5, "pretraining": 1, "finetuning": 0.5, "meeting": 0.5}, 5, 2),
        ({"patient": 1, "pretraining": 0, "finetuning": 0.3, "meeting": 0.3}, 1, 5),
        ({"patient": 0.5, "pretraining": 1, "finetuning": 0, "meeting": 0.5}, 3, 1),
        ({"patient": 1, "pretraining": 0.3, "finetuning": 0, "meeting": 0.3}, 3, 1),
    ],
    ids=["patients dominate", "seeds dominate", "one pretraining", "three seeds dominate", "three seeds and patients"],
)
def test_interval_covers_the_truth_as_often_as_it_says(spread: dict[str, float], outer: int, inner: int) -> None:
    rng, sets, covered = np.random.default_rng(50), 600, 0
    for seed in range(sets):
        found = trainings(rng, spread, outer, inner)
        statistics = [[mean_of(values) for values in group] for group in found]
        interval = nested_bootstrap(statistics, PATIENTS, resamples=200, seed=seed).interval
        covered += interval.low <= 0 <= interval.high
    assert 0.93 <= covered / sets <= 0.97


def test_seeds_that_agree_leave_the_patients_alone() -> None:
    values = np.random.default_rng(51).normal(size=30)
    same = nested_bootstrap([[mean_of(values)] * 2] * 3, PATIENTS, seed=0)
    alone = patient_bootstrap(mean_of(values), PATIENTS, seed=0)
    assert same.seed_error == 0
    assert same.level == "pretraining"
    assert same.interval.value == pytest.approx(alone.value)
    assert same.interval.high - same.interval.low == pytest.approx(alone.high - alone.low, rel=0.08)


def test_few_seeds_that_differ_get_their_own_degrees_of_freedom() -> None:
    values = np.random.default_rng(52).normal(size=30) * 0.01
    apart = nested_bootstrap([[mean_of(values + shift)] for shift in (-0.3, 0.1, 0.2)], PATIENTS, seed=0)
    assert apart.degrees == pytest.approx(2, abs=0.05)
    # Mean +- t(2) times the standard error of three seeds.
    half = 4.303 * np.std([-0.3, 0.1, 0.2], ddof=1) / np.sqrt(3)
    assert apart.interval.high - apart.interval.value == pytest.approx(half, rel=0.1)
    cut = nested_bootstrap(
        [[mean_of(values + shift)] for shift in (0.4, 0.8, 0.9)], PATIENTS, seed=0, bounds=(0, 1)
    ).interval
    assert cut.high == 1
    one = nested_bootstrap([[mean_of(values), mean_of(values + 0.2)]], PATIENTS, seed=0)
    assert one.level == "finetuning"


def test_one_training_says_nothing_about_seeds() -> None:
    with pytest.raises(UsageError, match="one training"):
        nested_bootstrap([[mean_of(np.ones(30))]], PATIENTS, seed=0)
