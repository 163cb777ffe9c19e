import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radnet.errors import UsageError
from radnet.shards import BatchOrder

GOLDEN = [6, 9, 5, 8, 2, 4, 7, 0, 11, 10, 3, 1]
SIZES = st.tuples(st.integers(1, 300), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32)).filter(
    lambda sizes: sizes[0] >= sizes[1] * sizes[2]
)


@given(SIZES, st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_an_epoch_repeats_nothing_and_every_rank_gets_its_share(sizes: tuple[int, int, int, int], epoch: int) -> None:
    samples, batch_size, world_size, seed = sizes
    order = BatchOrder(samples, batch_size, world_size, seed)
    positions = order.epoch(epoch)
    assert positions.shape == (order.batches_per_epoch, world_size, batch_size)
    assert len(np.unique(positions)) == positions.size
    assert positions.min() >= 0
    assert positions.max() < samples
    assert samples - positions.size < batch_size * world_size
    assert np.array_equal(positions, BatchOrder(samples, batch_size, world_size, seed).epoch(epoch))


@given(SIZES, st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_the_ranks_together_see_the_batches_of_one_process(sizes: tuple[int, int, int, int], epoch: int) -> None:
    samples, batch_size, world_size, seed = sizes
    alone = BatchOrder(samples, batch_size * world_size, 1, seed).epoch(epoch)
    together = BatchOrder(samples, batch_size, world_size, seed).epoch(epoch)
    assert np.array_equal(together.reshape(len(together), -1), alone[:, 0])


def test_every_epoch_and_seed_has_its_own_order() -> None:
    orders = {
        (seed, epoch): tuple(BatchOrder(64, 8, seed=seed).epoch(epoch).ravel())
        for seed in range(4)
        for epoch in range(8)
    }
    assert len(set(orders.values())) == len(orders)


def test_over_the_epochs_every_sample_is_seen() -> None:
    """What fills no batch in one epoch is not always the same."""
    order = BatchOrder(10, 4)
    assert len(np.unique(np.concatenate([order.epoch(epoch).ravel() for epoch in range(10)]))) == 10


def test_without_shuffling_samples_come_in_the_order_of_the_set() -> None:
    order = BatchOrder(10, 2, 2, shuffle=False)
    assert np.array_equal(order.epoch(3).ravel(), np.arange(8))


def test_the_order_of_a_seed_does_not_change_with_versions() -> None:
    """Golden: checkpoints of older versions point into this order."""
    assert BatchOrder(12, 3, seed=5).epoch(1).ravel().tolist() == GOLDEN


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"samples": 7, "batch_size": 4, "world_size": 2}, "only 7 take part"),
        ({"samples": 0, "batch_size": 1}, "only 0 take part"),
        ({"samples": 7, "batch_size": 0}, "batch_size"),
        ({"samples": 7, "batch_size": 1, "world_size": 0}, "world_size"),
        ({"samples": 7, "batch_size": 1, "seed": -1}, "seed"),
    ],
)
def test_impossible_orders(arguments: dict[str, int], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        BatchOrder(**arguments)
