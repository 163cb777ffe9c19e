"""`radnet.shards.stream`: exact batches for any training loop, in one call.

import radnet.shards
from radnet.views import SimclrViews

stream = radnet.shards.stream("sets/ct", views=SimclrViews(), batch_size=64, workers=4)
for batch in stream:                 # one epoch; the next loop is the next epoch
    first, second = batch.views      # float32 (64, 1, 224, 224) each
    train(first, second)
    state = stream.state_dict()      # load_state_dict continues with the next batch
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from radnet.errors import UsageError
from radnet.shards.batches import Views
from radnet.shards.cache import DEFAULT_CACHE_BYTES
from radnet.shards.mix import ShardMix, mix_order
from radnet.shards.order import BatchOrder, WindowedOrder
from radnet.shards.remote import RemoteShardSet
from radnet.shards.shard_set import ShardSet
from radnet.shards.streams import Source, Stream

AnySet = ShardSet | Path | str


def stream(
    sets: AnySet | Sequence[AnySet],
    *,
    views: Views,
    batch_size: int,
    split: str | None = "train",
    weights: Sequence[float] | None = None,
    seed: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    workers: int = 0,
    dtype: str | None = "float32",
    cache: Path | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    window_shards: int | None = None,
    pin_memory: bool = False,
) -> Stream:
    """Batches of one or several sets; see the module for an example.

    Args:
        sets: Shard sets, their directories or their addresses.
        views: Makes the views of a slice.
        batch_size: Samples a batch on each rank.
        split: "train", "val", "test", or None for all samples.
        weights: Share of each set in an epoch; equal ones by default.
        seed: Seed of order and views.
        rank: This process; from torch.distributed, else RANK, else 0.
        world_size: Number of processes; from torch.distributed, else WORLD_SIZE, else 1.
        workers: Loader processes.
        dtype: "float32", or "float16" to move half the bytes and convert on the device.
        cache: Directory of the cache for sets that are not local.
        cache_bytes: Most bytes of shards in it.
        window_shards: Shuffle within windows of so many shards instead of the whole set.
        pin_memory: Hand out batches in page-locked memory.

    Raises:
        UsageError: An argument makes no sense.
        RadnetError: A set cannot be read.
    """
    given = [sets] if isinstance(sets, ShardSet | Path | str) else list(sets)
    opened = [
        one if isinstance(one, ShardSet) else ShardSet.open(one, cache=cache, cache_bytes=cache_bytes) for one in given
    ]
    rank, world_size = _place(rank, world_size)
    source: Source
    if len(opened) == 1 and weights is None:
        source, rows = opened[0], opened[0].rows(split)
        order = BatchOrder(len(rows), batch_size, world_size, seed)
        if window_shards is not None:
            _require_window_fits(opened[0], window_shards)
            order = WindowedOrder(
                len(rows), batch_size, world_size, seed, True, opened[0].shard_of(rows), window_shards
            )
    else:
        if window_shards is not None:
            raise UsageError("window_shards is for one set, not for a mix", seen=window_shards, fix="Leave it out")
        source = mix = ShardMix(opened)
        parts = [one.rows(split) for one in opened]
        rows = np.concatenate([part + offset for part, offset in zip(parts, mix.offsets, strict=False)])
        shares = weights if weights is not None else [1.0] * len(opened)
        order = mix_order([len(part) for part in parts], shares, batch_size, world_size, seed)
    return Stream(source, rows, views, order, rank=rank, workers=workers, pin_memory=pin_memory, dtype=dtype)


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and number of ranks, from the arguments, torch.distributed or the environment."""
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    if rank is None:
        rank = torch.distributed.get_rank() if running else int(os.environ.get("RANK", "0"))
    if world_size is None:
        world_size = torch.distributed.get_world_size() if running else int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world_size:
        raise UsageError(f"There is no rank {rank} of {world_size}", fix="Give both rank and world_size")
    return rank, world_size


def _require_window_fits(shards: ShardSet, window_shards: int) -> None:
    """A window that is larger than the cache would be fetched again and again."""
    if isinstance(shards, RemoteShardSet):
        needed = sum(sorted((shard.bytes for shard in shards.manifest.shards), reverse=True)[: max(window_shards, 0)])
        if needed > shards.cache.limit_bytes:
            raise UsageError(
                f"A window of {window_shards} shards has up to {needed} bytes, the cache {shards.cache.limit_bytes}",
                file=shards.cache.directory,
                fix=f"Allow at least {needed} bytes, or lower window_shards",
            )
