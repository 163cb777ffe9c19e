"""One look at every mask of a split before anything is trained: where structures are, and whether scores can be had."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.console import progress, warn
from radnet.errors import RadnetError, UsageError
from radnet.transfer.segmentation.volumes import VolumeSplit


@dataclass(frozen=True)
class Census:
    """What the masks of a split hold.

    Attributes:
        pixels: Pixels of each structure in each slice, int64, (N, K).
        by_volume: The same summed over volumes, int64, (V, K).
    """

    pixels: NDArray[np.int64]
    by_volume: NDArray[np.int64]

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """Whether a slice shows any structure, (N,)."""
        return np.asarray(self.pixels.any(axis=1))


def take_census(split: VolumeSplit, name: str) -> Census:
    """Read every mask of a split.

    Args:
        split: The volumes.
        name: "train", "val" or "test", for messages.

    Raises:
        RadnetError: A mask cannot be read, has another size than its image, or holds labels outside the task.
    """
    pixels = np.zeros((len(split), len(split.masks.names)), np.int64)
    with progress(f"masks of {name}", len(split)) as meter:
        for position in range(len(split)):
            pixels[position] = split.inside(position).sum(axis=(1, 2))
            meter.advance()
    by_volume = np.zeros((len(split.volumes), pixels.shape[1]), np.int64)
    np.add.at(by_volume, split.places[:, 0], pixels)
    return Census(pixels, by_volume)


def require_usable(name: str, split: VolumeSplit, census: Census) -> dict[str, Any]:
    """Refuse a split of which nothing can be learned or scored; say what is missing in one that can be used.

    Args:
        name: "train", "val" or "test".
        split: The volumes.
        census: What their masks hold.

    Returns:
        For the record: structures that no volume of the split has, and the number of volumes without any.

    Raises:
        UsageError: There is no volume.
        RadnetError: No volume shows any structure.
    """
    if not split.volumes:
        raise UsageError(
            f"The {name} split holds no volume with a mask",
            file=split.shards.path,
            fix="Build the set with more patients with masks, or with other --split-fractions",
        )
    found: dict[str, Any] = {}
    absent = [one for one, count in zip(split.masks.names, census.by_volume.sum(axis=0), strict=True) if not count]
    if len(absent) == len(split.masks.names):
        raise RadnetError(
            f"No volume of the {name} split shows any of the structures {', '.join(absent)}",
            file=split.shards.path,
            fix="Check the numbers in task.masks.structures against the masks",
        )
    if absent:
        warn(f"no volume of the {name} split shows {', '.join(absent)}")
        found[f"structures_missing_in_{name}"] = absent
    empty = int((~census.by_volume.any(axis=1)).sum())
    if empty:
        found[f"{name}_volumes_without_foreground"] = empty
    return found
