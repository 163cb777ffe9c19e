"""A volume between its files and its orientation, and the order in which slices become one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from radnet.scans.sources import Reject

Voxels = NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.uint8]


@dataclass(frozen=True)
class Volume:
    """A volume as its files hold it, before orientation.

    Attributes:
        voxels: int16 Hounsfield units or uint16 arbitrary units, shape (I, J, K), NIfTI index order; often a view.
        affine: float64, shape (4, 4): index -> mm, RAS+.
        notes: Irregularities that were survived, sorted.
        rejects: Files of the series that were left out.
        holes: Whether a slice was left out that could not be read (a repeated one leaves no hole).
        removed_tags: Keyword -> files that held the element, whose value did not enter the volume.
        places: Where the slices along the last axis really lie, in steps of the affine from the first one, shape (K,);
            None where the affine says it.
    """

    voxels: Voxels
    affine: NDArray[np.float64]
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...] = ()
    holes: bool = False
    removed_tags: Mapping[str, int] = field(default_factory=dict)
    places: NDArray[np.float64] | None = None


def reorder(volume: NDArray[np.generic], order: Sequence[int]) -> None:
    """Bring slices into another order in place, with memory for one slice: `volume[i]` becomes `volume[order[i]]`.

    Args:
        volume: Slices along the first axis.
        order: A permutation of all of them.
    """
    done = [False] * len(order)
    for start in range(len(order)):
        if done[start] or order[start] == start:
            continue
        saved, at = volume[start].copy(), start
        while order[at] != start:
            volume[at] = volume[order[at]]
            done[at] = True
            at = order[at]
        volume[at] = saved
        done[at] = True
