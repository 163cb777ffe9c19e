from pathlib import Path

import numpy as np
import pytest

from radnet.errors import RadnetError
from radnet.shards import ShardSet
from radnet.transfer.splits import FeatureRows, SliceSplit, blocks, check_features
from radnet.views import EvaluationView
from radnet.views.simclr import SimclrViews


def stored(tmp_path: Path, shape: tuple[int, int] = (20, 6)) -> np.ndarray:
    np.save(tmp_path / "features.npy", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    return np.load(tmp_path / "features.npy", mmap_mode="r")


def test_rows_of_a_file_stand_where_an_array_does(tmp_path: Path) -> None:
    matrix = stored(tmp_path)
    rows = np.array([3, 5, 8, 13])
    lazy, array = FeatureRows(matrix, rows), np.asarray(matrix)[rows]
    assert lazy.shape == array.shape
    assert (len(lazy), lazy.ndim, lazy.dtype) == (4, 2, np.float32)
    assert np.array_equal(np.asarray(lazy), array)
    assert np.array_equal(lazy[1:3], array[1:3])
    assert np.array_equal(np.concatenate([block for _, block in blocks(lazy, 13)]), array)
    assert [place for place, _ in blocks(array, 13)] == [slice(0, 2), slice(2, 4)]
    with pytest.raises(ValueError, match="without being read"):
        np.asarray(lazy, copy=False)


def test_broken_values_are_counted_by_item_and_large_ones_are_not_broken(tmp_path: Path) -> None:
    features = np.full((9, 4), 3e38, dtype=np.float32)
    check_features(features)
    features[2, 1], features[7, 0], features[7, 3] = np.nan, np.inf, -np.inf
    with pytest.raises(RadnetError, match="for 2 of 9 items"):
        check_features(features)


def test_slices_are_read_through_the_view_and_their_chance_is_of_seed_epoch_and_row(phantom_set: ShardSet) -> None:
    rows = phantom_set.rows("train")[:3]
    patients = phantom_set.index["patient_key"].to_numpy(dtype=np.str_)[rows]
    plain = SliceSplit(phantom_set, rows, None, patients, EvaluationView(size=32))
    assert np.array_equal(plain.picture(1, seed=0), EvaluationView(size=32)(phantom_set.read_image(int(rows[1])))[0])
    noisy = SliceSplit(phantom_set, rows, np.eye(3, dtype=np.int64), patients, SimclrViews(size=32, views=1))
    assert noisy.multi_label
    assert np.array_equal(noisy.picture(1, seed=5, epoch=2), noisy.picture(1, seed=5, epoch=2))
    assert not np.array_equal(noisy.picture(1, seed=5, epoch=2), noisy.picture(1, seed=5, epoch=3))
    with pytest.raises(ValueError, match="one view"):
        SliceSplit(phantom_set, rows, None, patients, SimclrViews(size=32, views=2))
    with pytest.raises(ValueError, match="target"):
        SliceSplit(phantom_set, rows, np.zeros(2, dtype=np.int64), patients, EvaluationView(size=32))
