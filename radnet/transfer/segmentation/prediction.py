"""From a network to whole volumes of structures, one volume in memory at a time.

Shape legend: V volumes, K structures, Z slices, Y rows, X columns.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.transfer.segmentation.grid import from_view
from radnet.transfer.segmentation.loading import batches
from radnet.transfer.segmentation.networks import SegmentationNetwork
from radnet.transfer.segmentation.volumes import VolumeSplit

THRESHOLD = 0.5


def predicted_slices(
    network: SegmentationNetwork,
    split: VolumeSplit,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    workers: int = 0,
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """What a network draws on every slice, on the slice's own grid: (position, bool (K, Y, X)), in order."""
    network.eval()
    for batch in batches(
        split, np.arange(len(split)), batch_size=batch_size, seed=seed, targets=False, workers=workers
    ):
        with torch.inference_mode():
            probability = torch.sigmoid(network(batch.pictures.to(device))).float().cpu().numpy()
        for position, one in zip(batch.positions, probability, strict=True):
            shape = split.volumes[split.places[position, 0]].shape
            yield int(position), from_view(one, shape[1:]) >= THRESHOLD


def predicted_volumes(
    network: SegmentationNetwork,
    split: VolumeSplit,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    workers: int = 0,
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """(volume, predicted, reference) of every volume, both bool (K, Z, Y, X)."""
    pieces: list[NDArray[np.bool_]] = []
    references: list[NDArray[np.bool_]] = []
    for position, drawn in predicted_slices(
        network, split, batch_size=batch_size, seed=seed, device=device, workers=workers
    ):
        pieces.append(drawn)
        references.append(split.inside(position))
        number = int(split.places[position, 0])
        if len(pieces) == split.volumes[number].shape[0]:
            yield number, np.stack(pieces, axis=1), np.stack(references, axis=1)
            pieces, references = [], []


def volume_dice(
    network: SegmentationNetwork,
    split: VolumeSplit,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    workers: int = 0,
) -> NDArray[np.float64]:
    """Dice of every structure in every volume, float64 (V, K), from counts alone; NaN where it is not scored.

    The rule for empty masks is that of `radnet.transfer.segmentation.scores`.
    """
    counts = np.zeros((3, len(split.volumes), len(split.masks.names)), np.int64)
    for position, drawn in predicted_slices(
        network, split, batch_size=batch_size, seed=seed, device=device, workers=workers
    ):
        there = split.inside(position)
        number = split.places[position, 0]
        for row, plane in enumerate((drawn & there, drawn, there)):
            counts[row, number] += plane.sum(axis=(1, 2))
    both, drawn_all, there_all = counts
    dice: NDArray[np.float64] = np.full(both.shape, np.nan)
    np.divide(2.0 * both, drawn_all + there_all, out=dice, where=there_all > 0)
    return dice


def mean_dice(table: NDArray[np.float64]) -> float:
    """Mean over volumes of the mean over the structures that a volume has; NaN where none has any."""
    there = ~np.isnan(table)
    scored = there.any(axis=1)
    if not scored.any():
        return float("nan")
    sums = np.where(there, table, 0).sum(axis=1)[scored]
    return float((sums / there[scored].sum(axis=1)).mean())
