"""What one DICOM file says about itself, and whether it can be a slice of a CT series."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID

from radnet.scans.decoders import LOSSY_SYNTAXES, MAYBE_LOSSY_SYNTAXES, decoding_plugin
from radnet.scans.dicom_elements import (
    Elements,
    number_of,
    numbers_of,
    parts_of,
    positive_of,
    text_of,
)
from radnet.scans.dicom_file import open_dicom
from radnet.scans.functional_groups import PER_FRAME, SHARED, frames_of, is_multi_frame
from radnet.scans.quiet import quiet_readers
from radnet.scans.sizes import require_plausible_slice
from radnet.scans.sources import RefusedError
from radnet.scans.text import named_code, safe_text

REGION_FIELDS = (
    "BodyPartExamined",
    "ProtocolName",
    "SeriesDescription",
    "StudyDescription",
    "RequestedProcedureDescription",
)
KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"),
    *("Modality", "ImageType", "BurnedInAnnotation", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *(
        "Rows",
        "Columns",
        "BitsStored",
        "HighBit",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "GantryDetectorTilt",
    ),
    *("SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "Units"),
    *(
        "ImagerPixelSpacing",
        "LossyImageCompression",
        "AcquisitionNumber",
        "TemporalPositionIdentifier",
        "InstanceNumber",
    ),
    *("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "KVP", "ContrastBolusAgent"),
    *REGION_FIELDS,
    *(SHARED, PER_FRAME),
)

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED = frozenset({f"{CT_STORAGE}.1", f"{CT_STORAGE}.2", f"{MR_STORAGE}.1", f"{MR_STORAGE}.4"})
"""Enhanced CT and MR, and enhanced ones converted from single frames."""
STACKED = ("CT", "MR")
"""Modalities whose slices make volumes."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"

SCREEN_WORDS = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "REPORT", "DOSE", "CT_SOM5 PROT"})
MAP_WORDS = frozenset({"PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "PBV", "IODINE_MAP"})
"""Values of ImageType (PS3.3 C.8.15.3 and common vendors' use) that mark images of words or of other quantities."""

MISSING_REASONS = frozenset({"not_hu", "no_position", "no_pixel_spacing", "no_series"})
"""A file that is cut off in its header lacks something, too; then that it is cut off is the reason."""


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """The header of one CT slice. It holds identifiers and therefore stays inside `radnet.scans`.

    Attributes:
        frame: Number of the frame in its file, from 0; None in a file of one slice.
        orientation: Directions of a row and of a column, LPS, as six numbers.
        position_mm: Centre of the first pixel, LPS.
        pixel_spacing_mm: Distance between rows, distance between columns.
        plugin: What decodes the pixels, see `radnet.scans.decoders`.
        hu_declared: Whether the file leaves no doubt about its unit.
        texts: What may name the body region, field by field.
    """

    series_uid: str
    study_uid: str
    instance_uid: str
    modality: str
    frame: int | None
    patient_id: str
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float]
    orientation: tuple[float, ...]
    position_mm: tuple[float, ...]
    slice_thickness_mm: float | None
    slice_distance_mm: float | None
    tilt_degrees: float
    plugin: str
    slope: float
    intercept: float
    hu_declared: bool
    monochrome1: bool
    lossy: bool
    acquisition: str
    phase: str
    number: int
    manufacturer: str
    kernel: str
    kvp: float | None
    contrast: bool | None
    synthetic: bool
    texts: tuple[tuple[str, str], ...]


def read_headers(path: Path, modalities: Sequence[str] = STACKED) -> tuple[DicomHeader, ...]:
    """Read the headers of the slices in a DICOM file.

    Args:
        path: The file.
        modalities: What to accept, "CT" or "MR" or both.

    Returns:
        One header for a CT slice in Hounsfield units with a position in space; for an enhanced file one a frame, of
        which each is such a slice.

    Raises:
        RefusedError: It is anything else.
    """
    try:
        return parse_headers(open_dicom(path, KEYWORDS), modalities)
    except RefusedError as refused:
        if refused.reason in MISSING_REASONS and "PixelData" not in open_dicom(path):
            raise RefusedError("truncated", "The file ends before its pixel data, or never had any") from refused
        raise


def parse_headers(dataset: Dataset, modalities: Sequence[str] = STACKED) -> tuple[DicomHeader, ...]:
    """The checked headers of an open file; see `read_headers`."""
    with quiet_readers():
        _require_slices(dataset, modalities)
        if not is_multi_frame(dataset):
            if (number_of(dataset, "NumberOfFrames") or 1) > 1 or text_of(dataset, "SOPClassUID") in ENHANCED:
                raise RefusedError("multi_frame", "The file has several frames and does not describe each of them")
            return (_slice_header(dataset),)
        return tuple(_slice_header(frame, number) for number, frame in enumerate(frames_of(dataset)))


def _slice_header(dataset: Elements, frame: int | None = None) -> DicomHeader:
    """The header of one slice.

    Args:
        dataset: The file, or one frame of it.
        frame: Number of the frame, from 0.
    """
    _require_slice(dataset)
    bits = int(number_of(dataset, "BitsStored") or 0)
    slope, intercept, declared = _rescaling(dataset)
    uid = text_of(dataset, "SOPInstanceUID")
    rows, columns = (int(numbers_of(dataset, side, 1, "unreadable")[0]) for side in ("Rows", "Columns"))
    return DicomHeader(
        series_uid=_required_uid(dataset, "SeriesInstanceUID"),
        study_uid=text_of(dataset, "StudyInstanceUID"),
        instance_uid=uid,
        modality=text_of(dataset, "Modality").upper(),
        frame=frame,
        patient_id=_patient_id(dataset),
        rows=rows,
        columns=columns,
        pixel_spacing_mm=_pixel_spacing_mm(dataset),
        orientation=_orientation(dataset),
        position_mm=numbers_of(dataset, "ImagePositionPatient", 3, "no_position"),
        slice_thickness_mm=positive_of(dataset, "SliceThickness"),
        slice_distance_mm=positive_of(dataset, "SpacingBetweenSlices"),
        tilt_degrees=number_of(dataset, "GantryDetectorTilt") or 0.0,
        plugin=decoding_plugin(UID(dataset.file_meta.TransferSyntaxUID), bits),
        slope=slope,
        intercept=intercept,
        hu_declared=declared,
        monochrome1=text_of(dataset, "PhotometricInterpretation") == "MONOCHROME1",
        lossy=is_lossy(dataset),
        acquisition=text_of(dataset, "AcquisitionNumber"),
        phase=text_of(dataset, "TemporalPositionIdentifier"),
        number=int(number_of(dataset, "InstanceNumber") or 0),
        manufacturer=safe_text(text_of(dataset, "Manufacturer")),
        kernel=safe_text(text_of(dataset, "ConvolutionKernel")),
        kvp=positive_of(dataset, "KVP"),
        contrast=_contrast(dataset),
        synthetic=_is_synthetic(dataset),
        texts=region_texts(dataset),
    )


def _require_slices(dataset: Dataset, modalities: Sequence[str]) -> None:
    """Refuse a file that holds no image of these modalities at all.

    Raises:
        RefusedError: See the codes below.
    """
    sop_class = text_of(dataset, "SOPClassUID")
    modality = text_of(dataset, "Modality").upper()
    if text_of(dataset.file_meta, "MediaStorageSOPClassUID") == MEDIA_DIRECTORY or "DirectoryRecordSequence" in dataset:
        raise RefusedError("dicomdir", "This is an index of DICOM files, no image; the files are found without it")
    if not modality:
        raise RefusedError("unreadable", "The DICOM header names no modality")
    if modality not in modalities:
        raise RefusedError("modality", f"The modality is {named_code(modality)}, not {' or '.join(modalities)}")
    if sop_class.startswith(SECONDARY_CAPTURE):
        raise RefusedError("secondary_capture", "A secondary capture shows display grey levels, not Hounsfield units")
    rows, columns = (int(numbers_of(dataset, side, 1, "unreadable")[0]) for side in ("Rows", "Columns"))
    require_plausible_slice(rows, columns)
    if sop_class and not (sop_class in (CT_STORAGE, MR_STORAGE) or sop_class in ENHANCED):
        raise RefusedError("not_an_image", f"The file is of modality {modality} but no {modality} image")
    _require_slice(dataset)


def _require_slice(dataset: Elements) -> None:
    """Refuse a file or frame that is no slice in Hounsfield units.

    Raises:
        RefusedError: See the codes below.
    """
    image_type = {part.strip().upper() for part in parts_of(dataset, "ImageType")}
    if "LOCALIZER" in image_type:
        raise RefusedError("localizer", "A localizer is a projection, not a slice")
    if image_type & SCREEN_WORDS:
        raise RefusedError("secondary_capture", "A screen capture or dose report, no slice")
    if image_type & MAP_WORDS:
        raise RefusedError("not_hu", "A derived map of another quantity than Hounsfield units")
    require_grey(dataset)
    require_no_text(dataset)


def require_grey(dataset: Elements) -> None:
    """Refuse an image whose stored values are no grey values as they stand: colours, and numbers of colours.

    A file that does not say is taken for grey: PhotometricInterpretation is missing from some old archives.

    Raises:
        RefusedError: "colour"; "unreadable" where the bits of a value do not end at its lowest one.
    """
    kind = text_of(dataset, "PhotometricInterpretation").upper()
    if (number_of(dataset, "SamplesPerPixel") or 1) != 1 or kind not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise RefusedError("colour", "The pixels are colours, not grey values")
    bits, high = number_of(dataset, "BitsStored"), number_of(dataset, "HighBit")
    if bits is not None and high is not None and high != bits - 1:  # retired from the standard; decoders ignore it
        raise RefusedError("unreadable", "The bits of a pixel do not begin at the lowest one (HighBit)")


def require_no_text(dataset: Elements) -> None:
    """Refuse an image of which the header says that it shows text.

    Raises:
        RefusedError: "burnt_in_text".
    """
    if text_of(dataset, "BurnedInAnnotation").upper() == "YES":
        raise RefusedError("burnt_in_text", "The header says that text is burnt into the pixels")


def region_texts(dataset: Elements) -> tuple[tuple[str, str], ...]:
    """Header field -> text, of those that may name the body region."""
    return tuple((field, text) for field in REGION_FIELDS if (text := text_of(dataset, field)))


def _rescaling(dataset: Elements) -> tuple[float, float, bool]:
    """Slope, intercept, and whether the result is declared to be in Hounsfield units.

    A CT image's unit is HU unless RescaleType names another (PS3.3 C.8.2.1). "US" is "unspecified"; common
    conversion toolkits write it into every file, so that it neither declares nor denies Hounsfield units.
    """
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    if text_of(dataset, "Modality").upper() == "MR":  # its units are arbitrary: nothing to declare
        return (slope or 1.0), intercept or 0.0, True
    if slope is None or intercept is None or slope == 0:
        raise RefusedError("not_hu", "Without RescaleSlope and RescaleIntercept the values are no Hounsfield units")
    units = {text_of(dataset, keyword).upper() for keyword in ("RescaleType", "Units")} - {""}
    foreign = units - {"HU", "US"}
    if foreign:
        raise RefusedError("not_hu", f"The unit of the pixels is {named_code(min(foreign))}, not HU")
    return slope, intercept, "US" not in units


def _orientation(dataset: Elements) -> tuple[float, ...]:
    """Six direction cosines, made exactly unit and perpendicular."""
    return _directions(numbers_of(dataset, "ImageOrientationPatient", 6, "no_position"))


@lru_cache(maxsize=64)
def _directions(cosines: tuple[float, ...]) -> tuple[float, ...]:
    values = np.array(cosines).reshape(2, 3)
    along_row, along_column = values
    lengths = np.linalg.norm(values, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(float(along_row @ along_column)) > 0.01:
        raise RefusedError("no_position", "ImageOrientationPatient is no pair of perpendicular unit vectors")
    return tuple(float(value) for value in (values / lengths[:, None]).ravel())


def _pixel_spacing_mm(dataset: Elements) -> tuple[float, float]:
    rows_mm, columns_mm = numbers_of(dataset, "PixelSpacing", 2, "no_pixel_spacing")
    if min(rows_mm, columns_mm) <= 0:
        raise RefusedError("no_pixel_spacing", "PixelSpacing is not positive")
    return rows_mm, columns_mm


def _patient_id(dataset: Elements) -> str:
    """The patient's id, empty when there is none.

    Without its issuer: some series of a patient name one and some do not, and a person on two sides of a split does
    more harm than two people under one key.
    """
    return text_of(dataset, "PatientID")


def _required_uid(dataset: Elements, keyword: str) -> str:
    uid = text_of(dataset, keyword)
    if not uid:
        raise RefusedError("no_series", f"{keyword} is missing, so the slice belongs to no series")
    return uid


def is_lossy(dataset: Elements) -> bool:
    """Whether the pixels went through lossy compression, as far as the file says."""
    declared = text_of(dataset, "LossyImageCompression")
    syntax = dataset.file_meta.TransferSyntaxUID
    return declared == "01" or syntax in LOSSY_SYNTAXES or (syntax in MAYBE_LOSSY_SYNTAXES and declared != "00")


def _contrast(dataset: Elements) -> bool | None:
    """True or False when ContrastBolusAgent says so; its absence says nothing."""
    agent = text_of(dataset, "ContrastBolusAgent").upper()
    return None if not agent else agent not in {"NO", "NONE", "N", "NEIN", "KEIN", "OHNE", "NATIV"}


def _is_synthetic(dataset: Elements) -> bool:
    maker = f"{text_of(dataset, 'Manufacturer')} {text_of(dataset, 'ManufacturerModelName')}".casefold()
    words = "".join(sign if sign.isalnum() else " " for sign in maker).split()
    return "phantom" in words or "synthetic" in words
