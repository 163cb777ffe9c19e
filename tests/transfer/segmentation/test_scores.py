"""Against a slow reference that measures every pair of surface voxels, and against MONAI on the whole volume."""

import itertools

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from numpy.typing import NDArray

from radnet.transfer.segmentation.scores import score_structure, score_volume, unit_metrics

SPACING_MM = (3.0, 0.7, 1.1)
WITHIN = 1e-6


def blobs(seed: int, shape: tuple[int, int, int] = (7, 12, 10)) -> NDArray[np.bool_]:
    generator = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*(np.arange(side) for side in shape), indexing="ij"), axis=-1)
    inside = np.zeros(shape, bool)
    for _ in range(3):
        centre, radii = generator.uniform(0, shape), generator.uniform(1, 4, 3)
        inside |= (((places - centre) / radii) ** 2).sum(-1) < 1
    inside[tuple(int(side) // 2 for side in shape)] = True
    return inside


def surface(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Places in mm of voxels with a neighbour (of six) outside, the border of the volume among them."""
    found = []
    for place in zip(*np.nonzero(inside), strict=True):
        for axis, step in itertools.product(range(3), (-1, 1)):
            other = list(place)
            other[axis] += step
            if not 0 <= other[axis] < inside.shape[axis] or not inside[tuple(other)]:
                found.append(np.array(place) * SPACING_MM)
                break
    return np.array(found)


def slow_distances(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> tuple[float, float]:
    pairs = np.linalg.norm(surface(predicted)[:, None] - surface(reference)[None], axis=-1)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hd95), float(np.concatenate([there, back]).mean())


@pytest.mark.parametrize("seed", range(6))
def test_against_a_slow_reference(seed: int) -> None:
    predicted, reference = blobs(seed), blobs(seed + 100)
    scores = score_structure(predicted, reference, SPACING_MM)
    overlap = sum(bool(a and b) for a, b in zip(predicted.flat, reference.flat, strict=True))
    hd95_mm, assd_mm = slow_distances(predicted, reference)
    assert scores.dice == pytest.approx(2 * overlap / (predicted.sum() + reference.sum()), abs=WITHIN)
    assert scores.hd95_mm == pytest.approx(hd95_mm, rel=WITHIN)
    assert scores.assd_mm == pytest.approx(assd_mm, rel=WITHIN)
    assert np.isnan(scores.false_alarm_ml)


@pytest.mark.parametrize("seed", range(6))
def test_against_monai_on_the_whole_volume(seed: int) -> None:
    predicted, reference = blobs(seed), blobs(seed + 100)
    scores = score_structure(predicted, reference, SPACING_MM)
    ours, theirs = (torch.from_numpy(one)[None, None] for one in (predicted, reference))
    options = {"include_background": True, "spacing": list(SPACING_MM)}
    assert scores.dice == pytest.approx(float(compute_dice(ours, theirs)), abs=WITHIN)
    hd95 = compute_hausdorff_distance(ours, theirs, percentile=95, **options)
    assert scores.hd95_mm == pytest.approx(float(hd95), abs=WITHIN)
    assd = compute_average_surface_distance(ours, theirs, symmetric=True, **options)
    assert scores.assd_mm == pytest.approx(float(assd), abs=WITHIN)


def test_the_same_is_perfect() -> None:
    scores = score_structure(blobs(0), blobs(0), SPACING_MM)
    assert (scores.dice, scores.hd95_mm, scores.assd_mm) == (1, 0, 0)


def test_the_rule_for_empty_masks() -> None:
    empty, some = np.zeros((2, 3, 4), bool), np.zeros((2, 3, 4), bool)
    some[0, 0, :2] = True
    absent = score_structure(empty, empty, (10, 10, 10))
    assert np.isnan([absent.dice, absent.hd95_mm, absent.assd_mm]).all()
    assert absent.false_alarm_ml == 0
    false_alarm = score_structure(some, empty, (10, 10, 10))
    assert np.isnan(false_alarm.dice)
    assert false_alarm.false_alarm_ml == pytest.approx(2.0)
    missed = score_structure(empty, some, (10, 10, 10))
    assert missed.dice == 0
    assert missed.hd95_mm == missed.assd_mm == pytest.approx(np.sqrt(20**2 + 30**2 + 40**2))


def test_units_of_several_volumes() -> None:
    first = np.stack([blobs(0), blobs(1)])
    second = np.stack([blobs(2), np.zeros_like(blobs(2))])
    scores = [score_volume(first, first, SPACING_MM), score_volume(second, second, SPACING_MM)]
    values = unit_metrics(["liver", "tumour"], scores)
    assert values["dice"].tolist() == [1, 1]
    assert np.array_equal(values["dice_tumour"], [1, np.nan], equal_nan=True)
    assert np.array_equal(values["false_alarm_ml_tumour"], [np.nan, 0], equal_nan=True)
    assert "false_alarm_ml_liver" not in values  # it is there in every volume
    with pytest.raises(ValueError, match="two volumes"):
        score_volume(first, first[:1], SPACING_MM)
