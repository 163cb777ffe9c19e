"""Slots: memory is used again when nobody holds it, and never before."""

import gc
import os
import time

import numpy as np
import pytest
import torch

from radnet.shards import Batch, BatchOrder, ShardSet, Stream
from radnet.shards.slots import SlotPool, pool_of
from radnet.views import SimclrViews

SIZE = 24


def stream_of(shards: ShardSet, **settings: object) -> Stream:
    order = BatchOrder(len(shards), 4, seed=1)
    return Stream(shards, shards.rows(), SimclrViews(size=SIZE), order, **settings)  # type: ignore[arg-type]


def epochs_of(stream: Stream, epochs: int) -> list[Batch]:
    return [batch for _ in range(epochs) for batch in stream]


@pytest.fixture
def pool() -> SlotPool:
    return SlotPool([(2, 1, 3, 3), (2, 1, 2, 2)], "float32", workers=2, slots=3)


def test_every_worker_has_slots_of_its_own_that_do_not_touch(pool: SlotPool) -> None:
    taken = [pool.take(worker) for worker in (0,)] + [pool.take(0), pool.take(0), pool.take(0)]
    assert sorted(slot for slot in taken if slot is not None) == [0, 1, 2]
    assert taken[-1] is None
    for slot in range(6):
        for number, array in enumerate(pool.arrays(slot)):
            array[...] = 10 * slot + number
    for slot in range(6):
        for number, view in enumerate(pool.lend(slot)):
            assert (view == 10 * slot + number).all()
            assert view.shape == pool.shapes[number]


def test_a_slot_comes_back_when_the_last_thing_that_looks_at_it_is_gone(pool: SlotPool) -> None:
    slots = [pool.take(0) for _ in range(3)]
    first, second = pool.lend(slots[0])  # type: ignore[arg-type]
    corner, as_array, detached = first[1, 0, :1], second.numpy(), second.reshape(-1)[2:].detach()
    del first, second
    gc.collect()
    assert pool.take(0) is None
    del corner
    assert pool.take(0) is None
    del as_array
    assert pool.take(0) is None
    del detached
    gc.collect()
    assert pool.take(0) == slots[0]
    assert pool.take(0) is None


def test_a_forked_child_gives_nothing_back(pool: SlotPool) -> None:
    slots = [pool.take(0) for _ in range(3)]
    held = pool.lend(slots[0])  # type: ignore[arg-type]
    child = os.fork()
    if child == 0:
        held.clear()
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert pool.take(0) is None
    assert len(held) == 2


def test_a_batch_of_a_closed_stream_names_the_reason(pool: SlotPool) -> None:
    token = pool.token
    assert pool_of(token) is pool
    with pytest.raises(RuntimeError, match="closed"):
        pool_of(token + 1000)


def test_batches_that_are_held_keep_their_values(shards: ShardSet) -> None:
    expected = epochs_of(stream_of(shards), 3)
    held = []
    for batch, right in zip(epochs_of(stream_of(shards, workers=2), 3), expected, strict=True):
        held.append(batch.views[0][1:2])  # a part is enough to hold a batch
        assert torch.equal(batch.views[1], right.views[1])
    assert all(torch.equal(part, right.views[0][1:2]) for part, right in zip(held, expected, strict=True))


def test_memory_is_used_again(shards: ShardSet) -> None:
    stream = stream_of(shards, workers=1)
    places = [batch.views[0].data_ptr() for _ in range(6) for batch in stream]
    stream.close()
    assert len(places) > 20
    assert len(set(places)) <= 4  # two made ahead, one in the making, one in our hands


def test_a_batch_outlives_its_stream(shards: ShardSet) -> None:
    stream = stream_of(shards, workers=1)
    batch = next(iter(stream))
    values = batch.views[0].clone()
    stream.close()
    del stream
    gc.collect()
    assert torch.equal(batch.views[0], values)


def test_float16_batches_are_the_rounded_ones(shards: ShardSet) -> None:
    for workers in (0, 1):
        pairs = zip(stream_of(shards, workers=workers, dtype="float16"), stream_of(shards), strict=True)
        for half, full in pairs:
            assert half.views[0].dtype == torch.float16
            assert all(torch.equal(a, b.half()) for a, b in zip(half.views, full.views, strict=True))


def test_a_slow_consumer_finds_the_right_batches(shards: ShardSet) -> None:
    expected = epochs_of(stream_of(shards), 1)
    for batch, right in zip(stream_of(shards, workers=2), expected, strict=True):
        time.sleep(0.05)  # the workers have made all they may by now
        assert torch.equal(batch.views[0], right.views[0])
        assert np.array_equal(batch.rows.numpy(), right.rows.numpy())
