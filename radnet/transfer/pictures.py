"""Slices as batches of pictures for training and scoring; every picture is a function of (seed, epoch, row) alone.

Shape legend: B batch, C channels, S side, N slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from radnet.errors import RadnetError, UsageError
from radnet.shards.streams import start_worker, starting_workers
from radnet.transfer.splits import SliceSplit
from radnet.views.geometry import random_crop, resize

TEST_SEED = 0
"""Of the chance in views that are scored (test-time noise): the same pictures for every model and training seed."""


@dataclass(frozen=True)
class Augmentation:
    """What happens to a view during training, drawn for every slice and epoch.

    Attributes:
        crop_scale: Range of the crop's share of the area; (1, 1) leaves it out.
        flip_probability: Probability of a left-right flip.
    """

    crop_scale: tuple[float, float] = (0.6, 1.0)
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        if not (0 < low <= high <= 1 and 0 <= self.flip_probability <= 1):
            raise UsageError(
                "crop_scale is a rising range within (0, 1], and flip_probability lies within 0 and 1",
                seen=(self.crop_scale, self.flip_probability),
                fix="Set crop_scale to [0.6, 1] and flip_probability to 0.5",
            )

    def __call__(self, picture: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """One view, float32 (C, S, S), as another of the same shape."""
        planes = picture.transpose(1, 2, 0)
        if self.crop_scale != (1, 1):
            part = random_crop(planes, self.crop_scale, (0.75, 4 / 3), generator)
            side = picture.shape[1]
            each = [np.ascontiguousarray(part[..., channel]) for channel in range(part.shape[2])]
            planes = np.stack([resize(plane, side) for plane in each], axis=-1)
        if generator.random() < self.flip_probability:
            planes = planes[:, ::-1]
        return np.ascontiguousarray(planes.transpose(2, 0, 1))


class _Pictures(Dataset[tuple[torch.Tensor, int] | RadnetError]):
    """The slices of a split; one that cannot be read is its error, as in the extraction of features."""

    def __init__(self, split: SliceSplit, seed: int, epoch: int, augmentation: Augmentation | None) -> None:
        self._split, self._seed, self._epoch, self._augmentation = split, seed, epoch, augmentation

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int] | RadnetError:
        try:
            picture = self._split.picture(position, seed=self._seed, epoch=self._epoch)
        except RadnetError as error:
            return error
        if self._augmentation is not None:
            generator = np.random.default_rng([self._seed, self._epoch, int(self._split.rows[position]), 1])
            picture = self._augmentation(picture, generator)
        return torch.from_numpy(picture), position


def _stack(items: list[tuple[torch.Tensor, int] | RadnetError]) -> tuple[torch.Tensor, list[int]] | RadnetError:
    errors = [item for item in items if isinstance(item, RadnetError)]
    if errors:
        return errors[0]
    good = [item for item in items if not isinstance(item, RadnetError)]
    return torch.stack([picture for picture, _ in good]), [position for _, position in good]


def batches_an_epoch(items: int, batch_size: int) -> int:
    """Batches an epoch; see `training_batches`."""
    return max(1, round(items / batch_size))


def training_batches(
    split: SliceSplit, *, seed: int, epoch: int, batch_size: int, augmentation: Augmentation | None, workers: int
) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
    """Every slice of an epoch once, in a new order, in batches of nearly equal size.

    No batch is cut short: a last batch of one slice would break batch normalisation.

    Yields:
        Pictures, float32 (B, C, S, S), and their positions in the split, int64 (B,).
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(split))
    parts = np.array_split(order, batches_an_epoch(len(split), batch_size))
    yield from _batches(_Pictures(split, seed, epoch, augmentation), [part.tolist() for part in parts], workers)


def scoring_batches(
    split: SliceSplit, *, batch_size: int, workers: int
) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
    """Every slice once, in order, without augmentation; see `training_batches`."""
    parts = [list(range(start, min(start + batch_size, len(split)))) for start in range(0, len(split), batch_size)]
    yield from _batches(_Pictures(split, TEST_SEED, 0, None), parts, workers)


def _batches(
    pictures: _Pictures, parts: list[list[int]], workers: int
) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
    loader = DataLoader(
        pictures, batch_sampler=parts, num_workers=workers, worker_init_fn=start_worker, collate_fn=_stack
    )
    with starting_workers():
        batches = iter(loader)
    for batch in batches:
        if isinstance(batch, RadnetError):
            raise batch
        yield batch[0], np.asarray(batch[1], dtype=np.int64)
