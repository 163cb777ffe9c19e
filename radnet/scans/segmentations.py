"""DICOM SEG as voxels on the grid of a scan; highdicom reads the frames.

A SEG stores frames of the slices that hold something, in any orientation and order, so its volume is a box that may
be smaller than the scan. It is placed, never resampled: where its voxels do not fall on those of the scan it is
refused.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radnet.scans.contours import OUTSIDE
from radnet.scans.orientation import to_canonical
from radnet.scans.planes import Places, plane_at
from radnet.scans.quiet import quiet_readers
from radnet.scans.sizes import require_plausible_series
from radnet.scans.sources import RefusedError
from radnet.scans.structures import LEFT_OUT, Labels, StructureTable, label_map

DIRECTION_TOLERANCE = 1e-2
"""Entries of the two affines, in mm a voxel, may differ by so much."""
OFF_GRID_VOXELS = 0.25
"""A corner may lie off the nearest voxel by so much."""


def read_segmentation(
    path: Path, affine: NDArray[np.float64], places: Places, table: StructureTable
) -> tuple[Labels, frozenset[str]]:
    """Read a SEG on the grid of its scan. Fractional segments hold what has at least half of the full value.

    Args:
        path: The file.
        affine: Canonical affine of the scan, (x, y, z, 1) -> mm, RAS+.
        places: Of the planes of the scan.
        table: Numbers of the structures.

    Returns:
        The label map, (Z, Y, X), and notes.

    Raises:
        RefusedError: "mask_unreadable", "mask_structures", "mask_grid", "mask_overlap" or "too_large".
    """
    notes: set[str] = set()
    try:
        with quiet_readers():
            segments = _segments(path, affine, places, table, notes)
            labels, overlap = label_map(segments, tuple(map(len, places)))
    except RefusedError:
        raise
    except Exception as error:  # a damaged file can make the parser raise anything
        raise RefusedError("mask_unreadable", f"The SEG cannot be read ({type(error).__name__})") from error
    return labels, overlap | notes


def _segments(
    path: Path, affine: NDArray[np.float64], places: Places, table: StructureTable, notes: set[str]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Each wanted segment as (number, bool (Z, Y, X)), one in memory at a time."""
    import highdicom  # takes a second

    segmentation = highdicom.seg.segread(path)
    geometry = segmentation.get_volume_geometry()
    if geometry is None:
        raise RefusedError("mask_grid", "The frames of the SEG make no regular volume")
    slices, rows, columns = (int(side) for side in geometry.spatial_shape)
    require_plausible_series(slices, rows, columns)
    box = _Box(np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(geometry.affine), (slices, rows, columns), affine, places)
    wanted: list[tuple[int, int]] = []
    for own in segmentation.segment_numbers:
        description = segmentation.get_segment_description(own)
        number = table.number_of(str(description.segment_label), int(own))
        if number is None:
            notes.add(LEFT_OUT)
        else:
            wanted.append((number, int(own)))
    if not wanted:
        raise RefusedError("mask_structures", "The SEG holds none of the structures that are asked for")
    for number, own in sorted(wanted):
        volume = segmentation.get_volume(segment_numbers=[own], dtype=np.float32)
        yield number, box.placed(np.asarray(volume.array)[..., 0] >= 0.5, notes)


class _Box:
    """Where the box of a SEG lies in its scan.

    Args:
        own_affine: Of the box, index -> mm, RAS+.
        own_shape: Of the box.
        affine: Canonical affine of the scan.
        places: Of the planes of the scan.

    Raises:
        RefusedError: "mask_grid".
    """

    def __init__(
        self,
        own_affine: NDArray[np.float64],
        own_shape: tuple[int, int, int],
        affine: NDArray[np.float64],
        places: Places,
    ) -> None:
        self._own_affine, self._shape = own_affine, tuple(map(len, places))
        flat, turned = to_canonical(np.broadcast_to(np.False_, own_shape), own_affine)
        if not np.allclose(turned[:3, :3], affine[:3, :3], rtol=0, atol=DIRECTION_TOLERANCE):
            raise RefusedError("mask_grid", "The SEG has other directions or distances of voxels than the scan")
        far = np.array([*np.array(flat.shape[::-1]) - 1, 1])
        corners = np.linalg.inv(affine) @ turned @ np.array([[0, 0, 0, 1], far]).T
        first, last = corners[:3, 0][::-1], corners[:3, 1][::-1]  # (z, y, x)
        if np.abs(last - first - far[:3][::-1]).max() > OFF_GRID_VOXELS:
            raise RefusedError("mask_grid", "The voxels of the SEG lie between those of the scan")
        self._planes = [
            [plane_at(of_axis, place, OFF_GRID_VOXELS) for place in np.linspace(start, end, side)]
            for of_axis, start, end, side in zip(places, first, last, flat.shape, strict=True)
        ]

    def placed(self, inside: NDArray[np.bool_], notes: set[str]) -> NDArray[np.bool_]:
        """The voxels of the box on the grid of the scan; what the scan has no planes for is cut off with a note."""
        turned, _ = to_canonical(inside, self._own_affine)
        whole = np.zeros(self._shape, bool)
        own = [[number for number, plane in enumerate(planes) if plane is not None] for planes in self._planes]
        theirs = [[plane for plane in planes if plane is not None] for planes in self._planes]
        if all(_is_span(numbers) for numbers in (*own, *theirs)):  # nearly always, and much faster
            source, target = (tuple(slice(one[0], one[-1] + 1) for one in side) for side in (own, theirs))
            whole[target] = turned[source]
        else:
            whole[np.ix_(*theirs)] = turned[np.ix_(*own)]
        kept, there = int(whole.sum()), int(turned.sum())
        if kept < there:
            notes.add(OUTSIDE)
        if there and not kept:
            raise RefusedError("mask_grid", "A segment of the SEG lies outside of the scan")
        return whole


def _is_span(numbers: list[int]) -> bool:
    """Whether ascending numbers leave none out."""
    return bool(numbers) and numbers[-1] - numbers[0] + 1 == len(numbers)
