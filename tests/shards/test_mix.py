from collections import Counter

import numpy as np
import pytest

import radnet.shards
from radnet.errors import UsageError
from radnet.shards import ShardMix, ShardSet, WindowedOrder, mix_order
from tests.shards.views_for_tests import PixelsAndChance


def test_shares_are_exact_and_a_larger_set_is_walked_through() -> None:
    order = mix_order([1000, 100], [3, 1], batch_size=4, world_size=2, seed=5)
    assert order.shares == (300, 100)
    epochs = [order.epoch(epoch).ravel() for epoch in range(3)]
    for positions in epochs:
        assert Counter(positions >= 1000) == {False: 300, True: 100}
        assert len(set(positions)) == 400
    large = np.concatenate([positions[positions < 1000] for positions in epochs])
    assert len(set(large)) == 900
    assert np.array_equal(order.epoch(2).ravel(), epochs[2])


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, float("nan")], [1, -1]])
def test_weights_that_make_no_sense(weights: list[float]) -> None:
    with pytest.raises(UsageError, match="weights"):
        mix_order([10, 10], weights, 2)


def test_rows_of_a_mix(shards: ShardSet) -> None:
    mix = ShardMix([shards, shards])
    assert len(mix) == 2 * len(shards)
    assert mix.locate(len(shards)) == (1, 0)
    assert np.array_equal(mix.read_image(len(shards) + 3), shards.read_image(3))
    stream = radnet.shards.stream([shards, shards], weights=[1, 2], views=PixelsAndChance(), batch_size=3)
    sets = Counter(mix.locate(row)[0] for batch in stream for row in batch.rows.tolist())
    assert sets[1] == 2 * sets[0] > 0


def test_windows_hold_few_shards_and_every_sample_comes_once() -> None:
    shard_of = np.repeat(np.arange(10, dtype=np.int32), 7)
    order = WindowedOrder(70, 7, shard_of=shard_of, window_shards=2, seed=1)
    positions = order.epoch(0).ravel()
    assert sorted(positions) == list(range(70))
    for start in range(0, 70, 14):
        assert len(set(shard_of[positions[start : start + 14]])) == 2
    assert not np.array_equal(positions, order.epoch(1).ravel())
    assert np.array_equal(positions, order.epoch(0).ravel())
