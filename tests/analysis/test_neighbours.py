"""Neighbour searches against sorting all pairs; purity, hubs; pictures that are there twice."""

import numpy as np
import pytest
from numpy.typing import NDArray

from radnet.analysis.duplicates import compared, near_duplicates, overlap_correlation
from radnet.analysis.neighbours import (
    agreement,
    chance_agreement,
    hubness,
    nearest_neighbours,
    recall_at_k,
    search,
    unit_rows,
)
from radnet.errors import RadnetError, UsageError

RNG = np.random.default_rng(1)


def by_sorting(features: NDArray[np.float32], k: int, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit @ unit.T
    similarity[groups[:, None] == groups] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.where(np.isfinite(np.take_along_axis(similarity, order, 1)), order, -1)


@pytest.mark.parametrize("sizes", [[1] * 60, [1, 2, 3, 4, 20, 30], [59, 1]], ids=["items", "patients", "one large"])
def test_neighbours_of_other_groups_are_those_of_a_full_sort(sizes: list[int]) -> None:
    groups = RNG.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = RNG.normal(size=(60, 6)).astype(np.float32)
    similarity, neighbour = nearest_neighbours(features, 7, groups=groups)
    assert np.array_equal(neighbour, by_sorting(features, 7, groups))
    there = neighbour >= 0
    unit = unit_rows(features)
    assert np.allclose(similarity[there], (unit[:, None] * unit[neighbour]).sum(-1)[there], atol=1e-6)
    assert not similarity[~there].any()


def test_few_items_one_group_and_nonsense() -> None:
    features = RNG.normal(size=(4, 3)).astype(np.float32)
    assert nearest_neighbours(features, 20)[1].shape == (4, 3)
    assert (nearest_neighbours(features, 2, groups=np.zeros(4))[1] == -1).all()
    assert nearest_neighbours(np.ones((5, 3), np.float32), 4)[1].min() >= 0  # constant: anybody, never oneself
    with pytest.raises(UsageError, match="at least one neighbour"):
        nearest_neighbours(features, 0)
    with pytest.raises(RadnetError, match="NaN"):
        nearest_neighbours(np.full((4, 3), np.nan, np.float32), 2)
    same = nearest_neighbours(np.repeat(features, 3, axis=0), 2)[1]
    assert all(row not in near for row, near in enumerate(same))


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_approximate_searches_tell_their_recall(kind: str) -> None:
    features = RNG.normal(size=(1500, 8)).astype(np.float32)
    found = search(features, 5, index=kind, recall_items=200, threads=1)  # type: ignore[arg-type]
    exact = nearest_neighbours(features, 5)[1]
    assert found.recall == pytest.approx(recall_at_k(exact, found.neighbour), abs=0.1)
    assert found.recall > 0.5
    assert found.recall_items == 200
    assert (found.neighbour != np.arange(1500)[:, None]).all()
    assert search(features, 5, index="exact").recall == 1


def test_agreement_and_its_chance() -> None:
    neighbour = np.array([[1, 2], [0, -1], [0, 1], [-1, -1]])
    values = np.array(["a", "a", "b", "b"])
    assert np.array_equal(agreement(neighbour, values), [0.5, 1, 0, np.nan], equal_nan=True)
    patients = np.array(["p", "p", "q", "r"])
    assert np.allclose(chance_agreement(values, patients), [0, 0, 1 / 3, 1 / 3])
    assert np.isnan(chance_agreement(values, np.zeros(4))).all()


def test_a_hub_is_seen() -> None:
    neighbour = np.array([[1], [0], [0], [0], [0]])
    hubs = hubness(neighbour)
    assert (hubs.largest, hubs.orphans) == (4, 0.6)
    count = np.array([4, 1, 0, 0, 0])
    assert hubs.skewness == pytest.approx((((count - 1) / count.std()) ** 3).mean())
    assert hubness(np.array([[1], [2], [0]])).skewness == 0


def picture(rows: int, columns: int) -> NDArray[np.float64]:
    """Something smooth with structure, as slices are."""
    y, x = np.mgrid[:rows, :columns]
    waves = RNG.normal(size=(12, 4)) * [1, 0.15, 0.15, 3]
    return np.asarray(sum(a * np.sin(b * y + c * x + d) for a, b, c, d in waves))


def test_overlap_of_two_crops_and_of_strangers() -> None:
    whole = picture(80, 90)
    correlation, overlap = overlap_correlation(whole[:60, :70], whole[15:, 10:])
    assert correlation == pytest.approx(1, abs=1e-4)
    assert overlap == pytest.approx(45 * 60 / (60 * 70), abs=1e-6)
    a, b = whole[5:65, 8:88], whole[20:70, :60] + 0.1 * RNG.normal(size=(50, 60))
    best = max(  # every shift, one by one
        float(np.corrcoef(left.ravel(), right.ravel())[0, 1])
        for dy in range(-30, 40)
        for dx in range(-40, 60)
        if (left := a[max(dy, 0) : dy + 50, max(dx, 0) : dx + 60]).size >= 0.4 * b.size
        and (right := b[max(-dy, 0) : 60 - dy, max(-dx, 0) : 80 - dx]).shape == left.shape
    )
    assert overlap_correlation(a, b)[0] == pytest.approx(best, abs=2e-3)
    assert compared(picture(64, 64), picture(64, 64))[0] < 0.9
    assert overlap_correlation(np.ones((9, 9)), whole) == (0, 0)


def test_duplicates_are_found_between_series_only() -> None:
    pictures = [picture(64, 64) for _ in range(12)]
    pictures[7] = pictures[2][10:, 6:]  # a crop
    pictures[9] = pictures[4] * 3 + 100  # another scale of grey
    pictures[1] = pictures[0]  # the same series
    features = RNG.normal(size=(12, 16)).astype(np.float32)
    for copy, original in ((7, 2), (9, 4), (1, 0)):
        features[copy] = features[original] + 0.1 * RNG.normal(size=16)
    series = np.array([0, 0, *range(2, 12)])
    seen = []
    found = near_duplicates(features, series, lambda item: pictures[item], on_pair=lambda: seen.append(1))
    assert {(pair.first, pair.second) for pair in found} == {(2, 7), (4, 9)}
    assert len(seen) > 2
    assert found[0].correlation >= found[1].correlation >= 0.995
