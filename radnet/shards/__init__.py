"""Floor 2: scans become shard sets, and shard sets become batches in an exact order."""

from radnet.shards.batches import Batch
from radnet.shards.mix import MixOrder, ShardMix, mix_order
from radnet.shards.order import BatchOrder, WindowedOrder
from radnet.shards.shard_set import ShardSet
from radnet.shards.stream import Stream

from radnet.shards.plain import stream  # isort: skip  # after the module of this name, whose place it takes

__all__ = ["Batch", "BatchOrder", "MixOrder", "ShardMix", "ShardSet", "Stream", "WindowedOrder", "mix_order", "stream"]
