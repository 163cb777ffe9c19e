"""One batch, and how it is put together: each view is written once, in a worker straight into shared memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info


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
class Assemble:
    """Last stage: samples become batches.

    Attributes:
        batch_size: Samples a batch.
        dtype: Type of the views, "float32" or "float16"; None keeps what the recipe gives.
    """

    batch_size: int
    dtype: str | None = None

    def __call__(self, samples: Iterable[tuple[Ticket, Sequence[NDArray[np.floating[Any]]]]]) -> Iterator[Batch]:
        """Batches of so many samples; the last ones that fill none are dropped.

        Raises:
            ValueError: Views of one batch differ in shape.
        """
        tensors: list[torch.Tensor] = []
        rows: list[int] = []
        for ticket, views in samples:
            if not rows:
                tensors = [_empty((self.batch_size, *view.shape), self.dtype or str(view.dtype)) for view in views]
                arrays = [tensor.numpy() for tensor in tensors]
            for array, view in zip(arrays, views, strict=True):
                if view.shape != array.shape[1:]:
                    raise ValueError(f"a view of shape {view.shape} in a batch of {array.shape[1:]}")
                array[len(rows)] = view
            rows.append(ticket.row)
            if len(rows) == self.batch_size:
                yield Batch(tensors, torch.tensor(rows), ticket.epoch, ticket.step)
                tensors, rows = [], []


def _empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """A tensor to be filled; in a loader worker in shared memory, so that only a handle travels."""
    kind: torch.dtype = getattr(torch, dtype)
    if get_worker_info() is None:
        return torch.empty(shape, dtype=kind)
    # torch's own default_collate allocates in this way; a tensor of no storage then looks at it
    storage = torch.UntypedStorage._new_shared(int(np.prod(shape)) * kind.itemsize, device="cpu")  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=kind).set_(storage, 0, shape)  # type: ignore[call-overload,no-any-return]
