"""The order, affine and irregularities of a stack of DICOM slices.

Positions and directions are LPS as in DICOM until the affine is done, which is RAS+ as in NIfTI.
Source of the mapping: DICOM PS3.3 C.7.6.2.1.1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME_POSITION_MM = 0.01
TILT_DEGREES = 0.5
EVEN_SHARE = 0.05
"""Distances that differ from the median by less than this share of it are even (rounded headers)."""
STRAIGHT_SHARE = 0.1
"""Slices may lie off the straight line through the stack by this share of the distance between slices."""


@dataclass(frozen=True)
class StackGeometry:
    """Where the slices of a stack lie.

    Attributes:
        affine: float64, shape (4, 4): index (column, row, slice, 1) -> mm, RAS+.
        notes: "uneven_spacing", "gap", "gantry_tilt", "shifted_slices", "slice_distance_assumed", "not_axial".
        places: Where the slices really lie along the normal, in steps of the affine from the first one, shape (N,).
    """

    affine: NDArray[np.float64]
    notes: frozenset[str]
    places: NDArray[np.float64]


def heights_mm(positions_mm: NDArray[np.float64], orientation: tuple[float, ...]) -> NDArray[np.float64]:
    """Position of each slice along the normal of the stack in mm, shape (N,).

    Args:
        positions_mm: Shape (N, 3), LPS.
        orientation: Direction of a row and of a column, six cosines, LPS.
    """
    return positions_mm @ _normal(orientation)


def same_positions(heights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the position of each slice, ascending with the height: slices closer than `SAME_POSITION_MM` share one.

    Args:
        heights: In mm, shape (N,), in any order.

    Returns:
        int64, shape (N,), from 0.
    """
    order = np.argsort(heights, kind="stable")
    numbers = np.zeros(len(heights), np.int64)
    numbers[order[1:]] = np.cumsum(np.diff(heights[order]) > SAME_POSITION_MM)
    return numbers


def is_axial(orientation: tuple[float, ...]) -> bool:
    """Whether the slices lie across the patient's axis rather than along it."""
    return int(np.abs(_normal(orientation)).argmax()) == 2


def stack_geometry(
    positions_mm: NDArray[np.float64],
    orientation: tuple[float, ...],
    pixel_spacing_mm: tuple[float, float],
    single_slice_mm: float | None,
    tilt_degrees: float = 0.0,
) -> StackGeometry:
    """The affine of slices that are sorted along the normal, no two at one position.

    The step from slice to slice is taken from the positions, so a tilted gantry gives a sheared affine. Where the
    distances vary the affine uses their median.

    Args:
        positions_mm: Centres of the first pixels, shape (N, 3), LPS, ascending along the normal.
        orientation: Direction of a row and of a column, six cosines, LPS.
        pixel_spacing_mm: Distance between rows, distance between columns.
        single_slice_mm: Step to use for a single slice, None when the header does not tell.
        tilt_degrees: GantryDetectorTilt; only a single slice needs it.
    """
    notes: set[str] = set() if is_axial(orientation) else {"not_axial"}
    if len(positions_mm) == 1:
        if single_slice_mm is None:
            notes.add("slice_distance_assumed")
        if abs(tilt_degrees) > TILT_DEGREES:
            notes.add("gantry_tilt")
        step_mm = _normal(orientation) * (single_slice_mm or 1.0)
    else:
        step_mm, found = _step_mm(positions_mm, _normal(orientation))
        notes |= found
    affine = np.eye(4)
    affine[:3, 0] = np.array(orientation[:3]) * pixel_spacing_mm[1]
    affine[:3, 1] = np.array(orientation[3:]) * pixel_spacing_mm[0]
    affine[:3, 2] = step_mm
    affine[:3, 3] = positions_mm[0]
    along_mm = heights_mm(positions_mm - positions_mm[0], orientation)
    places = along_mm / float(step_mm @ _normal(orientation))
    return StackGeometry(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, frozenset(notes), places)


def _normal(orientation: tuple[float, ...]) -> NDArray[np.float64]:
    return np.cross(orientation[:3], orientation[3:])


def _step_mm(
    positions_mm: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[NDArray[np.float64], frozenset[str]]:
    """The step from one slice to the next, shape (3,), and what is irregular about the stack."""
    notes: set[str] = set()
    span_mm = positions_mm[-1] - positions_mm[0]
    along_mm = positions_mm @ normal
    distances_mm = np.diff(along_mm)
    median_mm = float(np.median(distances_mm))
    mean_step_mm = span_mm / (len(positions_mm) - 1)
    uneven = np.abs(distances_mm - median_mm) > np.maximum(EVEN_SHARE * median_mm, SAME_POSITION_MM)
    if uneven.any():
        missing_one = len(distances_mm) >= 3 and uneven.sum() == 1
        doubled = abs(float(distances_mm.max()) - 2 * median_mm) <= 2 * EVEN_SHARE * median_mm
        notes.add("gap" if missing_one and doubled else "uneven_spacing")
        mean_step_mm = span_mm * median_mm / float(along_mm[-1] - along_mm[0])
    cosine = float(span_mm @ normal) / float(np.linalg.norm(span_mm))
    if np.degrees(np.arccos(np.clip(cosine, -1, 1))) > TILT_DEGREES:
        notes.add("gantry_tilt")
    share = (along_mm - along_mm[0]) / (along_mm[-1] - along_mm[0])
    off_line_mm = np.linalg.norm(positions_mm - positions_mm[0] - share[:, None] * span_mm, axis=1)
    if off_line_mm.max() > max(STRAIGHT_SHARE * median_mm, SAME_POSITION_MM):
        notes.add("shifted_slices")
    return mean_step_mm, frozenset(notes)
