"""Floor 2: scans become shard sets, and shard sets become batches in an exact order.

Names are loaded when they are used: the workers of a build need no torch, which takes half a gigabyte and seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radnet.shards.batches import Batch
    from radnet.shards.mix import MixOrder, ShardMix, mix_order
    from radnet.shards.order import BatchOrder, WindowedOrder
    from radnet.shards.plain import stream
    from radnet.shards.shard_set import ShardSet
    from radnet.shards.streams import Stream

__all__ = ["Batch", "BatchOrder", "MixOrder", "ShardMix", "ShardSet", "Stream", "WindowedOrder", "mix_order", "stream"]

_MODULES = {
    "Batch": "batches",
    "BatchOrder": "order",
    "MixOrder": "mix",
    "ShardMix": "mix",
    "ShardSet": "shard_set",
    "Stream": "streams",
    "WindowedOrder": "order",
    "mix_order": "mix",
    "stream": "plain",
}


def __getattr__(name: str) -> object:
    """The names of `__all__`, from the module that holds them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
