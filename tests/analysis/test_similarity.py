"""CKA, Procrustes and mutual neighbours against textbook versions, and what must not change them."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from radnet.analysis.arrays import median_squared_distance
from radnet.analysis.significance import cka_interval, cka_permutation_test, jackknife, one_item_a_patient
from radnet.analysis.similarity import (
    linear_cka,
    linear_cka_matrix,
    minibatch_cka,
    mutual_knn,
    procrustes_similarity,
    rbf_cka,
    unbiased_hsic,
)
from radnet.errors import RadnetError

Floats = NDArray[np.float64]
RNG = np.random.default_rng(0)


def textbook_cka(k: Floats, m: Floats) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with HSIC = tr(K H L H), as it is written."""
    h = np.eye(len(k)) - 1 / len(k)

    def hsic(a: Floats, b: Floats) -> float:
        return float(np.trace(a @ h @ b @ h))

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def two(items: int = 60, d: int = 12, e: int = 7) -> tuple[Floats, Floats]:
    x = RNG.normal(size=(items, d)) + 5
    return x, x[:, :e] + 0.5 * RNG.normal(size=(items, e)) - 3


def rotation(size: int) -> Floats:
    return np.linalg.qr(RNG.normal(size=(size, size)))[0]


def test_linear_cka_is_the_textbooks_over_all_layers() -> None:
    xs = [RNG.normal(size=(9000, d)).astype(np.float32) + 10 for d in (5, 8)]
    ys = [xs[0][:, :4] + RNG.normal(size=(9000, 4)).astype(np.float32), xs[1] ** 2]
    found = linear_cka_matrix(xs, ys)
    few = [[layer[:400] for layer in side] for side in (xs, ys)]
    expected = [[textbook_cka(*(f.astype(float) @ f.T.astype(float) for f in (x, y))) for y in few[1]] for x in few[0]]
    assert np.allclose(linear_cka_matrix(*few), expected, atol=1e-6)
    centred = [[layer - layer.mean(0) for layer in side] for side in (xs, ys)]
    norm = np.linalg.norm
    whole = [[norm(x.T @ y) ** 2 / norm(x.T @ x) / norm(y.T @ y) for y in centred[1]] for x in centred[0]]
    assert np.allclose(found, whole, atol=1e-5)  # more rows than a block


def test_rbf_cka_is_the_textbooks() -> None:
    x, y = two()
    kernels = []
    for f in (x, y):
        d = ((f[:, None] - f[None]) ** 2).sum(-1)
        kernels.append(np.exp(-d / (2 * np.median(d[np.triu_indices(len(f), 1)]))))
    assert rbf_cka(x, y) == pytest.approx(textbook_cka(*kernels), abs=1e-9)


def test_unbiased_hsic_is_the_mean_over_all_quadruples() -> None:
    k, m = (np.asarray((a := RNG.normal(size=(6, 6))) + a.T) for _ in range(2))
    terms = [k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q] for i, j, q, r in permutations(range(6), 4)]
    assert unbiased_hsic([k, m])[0, 1] == pytest.approx(np.mean(terms))


def test_minibatches_agree_with_the_whole_and_are_not_fooled_by_few_items() -> None:
    x = RNG.normal(size=(600, 10))
    y = x @ RNG.normal(size=(10, 6)) + 0.3 * RNG.normal(size=(600, 6))
    for kernel in ("linear", "rbf"):
        whole, parts = (float(minibatch_cka([x], [y], kernel=kernel, batch=b)[0, 0]) for b in (600, 100))
        assert parts == pytest.approx(whole, abs=0.03)
    a, b = RNG.normal(size=(64, 200)), RNG.normal(size=(64, 200))
    assert linear_cka(a, b) > 0.6  # nothing in common, and yet
    assert abs(float(minibatch_cka([a], [b], batch=32)[0, 0])) < 0.1
    assert minibatch_cka([a, x[:64]], [b], batch=16).shape == (2, 1)


@pytest.mark.parametrize(
    "measure",
    [linear_cka, rbf_cka, procrustes_similarity, lambda x, y: float(minibatch_cka([x], [y], batch=20)[0, 0])],
    ids=["linear", "rbf", "procrustes", "minibatch"],
)
def test_rotation_scale_and_place_change_nothing(measure: Callable[[Floats, Floats], float]) -> None:
    x, y = two()
    value = measure(x, y)
    assert measure(3 * x @ rotation(x.shape[1]) + 7, y) == pytest.approx(value, abs=1e-6)
    assert measure(y, x) == pytest.approx(value, abs=1e-9)
    assert measure(x, -2 * x @ rotation(x.shape[1])) == pytest.approx(1, abs=1e-6)
    assert 0 < value < 1


def test_procrustes_is_what_the_best_rotation_leaves() -> None:
    x, y = ((f - f.mean(0)) / np.linalg.norm(f - f.mean(0)) for f in two(e=12))
    u, _, v = np.linalg.svd(x.T @ y)
    assert 2 - 2 * procrustes_similarity(x, y) == pytest.approx(np.linalg.norm(x @ (u @ v) - y) ** 2)


def test_mutual_neighbours() -> None:
    x = RNG.normal(size=(50, 8)).astype(np.float32)
    assert mutual_knn(x, 2 * x, 5) == 1
    other = RNG.normal(size=(50, 8)).astype(np.float32)
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (x, other)]
    near = [np.argsort(-(u @ u.T) + 9 * np.eye(50), axis=1)[:, :5] for u in unit]
    assert mutual_knn(x, other, 5) == pytest.approx(
        np.mean([len(set(a) & set(b)) / 5 for a, b in zip(*near, strict=True)])
    )
    assert mutual_knn(x[:3], other[:3], 20) == 1  # with three items everybody is everybody's neighbour


def test_constant_and_broken_features() -> None:
    x, y = two()
    constant = np.ones_like(x)
    assert np.isnan([linear_cka(x, constant), rbf_cka(x, constant), procrustes_similarity(constant, y)]).all()
    assert np.isnan(minibatch_cka([x, constant], [y], batch=20)[1]).all()
    broken = x.copy()
    broken[3, 1] = np.nan
    with pytest.raises(RadnetError, match="1 of 60 items"):
        linear_cka(broken, y)
    with pytest.raises(ValueError, match="same items"):
        minibatch_cka([x], [y[:-1]])
    assert median_squared_distance(constant) == 0


def test_permutations_tell_chance_from_likeness() -> None:
    patients = np.repeat(np.arange(40), 3)
    x = RNG.normal(size=(120, 10))
    alike = cka_permutation_test(x, x + 0.3 * RNG.normal(size=x.shape), patients, permutations=99)
    assert alike.p_value == 0.01
    assert alike.value > alike.null_high > alike.null_mean
    none = [
        cka_permutation_test(x, RNG.normal(size=x.shape), patients, permutations=49, seed=s).p_value for s in range(20)
    ]
    assert 0.2 < np.mean(none) < 0.8
    with pytest.raises(RadnetError, match="4 patients"):
        cka_permutation_test(x, x, np.zeros(120), permutations=9)
    chosen = one_item_a_patient(patients)
    assert sorted(patients[chosen]) == list(range(40))


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = RNG.normal(size=30)
    found = jackknife(lambda rows: float(values[rows].mean()), np.arange(30), groups=30)
    reach = 2.0452 * values.std(ddof=1) / np.sqrt(30)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach), rel=1e-3)
    x, y = two()
    interval = cka_interval(x, y, np.arange(60) // 2)
    assert interval.low < interval.value < interval.high
    with pytest.raises(RadnetError, match="two patients"):
        cka_interval(x, y, np.zeros(60))
