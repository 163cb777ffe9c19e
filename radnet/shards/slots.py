"""Memory that batches travel in: filled by a worker, read by the consumer, filled again when nobody holds it any more.

A fresh piece of shared memory costs a page fault every 4 KiB, in both processes, and a file descriptor that has to be
passed: together as long as the views take to make. A slot costs that once. Workers start with slots of their own;
when the last tensor of a batch is collected, its slot goes back to its worker through a pipe. A consumer that keeps
its batches takes nothing from anybody: a worker without a free slot uses fresh memory.

Shape legend: B samples a batch, C channels, H rows, W columns.
"""

import contextlib
import itertools
import os
import struct
import weakref
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_ALIGNMENT = 4096
"""Slots and views begin at pages, so that no two workers write to one."""
_SLOT_NUMBER = struct.Struct("<i")
_tokens = itertools.count()
_pools: "weakref.WeakValueDictionary[int, SlotPool]" = weakref.WeakValueDictionary()
"""The pools of this process by token: a batch that arrives from a worker names its own."""


class SlotPool:
    """The slots of one run of loader workers, made before they start.

    Args:
        shapes: Shape of each view with the batch, (B, C, H, W).
        dtype: Of the views, "float32" or "float16".
        workers: Number of loader processes.
        slots: Slots a worker.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtype: str, workers: int, slots: int) -> None:
        self.token = next(_tokens)
        self.shapes, self.dtype = tuple(shapes), np.dtype(dtype)
        self._slots = slots
        ends = [int(np.prod(shape)) * self.dtype.itemsize for shape in self.shapes]
        self._offsets = [0, *itertools.accumulate(-(-end // _ALIGNMENT) * _ALIGNMENT for end in ends)]
        # pages of shared memory exist once they are written, so slots that are never needed cost nothing
        storage = torch.UntypedStorage._new_shared(workers * slots * self._offsets[-1], device="cpu")  # type: ignore[no-untyped-call]
        self._memory = torch.empty(0, dtype=torch.uint8).set_(storage)
        pipes = [Pipe(duplex=False) for _ in range(workers)]
        self._returned = [reader for reader, _ in pipes]
        self._give_back: list[Connection] | None = [writer for _, writer in pipes]
        self._free: list[int] | None = None
        _pools[self.token] = self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_give_back": None}  # a worker that is started afresh only takes

    def take(self, worker: int) -> int | None:
        """A slot that nobody uses, or None; for the worker itself.

        Args:
            worker: Number of this worker.
        """
        if self._free is None:
            self._free = list(range(worker * self._slots, (worker + 1) * self._slots))[::-1]
        returned = self._returned[worker]
        while returned.poll(0):
            self._free.append(_SLOT_NUMBER.unpack(os.read(returned.fileno(), _SLOT_NUMBER.size))[0])
        return self._free.pop() if self._free else None  # the last one that came back is still in the cache

    def arrays(self, slot: int) -> list[NDArray[Any]]:
        """The memory of a slot: one array (B, C, H, W) a view."""
        whole = self._memory.numpy()
        base = slot * self._offsets[-1]
        return [
            np.frombuffer(whole, self.dtype, int(np.prod(shape)), base + offset).reshape(shape)
            for shape, offset in zip(self.shapes, self._offsets, strict=False)
        ]

    def lend(self, slot: int) -> list[torch.Tensor]:
        """The views in a slot as tensors; when the last of them is gone, the slot goes back to its worker."""
        if self._give_back is None:
            raise RuntimeError("slots are lent by the process that made the pool")
        arrays = self.arrays(slot)
        back = _Return(self._give_back[slot // self._slots], slot, len(arrays))
        for array in arrays:
            # every tensor and array that looks at this memory refers to this array in the end
            weakref.finalize(array, back.one_gone).atexit = False
        return [torch.from_numpy(array) for array in arrays]


def pool_of(token: int) -> SlotPool:
    """The pool of this process with that token.

    Raises:
        RuntimeError: It is gone.
    """
    pool = _pools.get(token)
    if pool is None:
        raise RuntimeError(f"the memory of a batch is gone (pool {token}): its stream was closed")
    return pool


class _Return:
    """Counts the views of a slot that are still held."""

    def __init__(self, connection: Connection, slot: int, views: int) -> None:
        self._connection, self._slot, self._left = connection, slot, views
        self._process = os.getpid()

    def one_gone(self) -> None:
        if os.getpid() != self._process:
            return  # a child that was forked while a batch was held collects its own copy
        self._left -= 1
        if self._left == 0:
            with contextlib.suppress(OSError):  # the worker may be gone, and with it the use of the slot
                # not Connection.send: this may run in any thread, and so few bytes are written as one
                os.write(self._connection.fileno(), _SLOT_NUMBER.pack(self._slot))
