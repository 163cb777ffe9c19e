"""One batch, and how it is put together: each view is written once, by a worker into memory that the consumer reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from radnet.shards.slots import SlotPool, pool_of

Views = Callable[[NDArray[Any], np.random.Generator], Sequence[NDArray[np.floating[Any]]]]
"""A slice (int16 HU, or what the set holds) and a generator -> float arrays (C, H, W), one a view."""


@runtime_checkable
class WritesViews(Protocol):
    """A recipe that lets the caller own the memory, as those of `radnet.views` do."""

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """(C, H, W) of every view, the same for every image."""

    def write(
        self, image: NDArray[Any], generator: np.random.Generator, out: Sequence[NDArray[np.floating[Any]]]
    ) -> None:
        """Make the views of one image in float32 arrays of `shapes`."""


@dataclass(frozen=True)
class Batch:
    """One batch of one rank.

    Attributes:
        views: One tensor a view, each (B, C, H, W).
        rows: int64, (B,): rows of the set's index, or virtual rows of a mix.
        epoch: Epoch the batch belongs to.
        step: Number of the batch within its epoch, from 0.
    """

    views: list[torch.Tensor]
    rows: torch.Tensor
    epoch: int
    step: int

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory; DataLoader calls it."""
        return Batch([view.pin_memory() for view in self.views], self.rows, self.epoch, self.step)


@dataclass(frozen=True)
class Ticket:
    """One sample to be made: which row of the index, in which batch."""

    row: int
    epoch: int
    step: int


@dataclass(frozen=True)
class _Parcel:
    """A batch that lies in a slot, on its way: only numbers travel, and a `Batch` comes out at the other end."""

    token: int
    slot: int
    rows: NDArray[np.int64]
    epoch: int
    step: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_parcel, (self.token, self.slot, self.rows, self.epoch, self.step)


def _open_parcel(token: int, slot: int, rows: NDArray[np.int64], epoch: int, step: int) -> Batch:
    return Batch(pool_of(token).lend(slot), torch.from_numpy(rows), epoch, step)


@dataclass
class _Memory:
    """A batch that is being filled.

    Attributes:
        views: One tensor a view, (B, C, H, W).
        slot: The slot they lie in; None for memory of their own.
        rows: Rows of the samples so far.
    """

    views: list[torch.Tensor]
    slot: int | None
    rows: list[int]

    def __post_init__(self) -> None:
        self._arrays = [list(view.numpy()) for view in self.views]  # all at once: a view of a tensor costs more

    @property
    def next_sample(self) -> list[NDArray[Any]]:
        """Where the next sample belongs: one array (C, H, W) a view."""
        return [samples[len(self.rows)] for samples in self._arrays]

    def copy(self, made: Sequence[NDArray[np.floating[Any]]]) -> None:
        """The next sample; torch converts to float16 in a fraction of NumPy's time."""
        for view, one in zip(self.views, made, strict=True):
            if one.shape != view.shape[1:]:
                raise ValueError(f"a view of shape {one.shape} in a batch of {tuple(view.shape[1:])}")
            view[len(self.rows)].copy_(torch.from_numpy(np.ascontiguousarray(one)))


@dataclass(frozen=True)
class MakeBatches:
    """Last stage of the stream: tickets become batches.

    Attributes:
        read_image: Row -> its image.
        views: Makes the views of an image.
        seed: Seed of the run; the randomness of a sample comes from (seed, epoch, row).
        batch_size: Samples a batch.
        dtype: Type of the views, "float32" or "float16"; None keeps what the recipe gives.
        pool: Slots for the batches of loader workers; None to use fresh memory.
    """

    read_image: Callable[[int], NDArray[Any]]
    views: Views
    seed: int
    batch_size: int
    dtype: str | None = None
    pool: SlotPool | None = None

    def __call__(self, tickets: Iterable[Ticket]) -> Iterator[Batch | _Parcel]:
        """Batches of so many samples; the last tickets that fill none are dropped.

        Raises:
            RadnetError: An image cannot be read.
            ValueError: Views of one batch differ in shape.
        """
        recipe = self.views if isinstance(self.views, WritesViews) else None
        own: list[NDArray[np.floating[Any]]] = (
            [np.empty(shape, np.float32) for shape in recipe.shapes] if recipe else []
        )
        memory: _Memory | None = None
        for ticket in tickets:
            image = self.read_image(ticket.row)
            generator = np.random.default_rng([self.seed, ticket.epoch, ticket.row])
            if recipe is None:
                made = list(self.views(image, generator))
                memory = memory or self._memory([(view.shape, str(view.dtype)) for view in made])
                memory.copy(made)
            else:
                memory = memory or self._memory([(shape, "float32") for shape in recipe.shapes])
                if self.dtype == "float16":
                    recipe.write(image, generator, own)
                    memory.copy(own)
                else:
                    recipe.write(image, generator, memory.next_sample)
            memory.rows.append(ticket.row)
            if len(memory.rows) == self.batch_size:
                rows = np.array(memory.rows, np.int64)
                if self.pool is None or memory.slot is None:
                    yield Batch(memory.views, torch.from_numpy(rows), ticket.epoch, ticket.step)
                else:
                    yield _Parcel(self.pool.token, memory.slot, rows, ticket.epoch, ticket.step)
                memory = None

    def _memory(self, views: Sequence[tuple[tuple[int, ...], str]]) -> _Memory:
        info = get_worker_info()
        slot = self.pool.take(info.id) if self.pool is not None and info is not None else None
        if self.pool is not None and slot is not None:
            return _Memory([torch.from_numpy(array) for array in self.pool.arrays(slot)], slot, [])
        return _Memory([_empty((self.batch_size, *shape), self.dtype or dtype) for shape, dtype in views], None, [])


def _empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """A tensor to be filled; in a loader worker in shared memory, so that only a handle travels."""
    kind: torch.dtype = getattr(torch, dtype)
    if get_worker_info() is None:
        return torch.empty(shape, dtype=kind)
    # torch's own default_collate allocates in this way; a tensor of no storage then looks at it
    storage = torch.UntypedStorage._new_shared(int(np.prod(shape)) * kind.itemsize, device="cpu")  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=kind).set_(storage, 0, shape)  # type: ignore[call-overload,no-any-return]
