"""Which sample comes when: a pure function of (number of samples, seed, epoch, world size, batch size).

The number of loader workers has no part in it, so a run can be continued on another machine.
"""

from dataclasses import dataclass, field

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
    def population(self) -> int:
        """Positions that `epoch` may name: 0 to this, exclusive."""
        return self.samples

    @property
    def batches_per_epoch(self) -> int:
        """Batches an epoch, the same on every rank; the few samples that fill no batch wait for another epoch."""
        return self.samples // (self.batch_size * self.world_size)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Positions 0…samples-1 of one epoch, shape (batches_per_epoch, world_size, batch_size)."""
        positions = self._positions(epoch)
        used = positions[: self.batches_per_epoch * self.world_size * self.batch_size]
        return used.reshape(self.batches_per_epoch, self.world_size, self.batch_size)

    def _positions(self, epoch: int) -> NDArray[np.int64]:
        positions = np.arange(self.samples, dtype=np.int64)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(positions)
        return positions


@dataclass(frozen=True, eq=False)
class WindowedOrder(BatchOrder):
    """Shards in a new order every epoch, and samples shuffled within windows of so many shards.

    A sample mixes only with those of its window, so a small cache or a slow disk reads each shard about once an
    epoch. All ranks walk through the same window at the same time.

    Attributes:
        shard_of: Shard of every position, int32, (samples,).
        window_shards: Shards a window.

    Raises:
        UsageError: The window is empty.
        ValueError: `shard_of` does not fit `samples`.
    """

    shard_of: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    window_shards: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_shards < 1:
            raise UsageError("window_shards must be at least 1", seen=self.window_shards, fix="Raise window_shards")
        if len(self.shard_of) != self.samples:
            raise ValueError(f"shards of {len(self.shard_of)} positions but {self.samples} samples")

    def _positions(self, epoch: int) -> NDArray[np.int64]:
        if not self.shuffle:
            return super()._positions(epoch)
        generator = np.random.default_rng([self.seed, epoch])
        shards, number = np.unique(self.shard_of, return_inverse=True)  # only shards that take part fill windows
        window = generator.permutation(len(shards)) // self.window_shards
        positions = generator.permutation(self.samples)
        return positions[np.argsort(window[number[positions]], kind="stable")]
