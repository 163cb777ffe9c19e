"""How well a predicted volume agrees with the reference: Dice, HD95 and ASSD, a structure at a time.

Dice is 2 |P n R| / (|P| + |R|) over voxels. HD95 is the larger of the two 95th percentiles of the distances from each
surface to the other, ASSD the mean of all of these distances; both in mm on the grid of the volume, by MONAI, whose
surface is the voxels of a structure that touch something else (or the border of the volume).

Empty masks:
- A structure that the reference does not have is not scored in that volume, whatever the model says: all its values
  are NaN there. So all models are scored on the same volumes. What a model draws there is `FALSE_ML`, the mean volume
  of its false alarms in ml, which is NaN where the structure is there.
- Where the reference has it and the model draws nothing, Dice is 0 and both distances are the diagonal of the volume:
  no surface can be farther away.

Shape legend: K structures, Z slices, Y rows, X columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DICE, HD95, ASSD, FALSE_ML = "dice", "hd95_mm", "assd_mm", "false_alarm_ml"
SCORES = (DICE, HD95, ASSD, FALSE_ML)
EMPTY_RULE = (
    "a structure that is not in the reference is not scored in that volume (its predicted volume counts as "
    "false_alarm_ml); one that is there and not predicted has Dice 0 and, as distances, the diagonal of the volume"
)


@dataclass(frozen=True)
class StructureScores:
    """Scores of one structure in one volume; NaN where they are undefined.

    Attributes:
        dice: 0 to 1.
        hd95_mm: 95th percentile of the surface distances.
        assd_mm: Mean of the surface distances.
        false_alarm_ml: Volume that was predicted although the structure is not there.
    """

    dice: float
    hd95_mm: float
    assd_mm: float
    false_alarm_ml: float


def score_volume(
    predicted: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> list[StructureScores]:
    """Scores of every structure of one volume.

    Args:
        predicted: bool, (K, Z, Y, X).
        reference: bool, (K, Z, Y, X).
        spacing_mm: Distances of voxels along (Z, Y, X).

    Raises:
        ValueError: The two have different shapes.
    """
    if predicted.shape != reference.shape or predicted.ndim != 4:
        raise ValueError(f"two volumes (K, Z, Y, X) are needed, not {predicted.shape} and {reference.shape}")
    return [score_structure(ours, theirs, spacing_mm) for ours, theirs in zip(predicted, reference, strict=True)]


def score_structure(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> StructureScores:
    """Scores of one structure, (Z, Y, X); see the module for empty masks."""
    drawn, there = int(predicted.sum()), int(reference.sum())
    if not there:
        return StructureScores(np.nan, np.nan, np.nan, drawn * float(np.prod(spacing_mm)) / 1000)
    if not drawn:
        diagonal_mm = float(np.linalg.norm(np.array(reference.shape) * spacing_mm))
        return StructureScores(0.0, diagonal_mm, diagonal_mm, np.nan)
    dice = 2 * int((predicted & reference).sum()) / (drawn + there)
    hd95_mm, assd_mm = surface_distances(predicted, reference, spacing_mm)
    return StructureScores(dice, hd95_mm, assd_mm, np.nan)


def surface_distances(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> tuple[float, float]:
    """HD95 and ASSD in mm of two structures that are not empty, (Z, Y, X)."""
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # takes seconds
    from monai.metrics.surface_distance import compute_average_surface_distance

    near = _around(predicted | reference)
    ours, theirs = (torch.from_numpy(np.ascontiguousarray(one[near]))[None, None] for one in (predicted, reference))
    spacing = [float(value) for value in spacing_mm]
    hd95 = compute_hausdorff_distance(ours, theirs, include_background=True, percentile=95, spacing=spacing)
    assd = compute_average_surface_distance(ours, theirs, include_background=True, symmetric=True, spacing=spacing)
    return float(hd95), float(assd)


def _around(either: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box around what is set, one voxel larger where the volume goes on: so that edges stay edges."""
    box = []
    for axis in range(3):
        places = np.flatnonzero(either.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(int(places[0]) - 1, 0), int(places[-1]) + 2))
    return tuple(box)


def unit_metrics(names: Sequence[str], scores: Sequence[Sequence[StructureScores]]) -> dict[str, NDArray[np.float64]]:
    """Metric name -> one value a volume, as `UnitValues` takes them.

    "dice_liver" is the Dice of one structure, "dice" the mean over the structures that the volume has, and so on. A
    metric that no volume defines is left out: that depends on the references alone, so it is the same for all models.

    Args:
        names: Names of the K structures.
        scores: Of each volume, of each structure.
    """
    values: dict[str, NDArray[np.float64]] = {}
    for score in SCORES:
        table = np.array([[getattr(one, score) for one in volume] for volume in scores], dtype=np.float64)
        table = table.reshape(len(scores), len(names))
        there = ~np.isnan(table)
        total = np.where(there, table, 0).sum(axis=1)
        values[score] = np.divide(total, there.sum(axis=1), out=np.full(len(table), np.nan), where=there.any(axis=1))
        values |= {f"{score}_{name}": table[:, number] for number, name in enumerate(names)}
    return {name: value for name, value in values.items() if not np.isnan(value).all()}
