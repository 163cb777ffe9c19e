"""DICOM headers gathered into series that can be stacked."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radnet.scans.dicom_geometry import heights_mm, is_axial, same_positions
from radnet.scans.dicom_headers import DicomHeader
from radnet.scans.metadata import MetadataRow

ORIENTATION_DIGITS, SPACING_DIGITS = 3, 4
ORIENTATION_JITTER = 1e-4
"""Direction cosines that are closer than this are one orientation, also where rounding sets them apart."""


@dataclass(frozen=True, slots=True)
class DicomEntry:
    """A usable DICOM file, or one frame of it.

    Attributes:
        path: As found in the archive.
        header: Its header.
        row: The metadata row that covers it.
        row_path: Real path of that row, to tell rows apart.
    """

    path: Path
    header: DicomHeader
    row: MetadataRow | None
    row_path: Path | None


@dataclass(frozen=True)
class DicomGroup:
    """Files that make one volume.

    Attributes:
        identity: What tells this group from all others; it holds identifiers and only ever leaves as a keyed hash.
        entries: Sorted by path, then frame.
    """

    identity: str
    entries: tuple[DicomEntry, ...]

    def slices(self) -> int:
        """Number of slices in canonical orientation."""
        header = self.entries[0].header
        if not is_axial(header.orientation):
            along_row = int(np.abs(np.array(header.orientation[:3])).argmax()) == 2
            return header.columns if along_row else header.rows
        return _distinct_heights([entry.header for entry in self.entries])


def group_series(entries: Iterable[DicomEntry]) -> list[DicomGroup]:
    """Split files into stackable series.

    Files belong together when patient, series UID, orientation, rows, columns, pixel spacing, kernel, lossiness and
    metadata row agree. Where slices of one such series share positions it is split by acquisition, then by temporal
    position, if that resolves the overlap.
    """
    oriented: dict[tuple[object, ...], list[DicomEntry]] = defaultdict(list)
    for entry in entries:
        oriented[_identity(entry, ())].append(entry)
    by_identity: dict[tuple[object, ...], list[DicomEntry]] = defaultdict(list)
    for members in oriented.values():
        names = _orientations({entry.header.orientation for entry in members})
        for entry in members:
            by_identity[_identity(entry, names[entry.header.orientation])].append(entry)
    groups = []
    for identity, members in by_identity.items():
        for part, subset in _separate_overlaps(sorted(members, key=_place)):
            groups.append(DicomGroup("\0".join(map(str, (*identity, part))), tuple(subset)))
    return sorted(groups, key=lambda group: group.identity)


def patient_of(group: DicomGroup) -> str:
    """The patient's own id: metadata, then PatientID, then the study.

    Some exports give every slice a study of its own; the first one then stands for the series.
    """
    header = group.entries[0].header
    studies = (entry.header.study_uid for entry in group.entries)
    return _known_patient(group.entries[0]) or f"study\0{min(filter(None, studies), default=header.series_uid)}"


def _known_patient(entry: DicomEntry) -> str:
    """The id that metadata or header give; empty when there is none."""
    return (entry.row and entry.row.patient) or entry.header.patient_id


def _orientations(found: set[tuple[float, ...]]) -> dict[tuple[float, ...], tuple[float, ...]]:
    """Orientation -> the rounded one by which its series is named.

    Rounded ones are joined under the smallest of them where two of their members are closer than `ORIENTATION_JITTER`.
    """
    rounded: dict[tuple[float, ...], list[tuple[float, ...]]] = defaultdict(list)
    for orientation in sorted(found):
        rounded[tuple(round(value, ORIENTATION_DIGITS) + 0.0 for value in orientation)].append(orientation)
    names = {one: one for one in rounded}
    ordered = sorted(rounded)
    for number, one in enumerate(ordered[:-1]):
        apart = np.abs(np.array(ordered[number + 1 :]) - one).max(axis=1)
        for index in np.flatnonzero(apart < 2 * 10**-ORIENTATION_DIGITS):  # neighbours in rounding
            other = ordered[number + 1 + int(index)]
            differences = np.abs(np.array(rounded[one])[:, None] - np.array(rounded[other])[None])
            if differences.max(axis=2).min() < ORIENTATION_JITTER:
                joined = {names[one], names[other]}
                names |= {key: min(joined) for key, name in names.items() if name in joined}
    return {orientation: names[one] for one, members in rounded.items() for orientation in members}


def _identity(entry: DicomEntry, orientation: tuple[float, ...]) -> tuple[object, ...]:
    header = entry.header
    return (
        _known_patient(entry),
        header.series_uid,
        orientation,
        (header.rows, header.columns),
        tuple(round(value, SPACING_DIGITS) for value in header.pixel_spacing_mm),
        header.kernel,
        header.lossy,
        entry.row.path if entry.row else "",
    )


def _separate_overlaps(entries: Sequence[DicomEntry]) -> list[tuple[str, list[DicomEntry]]]:
    """Split a series whose slices share positions; each part with what tells it from the others."""
    if _overlap(entries):
        for key in (_acquisition, _phase, _acquisition_and_phase):
            parts: dict[str, list[DicomEntry]] = defaultdict(list)
            for entry in entries:
                parts[key(entry)].append(entry)
            if len(parts) > 1 and not any(_overlap(part) for part in parts.values()):
                return sorted(parts.items())
    return [("", list(entries))]


def _overlap(entries: Sequence[DicomEntry]) -> bool:
    """Whether two different images (not copies of one) lie at one position."""
    unique = {
        (head.instance_uid, head.frame, head.position_mm, head.acquisition, head.phase): head
        for head in (entry.header for entry in entries)
    }
    return _distinct_heights(list(unique.values())) < len(unique)


def _distinct_heights(headers: Sequence[DicomHeader]) -> int:
    positions_mm = np.array([header.position_mm for header in headers])
    return 1 + int(same_positions(heights_mm(positions_mm, headers[0].orientation)).max())


def _place(entry: DicomEntry) -> tuple[Path, int]:
    return entry.path, entry.header.frame or 0


def _acquisition(entry: DicomEntry) -> str:
    return entry.header.acquisition


def _phase(entry: DicomEntry) -> str:
    return entry.header.phase


def _acquisition_and_phase(entry: DicomEntry) -> str:
    return f"{entry.header.acquisition}\0{entry.header.phase}"
