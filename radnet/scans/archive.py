"""The archive: which series it holds, and each of them as a scan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed

from radnet.console import progress
from radnet.files import require_directory
from radnet.scans import radiographs, slice_labels
from radnet.scans.describe import Describer
from radnet.scans.dicom_copies import without_copies
from radnet.scans.dicom_elements import text_of
from radnet.scans.dicom_file import looks_like_dicom, open_dicom
from radnet.scans.dicom_groups import DicomEntry, group_series
from radnet.scans.dicom_headers import KEYWORDS, STACKED, DicomHeader, read_headers
from radnet.scans.dicom_masks import MaskHeader, assign_masks, mask_header
from radnet.scans.dicom_series import read_dicom_series
from radnet.scans.flat import read_flat
from radnet.scans.interning import Interner
from radnet.scans.keys import KeyedHash
from radnet.scans.masks import read_mask
from radnet.scans.metadata import MetadataTable, read_metadata
from radnet.scans.nifti import NiftiHeader, is_nifti_name, read_nifti, read_nifti_header
from radnet.scans.orientation import spacing_of, to_canonical
from radnet.scans.pictures import PictureHeader, is_picture_name, read_picture_header
from radnet.scans.planes import canonical_places
from radnet.scans.quiet import quiet_readers
from radnet.scans.radiographs import RadiographHeader
from radnet.scans.scan import Scan
from radnet.scans.sources import (
    Inventory,
    RefusedError,
    Reject,
    SeriesReading,
    SeriesSource,
    UnreadableSeries,
    unforeseen_refused,
)
from radnet.scans.structures import FILE_NAME as STRUCTURES_FILE
from radnet.scans.walk import ArchiveFile, walk_archive

__all__ = ["Inventory", "Reject", "SeriesReading", "SeriesSource", "UnreadableSeries", "read_series", "take_inventory"]

FILES_A_TASK = 64
START_BYTES = 132
OTHER_VOLUMES = (".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".img", ".mgz", ".mgh")
PROBLEMS = {
    "directory": ("unreadable", "The directory cannot be listed"),
    "link": ("unreadable", "The link leads nowhere"),
    "special": ("not_an_image", "This is no regular file"),
    "repeat": ("duplicate_file", "A link to a file that is in the archive anyway"),
}


COPY_SENTENCE = "The same image is in the archive already: instance and series UID, position and size agree"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not used; what `RefusedError` said, in a form that travels between processes."""

    reason: str
    sentence: str


Found = tuple[DicomHeader, ...] | MaskHeader | NiftiHeader | RadiographHeader | PictureHeader | Refusal


def take_inventory(
    root: Path,
    hasher: KeyedHash,
    *,
    metadata: Path | MetadataTable | None = None,
    jobs: int = 1,
    modalities: Sequence[str] = ("CT",),
) -> Inventory:
    """Find all series of an archive from the headers of its files.

    DICOM files are recognised by their content, whatever they are called, NIfTI files by .nii and .nii.gz. Links to
    directories are followed, each directory once. NIfTI files name no patient: without a `patient` in the metadata,
    the directory that holds the file stands for the patient, so that no person is split; scans of several people in
    one directory then count as one patient.

    Args:
        root: The archive.
        hasher: Makes the keys.
        metadata: A metadata CSV (columns in `radnet.scans.metadata.read_metadata`); None takes `metadata.csv` of the
            archive when there is one. Labels of slices are read from `slices.csv` beside it. A table that a program
            made stands for both.
        jobs: Number of processes that read headers.
        modalities: Which images to take: "CT", "MR", "CR", "DX", "PICTURE" (PNG and JPEG files). A NIfTI file, which
            names none, is a CT unless its metadata say MR.

    Raises:
        UsageError: The archive is no directory, or the metadata are malformed or do not fit the archive.
    """
    require_directory(root, "an archive of scans")
    root = root.absolute()
    labels: Mapping[Path, Mapping[int, tuple[tuple[str, str], ...]]] = {}
    labels_file = None
    if isinstance(metadata, MetadataTable):
        table = metadata
    else:
        table = read_metadata(metadata, root)
        labels_file = (table.file.parent if table.file else root) / slice_labels.FILE_NAME
        labels = slice_labels.read_slice_labels(labels_file, root)
    files = walk_archive(root)
    tables = {path.resolve() for path in (table.file, labels_file) if path is not None}
    describer = Describer(root, hasher, table, labels)
    refused: list[Reject] = []
    candidates: list[ArchiveFile] = []
    for file in files:
        refusal = _refusal_by_name(file, table, tables)
        if refusal is None:
            candidates.append(file)
        else:
            count = 0 if file.problem == "directory" else 1
            refused.append(replace(describer.reject(file.path, refusal.reason, refusal.sentence), files=count))
    interner = Interner()
    dicom: list[DicomEntry] = []
    series: list[SeriesSource] = []
    labelled: list[Path | None] = []
    masks: list[tuple[Path, MaskHeader]] = []
    for file, found in zip(candidates, _inspect_all(candidates, jobs, tuple(modalities)), strict=True):
        covering = table.row_of(file.real_path)
        row_path, row = covering if covering else (None, None)
        if isinstance(found, Refusal):
            refused.append(describer.reject(file.path, found.reason, found.sentence))
        elif isinstance(found, MaskHeader):
            masks.append((file.path, found))
        elif row is not None and row.modality not in (None, *modalities):
            sentence = f"The metadata name another modality than {' or '.join(modalities)}"
            refused.append(describer.reject(file.path, "modality", sentence))
        elif isinstance(found, tuple):
            dicom += [DicomEntry(file.path, interner.header(header), row, row_path) for header in found]
        elif isinstance(found, RadiographHeader | PictureHeader):
            series.append(describer.flat_source(file, found, row))
            labelled.append(file.real_path)
        elif (row.modality if row else None) is None and "CT" not in modalities:
            sentence = "A NIfTI file names no modality; a modality column in the metadata does"
            refused.append(describer.reject(file.path, "modality", sentence))
        else:
            series.append(describer.nifti_source(file, found, row, row_names_it=row_path == file.real_path))
            labelled.append(file.real_path)
    kept, copies = without_copies(dicom)
    refused += [describer.reject(path, "duplicate_file", COPY_SENTENCE) for path in copies]
    counted: set[Path] = set()
    groups = group_series(kept)
    assigned = assign_masks(groups, masks)
    refused += [describer.reject(*mask) for mask in assigned.refused]
    for number, group in enumerate(groups):
        source = describer.dicom_source(group, assigned.of_group.get(number))
        shared = tuple(index for index, path in enumerate(source.files) if path in counted)
        counted.update(source.files)
        series.append(replace(source, shared_files=shared))
        labelled.append(describer.labelled_path(group))
    describer.require_all_used(files, labelled)
    rejects = tuple(sorted(refused, key=lambda reject: reject.path))
    seen = sum(file.problem != "directory" for file in files)
    return Inventory(tuple(sorted(series, key=lambda item: (item.patient_key, item.series_key))), rejects, seen)


def read_series(source: SeriesSource) -> SeriesReading:
    """Read one series.

    Args:
        source: From an inventory.

    Returns:
        The scan, the files of the series that were left out of it, and the names of what was removed.

    Raises:
        UnreadableSeries: No scan can be made of it; its rejects stand for all files of the series.
    """
    if source.kind in ("radiograph", "picture"):
        return read_flat(source)
    volume = read_dicom_series(source) if source.kind == "dicom" else read_nifti(source)
    hu, affine = to_canonical(volume.voxels, volume.affine)
    if source.slice_labels and (volume.holes or len(hu) != source.slices):
        sentence = "A slice is missing, so the numbers in slices.csv do not fit any more"
        raise source.unreadable("slice_labels", sentence, volume.rejects)
    mask, mask_notes, rejects = None, frozenset[str](), volume.rejects
    try:
        if source.mask:
            places = canonical_places(volume.places, volume.voxels.shape, volume.affine)
            mask, mask_notes = read_mask(source.mask, hu, affine, places, root=source.root)
    except RefusedError as refused:
        if not source.found_mask_key:
            raise source.unreadable(refused.reason, refused.sentence, volume.rejects) from refused
        rejects = (*rejects, source.without_mask(refused.reason, refused.sentence))
    scan = Scan(
        voxels=hu,
        affine=affine,
        spacing_mm=spacing_of(affine),
        modality=source.modality,
        patient_key=source.patient_key,
        series_key=source.series_key,
        tags=source.tags.with_notes(*volume.notes, *mask_notes),
        slice_labels=slice_labels.labels_by_slice(len(hu), source.labels, source.slice_labels),
        mask=mask,
        split=source.split,
    )
    return SeriesReading(scan, rejects, volume.removed_tags)


def _refusal_by_name(file: ArchiveFile, table: MetadataTable, tables: set[Path]) -> Refusal | None:
    """Refuse what need not be opened."""
    if file.problem:
        return Refusal(*PROBLEMS[file.problem])
    if file.real_path in tables:
        return Refusal("metadata", "A table about the scans")
    if file.real_path in table.masks:
        return Refusal("mask", "The mask of a scan, used with it")
    if file.path.suffix.lower() == ".json" and any(
        file.real_path.with_suffix(suffix) in table.masks for suffix in (".nii", ".nii.gz", ".dcm", "")
    ):
        return Refusal("metadata", "A description of a mask")
    if file.path.name == STRUCTURES_FILE:
        return Refusal("metadata", "The numbers of the structures in masks")
    if table.complete and file.real_path not in table.rows:
        return Refusal("not_listed", "The labels of the data set do not name this file")
    if file.path.name.lower().endswith(OTHER_VOLUMES):
        return Refusal("unsupported_format", "A volume in a format that is not read; convert it to NIfTI")
    return None


def _inspect_all(files: Sequence[ArchiveFile], jobs: int, modalities: tuple[str, ...]) -> Iterator[Found]:
    """Read all headers, in the order of `files`."""
    chunks = [[file.path for file in files[at : at + FILES_A_TASK]] for at in range(0, len(files), FILES_A_TASK)]
    work = Parallel(n_jobs=jobs, return_as="generator")(delayed(_inspect_chunk)(chunk, modalities) for chunk in chunks)
    with progress("reading headers", len(files)) as meter:
        for results in work:
            meter.advance(len(results))
            yield from results


def _inspect_chunk(paths: Sequence[Path], modalities: tuple[str, ...]) -> list[Found]:
    with quiet_readers():
        return [_inspect(path, modalities) for path in paths]


def _inspect(path: Path, modalities: tuple[str, ...]) -> Found:
    """Read one header, or say why there is none."""
    try:
        with unforeseen_refused():
            if is_nifti_name(path):
                return read_nifti_header(path)
            with path.open("rb") as opened:
                start = opened.read(START_BYTES)
            if looks_like_dicom(start):
                return _inspect_dicom(path, modalities)
            if "PICTURE" in modalities and is_picture_name(path):
                return read_picture_header(path)
    except RefusedError as refused:
        return Refusal(refused.reason, refused.sentence)
    except OSError as error:
        return Refusal("unreadable", f"The file cannot be opened ({type(error).__name__})")
    if not start:
        return Refusal("not_an_image", "The file is empty")
    return Refusal("not_an_image", "The content is neither DICOM nor NIfTI")


def _inspect_dicom(path: Path, modalities: tuple[str, ...]) -> Found:
    """A radiograph where they were asked for, slices otherwise, or the mask of some."""
    wanted = [modality for modality in modalities if modality in radiographs.MODALITIES]
    if wanted:
        dataset = open_dicom(path, KEYWORDS)
        if text_of(dataset, "Modality").upper() in wanted:
            return radiographs.radiograph_header(dataset)
    stacked = tuple(modality for modality in modalities if modality in STACKED)
    try:
        return read_headers(path, stacked or modalities)
    except RefusedError as refused:
        mask = mask_header(path) if stacked and refused.reason == "modality" else None
        if mask is None:
            raise
        return mask
