"""The files of one DICOM series, stacked into a volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radnet.scans.dicom_geometry import SAME_POSITION_MM, heights_mm, stack_geometry
from radnet.scans.dicom_pixels import DicomSlice, read_slice
from radnet.scans.hounsfield import looks_like_hu
from radnet.scans.sources import RefusedError, Reject, SeriesSource


@dataclass(frozen=True)
class Volume:
    """A volume as its files hold it, before orientation.

    Attributes:
        hu: int16, shape (I, J, K), NIfTI index order.
        affine: float64, shape (4, 4): index -> mm, RAS+.
        notes: Irregularities that were survived, sorted.
        rejects: Files of the series that were left out.
        holes: Whether a slice was left out that could not be read (a repeated one leaves no hole).
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...] = ()
    holes: bool = False


def read_dicom_series(source: SeriesSource) -> Volume:
    """Decode and stack the slices of a series.

    Args:
        source: A series of kind "dicom".

    Returns:
        The volume, index order (column, row, slice), slices ascending along the normal of the stack.

    Raises:
        UnreadableSeries: No slice can be used, or the values are no Hounsfield units.
    """
    read, rejects = _read_slices(source)
    if not read:
        first = rejects[0]
        raise source.unreadable(first.reason, first.sentence, tuple(rejects))
    holes = bool(rejects)
    orientation = read[0][1].header.orientation
    positions_mm = np.array([item.header.position_mm for _, item in read])
    heights = heights_mm(positions_mm, orientation)
    order = sorted(range(len(read)), key=lambda i: (heights[i], read[i][1].header.number, read[i][0]))
    kept, repeated = _drop_repeats(source, [read[i] for i in order], [float(heights[i]) for i in order])
    rejects += repeated
    slices = [item for _, item in kept]
    hu = np.stack([item.hu for item in slices])
    if not source.declared_hu and not looks_like_hu(hu):
        sentence = "The header leaves the unit open and the values do not look like Hounsfield units"
        raise source.unreadable("not_hu", sentence, tuple(rejects))
    header = slices[0].header
    geometry = stack_geometry(
        np.array([item.header.position_mm for item in slices]),
        orientation,
        header.pixel_spacing_mm,
        header.slice_distance_mm or header.slice_thickness_mm,
        header.tilt_degrees,
    )
    notes = geometry.notes.union(*(item.notes for item in slices))
    return Volume(hu.transpose(2, 1, 0), geometry.affine, tuple(sorted(notes)), tuple(rejects), holes)


def _read_slices(source: SeriesSource) -> tuple[list[tuple[int, DicomSlice]], list[Reject]]:
    """Every readable slice with its number among the series' files, and the rest as rejects."""
    read: list[tuple[int, DicomSlice]] = []
    rejects: list[Reject] = []
    for index, path in enumerate(source.files):
        try:
            item = read_slice(path)
            if read and item.hu.shape != read[0][1].hu.shape:
                raise RefusedError("changed", "The file no longer has the size that the inventory found")
            read.append((index, item))
        except RefusedError as refused:
            rejects.append(source.reject_file(index, refused.reason, refused.sentence))
        except OSError as error:
            sentence = f"The file cannot be opened any more ({type(error).__name__})"
            rejects.append(source.reject_file(index, "unreadable", sentence))
    return read, rejects


def _drop_repeats(
    source: SeriesSource, ordered: Sequence[tuple[int, DicomSlice]], heights: Sequence[float]
) -> tuple[list[tuple[int, DicomSlice]], list[Reject]]:
    """Keep one slice a position: the one with the lowest instance number, then the first file."""
    kept: list[tuple[int, DicomSlice]] = []
    kept_height = -np.inf
    rejects: list[Reject] = []
    for (index, item), height in zip(ordered, heights, strict=True):
        if height - kept_height > SAME_POSITION_MM:
            kept.append((index, item))
            kept_height = height
        elif np.array_equal(item.hu, kept[-1][1].hu):
            rejects.append(source.reject_file(index, "duplicate_slice", "The same slice is in the series already"))
        else:
            sentence = "Another slice with other pixels lies at the same position of the series"
            rejects.append(source.reject_file(index, "conflicting_slice", sentence))
    return kept, rejects
