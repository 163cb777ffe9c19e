"""Slices with their masks, in batches, from loader processes.

Shape legend: B batch, C channels, K structures, S side of the view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from radnet.errors import RadnetError
from radnet.shards.streams import start_worker, starting_workers
from radnet.transfer.segmentation.grid import to_view
from radnet.transfer.segmentation.volumes import VolumeSplit


@dataclass(frozen=True)
class Batch:
    """Slices of a split.

    Attributes:
        positions: Which, int64, (B,).
        pictures: float32, (B, C, S, S).
        targets: Shares of each structure, float32, (B, K, S, S); None where they were not asked for.
    """

    positions: NDArray[np.int64]
    pictures: torch.Tensor
    targets: torch.Tensor | None


class _Slices(Dataset[tuple[torch.Tensor, ...] | RadnetError]):
    """A list of positions of a split; a slice that cannot be read is its error (see `radnet.transfer.features`)."""

    def __init__(
        self, split: VolumeSplit, positions: NDArray[np.int64], seed: int, epoch: int, targets: bool, mirrored: float
    ) -> None:
        self._split, self._positions, self._seed, self._epoch = split, positions, seed, epoch
        self._targets, self._mirrored = targets, mirrored

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, ...] | RadnetError:
        position = int(self._positions[number])
        try:
            arrays = [self._split.picture(position, seed=self._seed, epoch=self._epoch)]
            if self._targets:
                arrays.append(to_view(self._split.inside(position), self._split.size))
        except RadnetError as error:
            return error
        if self._mirrored:
            chance = np.random.default_rng([self._seed, self._epoch, position, 1]).random()
            if chance < self._mirrored:
                arrays = [array[..., ::-1].copy() for array in arrays]
        return tuple(torch.from_numpy(array) for array in arrays)


def batch_sizes(slices: int, batch_size: int, *, training: bool) -> list[int]:
    """Slices of each batch of an epoch.

    In training a last batch of one slice would break batch normalisation: then all are of nearly equal size. An epoch
    of an odd number of slices in twos has one batch of three.
    """
    whole, rest = divmod(slices, batch_size)
    if not training or rest != 1 or slices == 1:
        return [batch_size] * whole + [rest] * (rest > 0)
    return [len(part) for part in np.array_split(np.arange(slices), min(whole + 1, slices // 2))]


def batches(
    split: VolumeSplit,
    positions: NDArray[np.int64],
    *,
    batch_size: int,
    seed: int,
    epoch: int = 0,
    targets: bool = True,
    mirrored: float = 0.0,
    workers: int = 0,
    training: bool = False,
) -> Iterator[Batch]:
    """Batches of a split in the order of `positions`; the number of workers changes nothing in them.

    Args:
        split: The slices.
        positions: Which, in order, int64.
        batch_size: B; the last batch may be smaller.
        seed: Seed of chance in the views.
        epoch: Its epoch.
        targets: Whether to read the masks.
        mirrored: Share of the slices that are mirrored left to right.
        workers: Loader processes.
        training: Whether batch normalisation sees the batches; see `batch_sizes`.

    Raises:
        RadnetError: A slice cannot be read, or its mask holds labels that the task does not know.
    """
    split.shards.prepare_for_workers()
    ends = np.cumsum(batch_sizes(len(positions), batch_size, training=training))
    loader: DataLoader[Any] = DataLoader(
        _Slices(split, positions, seed, epoch, targets, mirrored),
        batch_sampler=[part.tolist() for part in np.split(np.arange(len(positions)), ends[:-1])] if len(ends) else [],
        num_workers=workers,
        worker_init_fn=start_worker,
        collate_fn=_stack,
    )
    with starting_workers():
        stream = iter(loader)
    done = 0
    for item in stream:
        if isinstance(item, RadnetError):
            raise item
        count = len(item[0])
        yield Batch(positions[done : done + count], item[0], item[1] if targets else None)
        done += count


def _stack(items: Sequence[tuple[torch.Tensor, ...] | RadnetError]) -> tuple[torch.Tensor, ...] | RadnetError:
    """A batch, or the first error among its items."""
    tensors: list[tuple[torch.Tensor, ...]] = []
    for item in items:
        if isinstance(item, RadnetError):
            return item
        tensors.append(item)
    return tuple(torch.stack(parts) for parts in zip(*tensors, strict=True))
