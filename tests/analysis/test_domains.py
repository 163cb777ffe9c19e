"""Domain boundary, MMD, Fréchet distance: against slow versions, and where the answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from radnet.analysis.domains import domain_boundary, generalisation_gap, mixing_entropy
from radnet.analysis.frechet import frechet_distance, frechet_limit
from radnet.analysis.mmd import mmd_squared, mmd_test
from radnet.errors import RadnetError

RNG = np.random.default_rng(2)


def patients_of(
    count: int, slices: int, d: int = 20, shift: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features of slices that resemble each other within a patient."""
    centre = RNG.normal(size=(count, d)) + shift
    people = np.repeat(np.arange(count), slices)
    return centre[people] + 0.5 * RNG.normal(size=(count * slices, d)), people


def test_one_domain_split_in_two_and_two_disjoint_ones() -> None:
    distances, aucs, entropies = [], [], []
    for seed in range(12):
        x, people = patients_of(80, 3)
        half = people < 40
        sides = x[half], x[~half], people[half], people[~half]
        boundary = domain_boundary(*sides, resamples=100, seed=seed)
        distances.append(boundary.a_distance.value)
        aucs.append(boundary.auc.value)
        entropies.append(mixing_entropy(*sides, k=10))
        assert boundary.auc.low < boundary.auc.value < boundary.auc.high
    assert np.mean(distances) < 0.35
    assert abs(np.mean(aucs) - 0.5) < 0.1
    assert np.mean(entropies) > 0.6  # slices come in threes, so ten neighbours are few patients
    (a, p), (b, q) = patients_of(30, 3), patients_of(30, 3, shift=6)
    apart = domain_boundary(a, b, p, q + 100, resamples=100)
    assert (apart.a_distance.value, apart.auc.value, apart.error) == (2, 1, 0)
    assert mixing_entropy(a, b, p, q + 100, k=10) < 0.2


def test_patients_of_both_sides_stay_in_one_fold_and_few_are_refused() -> None:
    x, people = patients_of(30, 4)
    same = domain_boundary(x[::2], x[1::2], people[::2], people[1::2], resamples=100)
    assert same.shared_patients == 30
    assert same.a_distance.value < 0.8  # a classifier that knew the patients would do no better, one that leaks would
    few = domain_boundary(x[:8], x[8:], people[:8], people[8:], resamples=100)
    assert few.folds == 2
    with pytest.raises(RadnetError, match="two patients of each side"):
        domain_boundary(x[:4], x[4:], people[:4], people[4:], resamples=100)
    constant = np.ones_like(x)
    flat = domain_boundary(constant[:60], constant[60:], people[:60], people[60:], resamples=100)
    assert flat.auc.value == pytest.approx(0.5, abs=0.1)
    with pytest.raises(RadnetError, match="NaN"):
        domain_boundary(np.full_like(x, np.nan), x, people, people)


def test_mmd_is_the_mean_over_pairs_and_its_test_holds() -> None:
    x = RNG.normal(size=(9, 3))
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1))
    first = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0], dtype=bool)
    a, b = np.flatnonzero(first), np.flatnonzero(~first)
    within = [np.mean([kernel[i, j] for i in side for j in side if i != j]) for side in (a, b)]
    expected = sum(within) - 2 * np.mean([kernel[i, j] for i in a for j in b])
    assert mmd_squared(kernel, first[None])[0] == pytest.approx(expected)
    p_values = []
    for seed in range(30):  # slices are alike within patients: a test that shuffled slices would reject nearly always
        (x, p), (y, q) = patients_of(8, 10), patients_of(8, 10)
        p_values.append(mmd_test(x, y, p, q, permutations=39, seed=seed).p_value)
    assert np.mean(np.array(p_values) <= 0.1) < 0.3
    assert 0.3 < np.mean(p_values) < 0.7
    (x, p), (y, q) = patients_of(8, 10), patients_of(8, 10, shift=2)
    assert mmd_test(x, y, p, q, permutations=99).p_value == 0.01
    with pytest.raises(RadnetError, match="two patients in each"):
        mmd_test(x, y, p * 0, q)


def test_frechet_distance_is_the_formulas_and_the_limit_less_biased() -> None:
    a, b = RNG.normal(size=(50, 6)), RNG.normal(size=(40, 6)) * 2 + 1
    ca, cb = np.cov(a.T), np.cov(b.T)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected)
    wide = frechet_distance(a[:5], b[:4])  # fewer items than dimensions
    assert np.isfinite(wide)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    found = [frechet_limit(*RNG.normal(size=(2, 200, 10)), components=None, seed=s) for s in range(6)]
    biased, corrected = (abs(np.mean([getattr(one, name) for one in found])) for name in ("biased", "corrected"))
    assert corrected < biased / 3
    assert frechet_limit(a, b).components == 5


def test_a_probe_that_loses_abroad() -> None:
    labels = RNG.choice(["head", "chest"], size=40)
    sign = np.where(labels == "head", 1.0, -1.0)[:, None]
    home, abroad = (RNG.normal(size=(40, 5)) * 0.3 for _ in range(2))
    home[:, :1] += 2 * sign
    abroad[:, :1] -= 2 * sign  # the same classes, turned round
    people = np.arange(40)
    gap = generalisation_gap(home, abroad, labels, labels, people, people + 100, resamples=100)
    assert (gap.at_home, gap.abroad, gap.gap.value) == (1, 0, 1)
    assert gap.classes == ("chest", "head")
    none = generalisation_gap(home, home + 0.01, labels, labels, people, people + 100, resamples=100)
    assert none.gap.value == pytest.approx(0, abs=0.05)
    with pytest.raises(RadnetError, match="two classes that both domains have"):
        generalisation_gap(home, abroad, labels, np.full(40, "unknown"), people, people)
    with pytest.raises(RadnetError, match="share"):
        generalisation_gap(home, abroad, labels, labels, people, people)


def test_home_and_abroad_are_means_over_the_same_classes() -> None:
    kinds = np.repeat(["abdomen", "chest", "head"], 40)
    centre = np.repeat([[0.5, 0.0], [-0.5, 0.0], [0.0, 8.0]], 40, axis=0)  # two alike, one far from both
    home, abroad = (centre + np.random.default_rng(seed).normal(size=(120, 2)) for seed in (0, 1))
    people = np.arange(120)
    elsewhere = np.where(kinds == "head", people, people + 1000)  # every head abroad is of a patient of home, too
    gap = generalisation_gap(home, abroad, kinds, kinds, people, elsewhere, resamples=100)
    assert gap.classes == ("abdomen", "chest")
    two = kinds != "head"
    alone = generalisation_gap(
        home[two], abroad[two], kinds[two], kinds[two], people[two], elsewhere[two], resamples=100
    )
    assert (gap.at_home, gap.abroad, gap.gap) == (alone.at_home, alone.abroad, alone.gap)
    assert abs(gap.gap.value) < 0.1
