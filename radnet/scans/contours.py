"""RTSTRUCT contours as voxels.

A voxel belongs to a structure when its centre lies inside an odd number of the structure's contours of its plane
(even-odd rule): so a contour inside another one is a hole, and one drawn in a single stroke along a keyhole is, too.
Contours are DICOM PS3.3 C.8.8.6, in mm of the patient; the inverse affine of the scan brings them to its grid.

Shape legend: Y rows, X columns of a plane; P points.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from radnet.scans.dicom_elements import number_of, text_of
from radnet.scans.dicom_file import open_dicom
from radnet.scans.planes import Places, plane_at
from radnet.scans.quiet import quiet_readers
from radnet.scans.sources import RefusedError
from radnet.scans.structures import LEFT_OUT, Labels, StructureTable, label_map

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OPEN_CONTOURS, OUTSIDE, GAPS = "open_contours", "mask_outside_scan", "contour_gaps"
"""Notes of a scan: its contours include points and open lines, which have no inside; reach beyond the scan or lie on
slices that it lacks; leave out slices between others."""
FLAT_VOXELS = 0.1
"""The points of a contour may lie off its plane by so many slices."""
OFF_SLICE_VOXELS = 0.35
"""Its plane may lie off a slice by so many."""


@dataclass(frozen=True)
class _Structure:
    """The contours of one structure: each float64 (P, 3) in voxels, (x, y, z)."""

    number: int
    contours: tuple[NDArray[np.float64], ...]


def read_contours(
    path: Path, affine: NDArray[np.float64], places: Places, table: StructureTable
) -> tuple[Labels, frozenset[str]]:
    """Rasterise an RTSTRUCT on the grid of its scan.

    Args:
        path: The file.
        affine: Canonical affine of the scan, (x, y, z, 1) -> mm, RAS+.
        places: Of the planes of the scan.
        table: Numbers of the structures.

    Returns:
        The label map, (Z, Y, X), and notes.

    Raises:
        RefusedError: "mask_unreadable", "mask_structures", "mask_grid" or "mask_overlap".
    """
    dataset = open_dicom(path)
    notes: set[str] = set()
    with quiet_readers():
        try:
            structures = _structures(dataset, affine, table, notes)
        except RefusedError:
            raise
        except Exception as error:  # a damaged file can make the parser raise anything
            raise RefusedError("mask_unreadable", "The contours of the RTSTRUCT are damaged") from error
    if not structures:
        raise RefusedError("mask_structures", "The RTSTRUCT holds no closed contour of a structure that is asked for")
    masks = ((one.number, _filled(one, places, notes)) for one in structures)
    labels, overlap = label_map(masks, tuple(map(len, places)))
    if not labels.any():
        raise RefusedError("mask_grid", "No contour of the RTSTRUCT lies on the scan")
    return labels, overlap | notes


def rasterised(contours: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a plane that contours hold by the even-odd rule.

    A row of pixel centres is crossed by an edge when its ends lie on different sides of the row (an end on the row
    counts as above it); every crossing turns inside and outside for all pixels to its right.

    Args:
        contours: float64 (P, 2), (x, y) in pixels; the centre of the first pixel is (0, 0). They close by themselves.
        shape: (Y, X).

    Returns:
        bool (Y, X).
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), np.int64)
    for points in contours:
        x, y = points.T
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        first = np.clip(np.ceil(np.minimum(y, next_y)), 0, rows).astype(np.int64)
        after = np.clip(np.ceil(np.maximum(y, next_y)), 0, rows).astype(np.int64)
        for edge in np.flatnonzero(after > first):
            row = np.arange(first[edge], after[edge])
            slope = (next_x[edge] - x[edge]) / (next_y[edge] - y[edge])
            at = x[edge] + (row - y[edge]) * slope
            crossings[row, np.clip(np.ceil(at), 0, columns).astype(np.int64)] += 1
    return np.asarray(np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1)


def _structures(
    dataset: Dataset, affine: NDArray[np.float64], table: StructureTable, notes: set[str]
) -> list[_Structure]:
    """The structures of the table with their closed contours, in the order of their numbers."""
    to_voxels = np.asarray(np.linalg.inv(affine) @ np.diag([-1.0, -1.0, 1.0, 1.0]), dtype=np.float64)
    names = {number_of(roi, "ROINumber"): text_of(roi, "ROIName") for roi in dataset.get("StructureSetROISequence", [])}
    found: list[_Structure] = []
    for item in dataset.get("ROIContourSequence", []):
        own = number_of(item, "ReferencedROINumber")
        number = table.number_of(names.get(own, ""), int(own if own is not None else 0))
        if number is None:
            notes.add(LEFT_OUT)
            continue
        contours = tuple(_contours(item, to_voxels, notes))
        if contours:
            found.append(_Structure(number, contours))
    return sorted(found, key=lambda structure: structure.number)


def _contours(item: Dataset, to_voxels: NDArray[np.float64], notes: set[str]) -> Iterator[NDArray[np.float64]]:
    for contour in item.get("ContourSequence", []):
        if text_of(contour, "ContourGeometricType").upper() not in CLOSED:
            notes.add(OPEN_CONTOURS)
            continue
        points_mm = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(points_mm).all():
            raise RefusedError("mask_unreadable", "A contour of the RTSTRUCT holds values that are no numbers")
        yield points_mm @ to_voxels[:3, :3].T + to_voxels[:3, 3]


def _filled(structure: _Structure, places: Places, notes: set[str]) -> NDArray[np.bool_]:
    """The voxels of one structure, (Z, Y, X)."""
    axis = _plane_axis(structure)
    shape = (len(places[0]), len(places[1]), len(places[2]))
    inside = np.zeros(shape, bool)
    planes = np.moveaxis(inside, 2 - axis, 0)  # the grid is (Z, Y, X), points are (x, y, z)
    across = [other for other in (0, 1, 2) if other != axis]
    by_plane: dict[int, list[NDArray[np.float64]]] = {}
    for points in structure.contours:
        plane = plane_at(places[2 - axis], float(np.median(points[:, axis])), OFF_SLICE_VOXELS)
        if plane is None:
            notes.add(OUTSIDE)
            continue
        by_plane.setdefault(plane, []).append(points[:, across])
        limits = np.array([shape[2 - other] for other in across]) - 0.5
        if not ((points[:, across] >= -0.5) & (points[:, across] <= limits)).all():
            notes.add(OUTSIDE)
    for plane, contours in by_plane.items():
        planes[plane] = rasterised(contours, planes.shape[1:])
    if by_plane and len(by_plane) <= max(by_plane) - min(by_plane):
        notes.add(GAPS)
    return inside


def _plane_axis(structure: _Structure) -> int:
    """The axis of the grid, 0 for x to 2 for z, across which all contours of a structure are flat."""
    spread = np.max([np.ptp(points, axis=0) for points in structure.contours], axis=0)
    axis = int(np.argmin(spread))
    if spread[axis] > FLAT_VOXELS:
        raise RefusedError("mask_grid", "The contours of the RTSTRUCT lie in planes that the scan does not have")
    return axis
