"""The files of one DICOM series, decoded one after another into one volume."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.scans.dicom_geometry import heights_mm, same_positions, stack_geometry
from radnet.scans.dicom_headers import DicomHeader
from radnet.scans.dicom_pixels import DicomSlice, read_frames, read_slice
from radnet.scans.hounsfield import looks_like_hu, to_uint16
from radnet.scans.sizes import require_plausible_series
from radnet.scans.sources import RefusedError, Reject, SeriesSource, unforeseen_refused
from radnet.scans.volume import Volume, reorder


@dataclass
class _Stack:
    """Slices in the order in which they were read, all in one array.

    Attributes:
        voxels: As many slices as the series may have; only the first `len(headers)` are filled.
        files: Number of each slice's file.
        headers: One a slice.
        notes: Of all slices.
        rejects: What could not be read.
        removed: Keyword -> files.
    """

    voxels: NDArray[np.int16] | NDArray[np.int32] | None = None
    files: list[int] = field(default_factory=list)
    headers: list[DicomHeader] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)

    def add(self, index: int, item: DicomSlice, capacity: int) -> None:
        """Keep a slice.

        Raises:
            RefusedError: It does not fit to the others.
        """
        if self.voxels is None:
            require_plausible_series(capacity, *item.values.shape)
            self.voxels = np.empty((capacity, *item.values.shape), item.values.dtype)
        if item.values.shape != self.voxels.shape[1:]:
            raise RefusedError("changed", "The file no longer has the size that the inventory found")
        self.voxels[len(self.headers)] = item.values
        self.files.append(index)
        self.headers.append(item.header)
        self.notes |= item.notes


def read_dicom_series(source: SeriesSource) -> Volume:
    """Decode and stack the slices of a series.

    The volume is the only array of its size: slices are decoded into it one by one and then put in order in place.

    Args:
        source: A series of kind "dicom".

    Returns:
        The volume, index order (column, row, slice), slices ascending along the normal of the stack.

    Raises:
        UnreadableSeries: No slice can be used, or the values are no Hounsfield units.
    """
    stack = _read_slices(source)
    if stack.voxels is None:
        first = stack.rejects[0]
        raise source.unreadable(first.reason, first.sentence, tuple(stack.rejects))
    holes = bool(stack.rejects)
    orientation = stack.headers[0].orientation
    heights = heights_mm(np.array([header.position_mm for header in stack.headers]), orientation)
    places = same_positions(heights)
    order = sorted(range(len(heights)), key=lambda i: (places[i], stack.headers[i].number, stack.files[i], i))
    kept = _drop_repeats(source, stack, order, places)
    left = sorted(set(order) - set(kept))
    volume: NDArray[Any] = stack.voxels[: len(order)]
    reorder(volume, [*kept, *left])
    volume = volume[: len(kept)]
    if not source.declared_hu and not looks_like_hu(volume):
        sentence = "The header leaves the unit open and the values do not look like Hounsfield units"
        raise source.unreadable("not_hu", sentence, tuple(stack.rejects))
    headers = [stack.headers[i] for i in kept]
    if source.modality == "MR":
        try:
            volume, shifted = _arbitrary_units(volume, headers)
        except RefusedError as refused:
            raise source.unreadable(refused.reason, refused.sentence, tuple(stack.rejects)) from refused
        stack.notes.update(shifted)
    geometry = stack_geometry(
        np.array([header.position_mm for header in headers]),
        orientation,
        headers[0].pixel_spacing_mm,
        headers[0].slice_distance_mm or headers[0].slice_thickness_mm,
        headers[0].tilt_degrees,
    )
    return Volume(
        volume.transpose(2, 1, 0),
        geometry.affine,
        tuple(sorted(geometry.notes | stack.notes)),
        tuple(stack.rejects),
        holes,
        dict(sorted(stack.removed.items())),
        geometry.places,
    )


def _arbitrary_units(
    stored: NDArray[np.integer], headers: Sequence[DicomHeader]
) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Stored values of MR as uint16. Slope and intercept only matter where they differ from slice to slice.

    There whole numbers keep their steps; fractions are stretched from their minimum to their maximum over all 16 bits,
    as those of NIfTI files are.

    Raises:
        RefusedError: "value_range".
    """
    if len({(header.slope, header.intercept) for header in headers}) == 1:
        return to_uint16(np.asarray(stored, dtype=np.int32))

    def scaled() -> Iterator[NDArray[np.float64]]:
        for values, header in zip(stored, headers, strict=True):
            yield values.astype(np.float64) * header.slope + header.intercept

    low, high, whole = np.inf, -np.inf, True
    for values in scaled():
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        whole = whole and bool((values == np.rint(values)).all())
    most = np.iinfo(np.uint16).max
    scale, notes = 1.0, tuple[str, ...]()
    if not whole:
        scale, notes = (most / (high - low) if high > low else 1.0), ("stretched",)
    else:
        low, notes = (low, ("shifted",)) if low < 0 else (0.0, ())
        if high - low > most:
            raise RefusedError("value_range", "The values need more than 16 bits")
    units = np.empty(stored.shape, np.uint16)
    for number, values in enumerate(scaled()):
        units[number] = np.rint((values - low) * scale)
    return units, notes


def _read_slices(source: SeriesSource) -> _Stack:
    """Every readable slice, and the rest as rejects."""
    stack = _Stack()
    capacity = sum(max(len(frames), 1) for frames in source.frames) if source.frames else len(source.files)
    for index, path in enumerate(source.files):
        try:
            if source.frames and source.frames[index]:
                _read_frames(source, index, stack, capacity)
            else:
                with unforeseen_refused():
                    item = read_slice(path)
                stack.add(index, item, capacity)
                stack.removed.update(item.removed)
        except RefusedError as refused:
            stack.rejects.append(source.reject_file(index, refused.reason, refused.sentence))
        except OSError as error:
            sentence = f"The file cannot be opened any more ({type(error).__name__})"
            stack.rejects.append(source.reject_file(index, "unreadable", sentence))
    return stack


def _read_frames(source: SeriesSource, index: int, stack: _Stack, capacity: int) -> None:
    """Add the frames of one file.

    Raises:
        RefusedError: None of them can be read.
    """
    before, refusals = len(stack.headers), list[RefusedError]()
    removed: tuple[str, ...] = ()
    items = read_frames(source.files[index], source.frames[index])
    while True:
        with unforeseen_refused():
            item = next(items, None)
        if item is None:
            break
        if isinstance(item, RefusedError):
            refusals.append(item)
        else:
            stack.add(index, item, capacity)
            removed = item.removed
    if len(stack.headers) == before:
        raise refusals[0]
    stack.rejects += [source.reject_slices(index, refused.reason, refused.sentence) for refused in refusals]
    if index not in source.shared_files:
        stack.removed.update(removed)


def _drop_repeats(source: SeriesSource, stack: _Stack, order: Sequence[int], places: NDArray[np.int64]) -> list[int]:
    """Keep one slice a position: the one with the lowest instance number, then the first file."""
    kept: list[int] = []
    for i in order:
        if not kept or places[i] != places[kept[-1]]:
            kept.append(i)
        elif stack.voxels is not None and np.array_equal(stack.voxels[i], stack.voxels[kept[-1]]):
            sentence = "The same slice is in the series already"
            stack.rejects.append(_reject(source, stack, i, "duplicate_slice", sentence))
        else:
            sentence = "Another slice with other pixels lies at the same position of the series"
            stack.rejects.append(_reject(source, stack, i, "conflicting_slice", sentence))
    return kept


def _reject(source: SeriesSource, stack: _Stack, i: int, reason: str, sentence: str) -> Reject:
    reject = source.reject_file if stack.headers[i].frame is None else source.reject_slices
    return reject(stack.files[i], reason, sentence)
