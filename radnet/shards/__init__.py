"""Floor 2: scans become shard sets, and shard sets become batches in an exact order."""

from radnet.shards.order import BatchOrder
from radnet.shards.shard_set import ShardSet
from radnet.shards.stream import Batch, Stream

__all__ = ["Batch", "BatchOrder", "ShardSet", "Stream"]
