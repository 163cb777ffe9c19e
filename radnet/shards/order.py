"""Which sample comes when: a pure function of (number of samples, seed, epoch, world size, batch size).

The number of loader workers has no part in it, so a run can be continued on another machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError


@dataclass(frozen=True)
class BatchOrder:
    """The order of one run.

    Attributes:
        samples: Number of samples that take part.
        batch_size: Samples a batch on each rank.
        world_size: Number of ranks.
        seed: Seed of the run.
        shuffle: Draw a new order every epoch; without it, samples come in the set's order.

    Raises:
        UsageError: A number is out of range, or the samples do not fill one batch on every rank.
    """

    samples: int
    batch_size: int
    world_size: int = 1
    seed: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        for name, value, least in (
            ("batch_size", self.batch_size, 1),
            ("world_size", self.world_size, 1),
            ("seed", self.seed, 0),
        ):
            if value < least:
                raise UsageError(f"{name} must be at least {least}", seen=value, fix=f"Raise {name}")
        if self.batches_per_epoch < 1:
            raise UsageError(
                f"One batch on every rank takes {self.batch_size * self.world_size} samples and only "
                f"{self.samples} take part",
                fix="Lower batch_size, or use a larger set",
            )

    @property
    def batches_per_epoch(self) -> int:
        """Batches an epoch, the same on every rank; the few samples that fill no batch wait for another epoch."""
        return self.samples // (self.batch_size * self.world_size)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Positions 0…samples-1 of one epoch, shape (batches_per_epoch, world_size, batch_size)."""
        positions = np.arange(self.samples, dtype=np.int64)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(positions)
        used = positions[: self.batches_per_epoch * self.world_size * self.batch_size]
        return used.reshape(self.batches_per_epoch, self.world_size, self.batch_size)
