"""Several sets as one source, mixed by weight.

An epoch takes from every set its exact share. A set that is larger than its share is walked through over several
epochs: one permutation serves `size // share` epochs, so none of its samples comes again before these are over. The
few that fill no share wait for another permutation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.shards.order import BatchOrder
from radnet.shards.pictures import Image
from radnet.shards.shard_set import ShardSet


class ShardMix:
    """Samples of several sets under virtual rows: row r of set s is `offsets[s] + r`.

    Args:
        sets: At least one set.
    """

    def __init__(self, sets: Sequence[ShardSet]) -> None:
        if not sets:
            raise UsageError("A mix needs at least one set", fix="Name a shard set")
        self.sets = tuple(sets)
        self.offsets = np.cumsum([0, *(len(one) for one in self.sets)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def locate(self, row: int) -> tuple[int, int]:
        """Number of the set and row of its index that a virtual row stands for."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        number = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return number, row - int(self.offsets[number])

    def prepare_for_workers(self) -> None:
        """As `ShardSet.prepare_for_workers`, for every set."""
        for one in self.sets:
            one.prepare_for_workers()

    def read_image(self, row: int) -> Image:
        """As `ShardSet.read_image`: int16 from a CT set, uint8 from a set of pictures.

        Raises:
            RadnetError: The shard is missing, cut or damaged at this sample.
        """
        number, own = self.locate(row)
        return self.sets[number].read_image(own)

    def close(self) -> None:
        """Close all open shards of every set."""
        for one in self.sets:
            one.close()


@dataclass(frozen=True)
class MixOrder(BatchOrder):
    """The order of a mix; positions count through the sets one after the other.

    Attributes:
        sizes: Samples of each set that take part.
        shares: Samples of each set an epoch; their sum is `samples`.
    """

    sizes: tuple[int, ...] = ()
    shares: tuple[int, ...] = ()

    @property
    def population(self) -> int:
        """Positions that `epoch` may name: 0 to this, exclusive."""
        return sum(self.sizes)

    def _positions(self, epoch: int) -> NDArray[np.int64]:
        parts, offset = [], 0
        for number, (size, share) in enumerate(zip(self.sizes, self.shares, strict=True)):
            if share:
                cycle, turn = divmod(epoch, size // share)
                whole = np.random.default_rng([self.seed, 1, number, cycle]).permutation(size)
                parts.append(offset + whole[turn * share : (turn + 1) * share])
            offset += size
        positions = np.concatenate(parts).astype(np.int64)
        np.random.default_rng([self.seed, epoch]).shuffle(positions)
        return positions


def mix_order(
    sizes: Sequence[int], weights: Sequence[float], batch_size: int, world_size: int = 1, seed: int = 0
) -> MixOrder:
    """The longest epoch of whole batches in which no sample comes twice.

    Args:
        sizes: Samples of each set that take part.
        weights: Share of each set; any positive numbers.
        batch_size: Samples a batch on each rank.
        world_size: Number of ranks.
        seed: Seed of the run.

    Raises:
        UsageError: The weights are not one positive number a set, or a set is too small for one batch.
    """
    given: Any = np.asarray(weights, dtype=np.float64)
    if given.shape != (len(sizes),) or not np.isfinite(given).all() or not (given > 0).all():
        raise UsageError(
            f"A mix of {len(sizes)} sets needs as many positive weights", seen=list(weights), fix="For example [1, 1]"
        )
    given = given / given.sum()
    together = batch_size * world_size
    batches = int(min(size / weight for size, weight in zip(sizes, given, strict=True)) / together + 1)
    while batches > 0 and any(a > n for a, n in zip(_shares(batches * together, given), sizes, strict=True)):
        batches -= 1
    samples = max(batches, 0) * together
    return MixOrder(samples, batch_size, world_size, seed, True, tuple(sizes), _shares(samples, given))


def _shares(samples: int, weights: NDArray[np.float64]) -> tuple[int, ...]:
    """Whole shares that sum to `samples`: the largest remainders are rounded up, the first of equal ones first."""
    exact = samples * weights
    shares = np.floor(exact).astype(np.int64)
    left = samples - int(shares.sum())
    shares[np.argsort(-(exact - shares), kind="stable")[:left]] += 1
    return tuple(int(share) for share in shares)
