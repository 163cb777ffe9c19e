"""Spectral measures, maps and who knew what, where the answer is known."""

import base64
import json

import numpy as np
import pytest

from radnet.analysis.maps import principal_components
from radnet.analysis.report.map_page import map_page
from radnet.analysis.report.sets import choose_items
from radnet.analysis.spectrum import (
    alignment,
    alpha_req,
    covariance_eigenvalues,
    lidar,
    neighbouring_pairs,
    participation_ratio,
    rankme,
    uniformity,
)
from radnet.analysis.wkw import expected_shares, known_by_one, patterns, who_knew_what
from radnet.errors import RadnetError, UsageError

RNG = np.random.default_rng(3)


def test_ranks_count_directions() -> None:
    basis = np.linalg.qr(RNG.normal(size=(30, 30)))[0]
    flat = RNG.normal(size=(4000, 5)) @ basis[:5]
    eigenvalues = covariance_eigenvalues(flat)
    assert np.allclose(eigenvalues, np.linalg.eigvalsh(np.cov(flat.T))[::-1], atol=1e-9)
    assert covariance_eigenvalues(flat[:6]).shape == (6,)
    assert participation_ratio(eigenvalues) == pytest.approx(5, rel=0.02)
    assert rankme(flat) == pytest.approx(5, rel=0.02)
    assert participation_ratio(np.zeros(3)) == 0
    assert participation_ratio(covariance_eigenvalues(np.ones((5, 3)))) == 0


def test_alpha_is_the_exponent_of_the_decay() -> None:
    for exponent in (0.7, 1.5):
        assert alpha_req(np.arange(1, 200.0) ** -exponent) == pytest.approx(exponent)
    assert alpha_req(np.arange(1, 9.0) ** -2) == pytest.approx(2)
    assert np.isnan(alpha_req(np.array([1.0, 0, 0])))


def test_lidar_counts_directions_that_tell_objects_apart() -> None:
    centre = np.zeros((60, 20))
    centre[:, :4] = RNG.normal(size=(60, 4)) * 5
    objects = np.repeat(np.arange(60), 5)
    features = centre[objects] + RNG.normal(size=(300, 20)) * 0.1
    assert lidar(features, objects) == pytest.approx(4, rel=0.1)
    within = sum(np.cov(features[objects == o].T) for o in range(60)) / 60
    within += 1e-4 * np.trace(within) / 20 * np.eye(20)
    means = np.array([features[objects == o].mean(0) for o in range(60)])
    values = np.linalg.eigvals(np.linalg.solve(within, np.cov(means.T))).real
    share = values / values.sum() + 1e-7
    assert lidar(features, objects) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-3)
    with pytest.raises(RadnetError, match="two objects"):
        lidar(features, np.arange(300))


def test_sphere() -> None:
    u = RNG.normal(size=(50, 3))
    unit = u / np.linalg.norm(u, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(50) for j in range(i)]
    expected = np.log(np.mean([np.exp(-2 * ((unit[i] - unit[j]) ** 2).sum()) for i, j in pairs]))
    assert uniformity(u) == pytest.approx(expected, abs=1e-5)
    assert uniformity(np.ones((9, 3))) == pytest.approx(0, abs=1e-6)
    series, place = np.array(["b", "a", "b", "a", "c"]), np.array([2, 1, 1, 0, 0])
    found = neighbouring_pairs(series, place)
    assert {tuple(pair) for pair in found} == {(3, 1), (2, 0)}
    assert alignment(u[:5], found) == pytest.approx(
        np.mean([((unit[i] - unit[j]) ** 2).sum() for i, j in found]), abs=1e-6
    )
    assert np.isnan(alignment(u, found[:0]))


@pytest.mark.parametrize("shape", [(40, 6), (5, 12)])
def test_principal_components_are_those_of_the_svd(shape: tuple[int, int]) -> None:
    x = RNG.normal(size=shape) * np.arange(1, shape[1] + 1) + 3
    found = principal_components(x, 2)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    assert np.allclose(np.abs(found.points), np.abs(u[:, :2] * s[:2]), atol=1e-4)
    assert np.allclose(found.explained, s[:2] ** 2 / (s**2).sum())
    assert not principal_components(np.ones((4, 3))).points.any()


def test_the_map_page_holds_its_points() -> None:
    points = np.array([[0, 0], [2, 1], [1, 1]], dtype=np.float32)
    page = map_page(
        {("m", "PCA"): points}, {"set": np.array(["</script>", "b", "b"])}, [b"jpeg"], per_sheet=4, columns=2
    )
    assert page.count("</script>") == 2
    start = page.index(">", page.index('id="data"')) + 1
    data = json.loads(page[start : page.index("</script>", start)])
    x, y = (np.frombuffer(base64.b64decode(data["maps"][0][axis]), "<u2") for axis in "xy")
    assert x.tolist() == [0, 65535, 32767]
    assert y.tolist() == [49151, 16383, 16383]  # one scale, and up is up
    assert data["fields"][0]["names"] == ["b", "</script>"]


def test_patients_take_turns() -> None:
    patients = np.array(["a"] * 50 + ["b"] * 3 + ["c"])
    chosen = choose_items(patients, 10, seed=0)
    assert [int((patients[chosen] == name).sum()) for name in "abc"] == [6, 3, 1]
    assert np.array_equal(choose_items(patients, 100, seed=0), np.arange(54))


def test_who_knew_what_counts_and_expects() -> None:
    correct = RNG.random((3, 500)) < np.array([0.9, 0.5, 0.2])[:, None]
    found = who_knew_what(correct, np.arange(500) // 2, resamples=200)
    assert sum(group.count for group in found) == 500
    for group in found:
        right = np.isin(np.arange(3), group.models)
        same = (correct == right[:, None]).all(0)
        assert group.count == same.sum()
        accuracy = correct.mean(1)
        assert group.expected == pytest.approx(np.prod(np.where(right, accuracy, 1 - accuracy)))
        assert group.low <= group.share <= group.high
    inside = [g.ratio_low <= 1 <= g.ratio_high for g in found if g.count > 5]
    assert np.mean(inside) > 0.8  # they are independent here
    alike = who_knew_what(np.repeat(correct[1:2], 2, axis=0), np.arange(500), resamples=200)
    assert alike[1].count == alike[2].count == 0
    assert alike[3].ratio_low > 1.5
    assert expected_shares(np.array([[0.5, 0.5]])).tolist() == [[0.25] * 4]
    assert patterns(np.array([[True, False], [True, True]])).tolist() == [3, 2]


def test_items_that_one_model_knew_and_too_few_patients() -> None:
    correct = np.array([[1, 1, 0, 0], [0, 1, 1, 0]], dtype=bool)
    assert {model: items.tolist() for model, items in known_by_one(correct).items()} == {0: [0], 1: [2]}
    assert np.isnan(who_knew_what(correct, np.zeros(4))[0].low)
    with pytest.raises(UsageError, match="2 to 8 models"):
        who_knew_what(correct[:1], np.arange(4))
