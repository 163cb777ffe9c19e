"""DICOM masks (SEG and RTSTRUCT): which series they belong to, found without a word in the metadata.

Both name the series that they were drawn on (PS3.3 C.8.20 and C.8.8.5). A mask that `metadata.csv` names goes where
it says; the others go to the series they refer to, unless several masks refer to one series: then a person must say
which one counts.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from radnet.scans.dicom_elements import text_of
from radnet.scans.dicom_file import open_dicom
from radnet.scans.dicom_groups import DicomGroup
from radnet.scans.quiet import quiet_readers
from radnet.scans.sources import RefusedError

MODALITIES = ("SEG", "RTSTRUCT")
_KEYWORDS = ("Modality", "SOPInstanceUID", "ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence")


@dataclass(frozen=True, slots=True)
class MaskHeader:
    """What the header of a mask says. It holds identifiers and stays inside `radnet.scans`.

    Attributes:
        instance_uid: Its own UID, by which copies are told; empty when it has none.
        series_uids: The series it refers to.
    """

    instance_uid: str
    series_uids: tuple[str, ...]


@dataclass(frozen=True)
class MaskAssignment:
    """Where the masks of an archive belong.

    Attributes:
        of_group: Number of a group of slices -> its mask.
        refused: (mask, reason, sentence) of each mask; "mask" for those that are used.
    """

    of_group: dict[int, Path]
    refused: tuple[tuple[Path, str, str], ...]


def mask_header(path: Path) -> MaskHeader | None:
    """The header of a DICOM mask; None for a file that is none.

    Raises:
        RefusedError: The file cannot be read.
    """
    dataset = open_dicom(path, _KEYWORDS)
    if text_of(dataset, "Modality").upper() not in MODALITIES:
        return None
    with quiet_readers():
        try:
            found = {uid for item in _references(dataset) if (uid := text_of(item, "SeriesInstanceUID"))}
        except Exception as error:  # a damaged file can make the parser raise anything
            raise RefusedError("mask_unreadable", "The header of the mask is damaged") from error
    return MaskHeader(text_of(dataset, "SOPInstanceUID"), tuple(sorted(found)))


def assign_masks(groups: Sequence[DicomGroup], masks: Sequence[tuple[Path, MaskHeader]]) -> MaskAssignment:
    """Give every mask to the series that it refers to.

    Args:
        groups: The series of the archive.
        masks: Masks that no metadata name.
    """
    by_series: dict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        by_series[group.entries[0].header.series_uid].append(number)
    candidates: dict[int, list[Path]] = defaultdict(list)
    refused: list[tuple[Path, str, str]] = []
    instances: set[str] = set()
    for path, header in masks:
        if header.instance_uid and header.instance_uid in instances:
            refused.append((path, "duplicate_file", "The same mask is in the archive already"))
            continue
        instances.add(header.instance_uid)
        own = [number for uid in header.series_uids for number in by_series[uid]]
        if not own:
            refused.append((path, "mask_without_scan", "The mask refers to no series of the archive"))
        for number in own:
            candidates[number].append(path)
    used: dict[int, Path] = {}
    clashing: set[Path] = set()
    superseded: set[Path] = set()
    for number, paths in candidates.items():
        row = groups[number].entries[0].row
        if row is not None and row.mask is not None:
            superseded.update(paths)
        elif len(paths) > 1:
            clashing.update(paths)
        else:
            used[number] = paths[0]
    for path in sorted({path for paths in candidates.values() for path in paths}):
        if path in used.values():
            refused.append((path, "mask", "The mask of a scan, used with it"))
        elif path in clashing:
            sentence = "Several masks refer to one series; name the one to use in the column mask of metadata.csv"
            refused.append((path, "mask_ambiguous", sentence))
        else:
            refused.append((path, "mask_superseded", "The metadata name another mask for its series"))
    return MaskAssignment(used, tuple(refused))


def _references(dataset: Dataset) -> Iterator[Dataset]:
    """Every item that names a series: of a SEG directly, of an RTSTRUCT by frame of reference and study."""
    yield from dataset.get("ReferencedSeriesSequence") or ()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            yield from study.get("RTReferencedSeriesSequence") or ()
