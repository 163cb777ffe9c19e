"""What one DICOM file says about itself, and whether it can be a slice of a CT series."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID

from radnet.scans.decoders import LOSSY_SYNTAXES, MAYBE_LOSSY_SYNTAXES, decoding_plugin
from radnet.scans.dicom_file import open_dicom
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
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "GantryDetectorTilt",
    ),
    *("SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "Units"),
    *("LossyImageCompression", "AcquisitionNumber", "TemporalPositionIdentifier", "InstanceNumber"),
    *("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "KVP", "ContrastBolusAgent"),
    *REGION_FIELDS,
)

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
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


def read_header(path: Path) -> DicomHeader:
    """Read the header of a DICOM file.

    Args:
        path: The file.

    Returns:
        The header, when the file is a single-frame CT slice in Hounsfield units with a position in space.

    Raises:
        RefusedError: It is anything else.
    """
    try:
        return parse_header(open_dicom(path, KEYWORDS))
    except RefusedError as refused:
        if refused.reason in MISSING_REASONS and "PixelData" not in open_dicom(path):
            raise RefusedError("truncated", "The file ends before its pixel data, or never had any") from refused
        raise


def parse_header(dataset: Dataset) -> DicomHeader:
    """The checked header of an open file; see `read_header`."""
    with quiet_readers():
        _require_ct_slice(dataset)
        plugin = decoding_plugin(UID(dataset.file_meta.TransferSyntaxUID), int(_number(dataset, "BitsStored") or 0))
        slope, intercept, declared = _rescaling(dataset)
        orientation = _orientation(dataset)
        rows, columns = (int(_numbers(dataset, side, 1, "unreadable")[0]) for side in ("Rows", "Columns"))
        return DicomHeader(
            series_uid=_required_uid(dataset, "SeriesInstanceUID"),
            study_uid=_text(dataset, "StudyInstanceUID"),
            instance_uid=_text(dataset, "SOPInstanceUID"),
            patient_id=_patient_id(dataset),
            rows=rows,
            columns=columns,
            pixel_spacing_mm=_pixel_spacing_mm(dataset),
            orientation=orientation,
            position_mm=_numbers(dataset, "ImagePositionPatient", 3, "no_position"),
            slice_thickness_mm=_positive(dataset, "SliceThickness"),
            slice_distance_mm=_positive(dataset, "SpacingBetweenSlices"),
            tilt_degrees=_number(dataset, "GantryDetectorTilt") or 0.0,
            plugin=plugin,
            slope=slope,
            intercept=intercept,
            hu_declared=declared,
            monochrome1=_text(dataset, "PhotometricInterpretation") == "MONOCHROME1",
            lossy=_is_lossy(dataset),
            acquisition=_text(dataset, "AcquisitionNumber"),
            phase=_text(dataset, "TemporalPositionIdentifier"),
            number=int(_number(dataset, "InstanceNumber") or 0),
            manufacturer=safe_text(_text(dataset, "Manufacturer")),
            kernel=safe_text(_text(dataset, "ConvolutionKernel")),
            kvp=_positive(dataset, "KVP"),
            contrast=_contrast(dataset),
            synthetic=_is_synthetic(dataset),
            texts=tuple((field, _text(dataset, field)) for field in REGION_FIELDS if _text(dataset, field)),
        )


def _require_ct_slice(dataset: Dataset) -> None:
    """Refuse what is no single CT slice.

    Raises:
        RefusedError: See the codes below.
    """
    sop_class = _text(dataset, "SOPClassUID")
    modality = _text(dataset, "Modality").upper()
    image_type = {part.strip().upper() for part in _parts(dataset, "ImageType")}
    if _text(dataset.file_meta, "MediaStorageSOPClassUID") == MEDIA_DIRECTORY or "DirectoryRecordSequence" in dataset:
        raise RefusedError("dicomdir", "This is an index of DICOM files, no image; the files are found without it")
    if not modality:
        raise RefusedError("unreadable", "The DICOM header names no modality")
    if modality != "CT":
        raise RefusedError("modality", f"The modality is {named_code(modality)}, not CT")
    if sop_class.startswith(SECONDARY_CAPTURE):
        raise RefusedError("secondary_capture", "A secondary capture shows display grey levels, not Hounsfield units")
    rows, columns = (int(_numbers(dataset, side, 1, "unreadable")[0]) for side in ("Rows", "Columns"))
    require_plausible_slice(rows, columns)
    if (_number(dataset, "NumberOfFrames") or 1) > 1 or (sop_class != CT_STORAGE and sop_class.startswith(CT_STORAGE)):
        raise RefusedError("multi_frame", "Several frames in one file (enhanced CT) are not read")
    if sop_class and sop_class != CT_STORAGE:
        raise RefusedError("not_an_image", "The file is of modality CT but no CT image")
    if "LOCALIZER" in image_type:
        raise RefusedError("localizer", "A localizer is a projection, not a slice")
    if image_type & SCREEN_WORDS:
        raise RefusedError("secondary_capture", "A screen capture or dose report, no slice")
    if image_type & MAP_WORDS:
        raise RefusedError("not_hu", "A derived map of another quantity than Hounsfield units")
    if (_number(dataset, "SamplesPerPixel") or 1) != 1:
        raise RefusedError("colour", "The pixels are colours, not Hounsfield units")
    if _text(dataset, "BurnedInAnnotation").upper() == "YES":
        raise RefusedError("burnt_in_text", "The header says that text is burnt into the pixels")


def _rescaling(dataset: Dataset) -> tuple[float, float, bool]:
    """Slope, intercept, and whether the result is declared to be in Hounsfield units.

    A CT image's unit is HU unless RescaleType names another (PS3.3 C.8.2.1). "US" is "unspecified"; common
    conversion toolkits write it into every file, so that it neither declares nor denies Hounsfield units.
    """
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    if slope is None or intercept is None or slope == 0:
        raise RefusedError("not_hu", "Without RescaleSlope and RescaleIntercept the values are no Hounsfield units")
    units = {_text(dataset, keyword).upper() for keyword in ("RescaleType", "Units")} - {""}
    foreign = units - {"HU", "US"}
    if foreign:
        raise RefusedError("not_hu", f"The unit of the pixels is {named_code(min(foreign))}, not HU")
    return slope, intercept, "US" not in units


def _orientation(dataset: Dataset) -> tuple[float, ...]:
    """Six direction cosines, made exactly unit and perpendicular."""
    values = np.array(_numbers(dataset, "ImageOrientationPatient", 6, "no_position")).reshape(2, 3)
    along_row, along_column = values
    lengths = np.linalg.norm(values, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(float(along_row @ along_column)) > 0.01:
        raise RefusedError("no_position", "ImageOrientationPatient is no pair of perpendicular unit vectors")
    return tuple(float(value) for value in (values / lengths[:, None]).ravel())


def _pixel_spacing_mm(dataset: Dataset) -> tuple[float, float]:
    rows_mm, columns_mm = _numbers(dataset, "PixelSpacing", 2, "no_pixel_spacing")
    if min(rows_mm, columns_mm) <= 0:
        raise RefusedError("no_pixel_spacing", "PixelSpacing is not positive")
    return rows_mm, columns_mm


def _patient_id(dataset: Dataset) -> str:
    """The patient's id, empty when there is none.

    Without its issuer: some series of a patient name one and some do not, and a person on two sides of a split does
    more harm than two people under one key.
    """
    return _text(dataset, "PatientID")


def _required_uid(dataset: Dataset, keyword: str) -> str:
    uid = _text(dataset, keyword)
    if not uid:
        raise RefusedError("no_series", f"{keyword} is missing, so the slice belongs to no series")
    return uid


def _is_lossy(dataset: Dataset) -> bool:
    declared = _text(dataset, "LossyImageCompression")
    syntax = dataset.file_meta.TransferSyntaxUID
    return declared == "01" or syntax in LOSSY_SYNTAXES or (syntax in MAYBE_LOSSY_SYNTAXES and declared != "00")


def _contrast(dataset: Dataset) -> bool | None:
    """True or False when ContrastBolusAgent says so; its absence says nothing."""
    agent = _text(dataset, "ContrastBolusAgent").upper()
    return None if not agent else agent not in {"NO", "NONE", "N", "NEIN", "KEIN", "OHNE", "NATIV"}


def _is_synthetic(dataset: Dataset) -> bool:
    maker = f"{_text(dataset, 'Manufacturer')} {_text(dataset, 'ManufacturerModelName')}".casefold()
    words = "".join(sign if sign.isalnum() else " " for sign in maker).split()
    return "phantom" in words or "synthetic" in words


def _value(dataset: Dataset, keyword: str) -> Any:
    """The value of an element, None when it is missing or cannot be understood."""
    try:
        return dataset.get(keyword)
    except Exception:  # the conversion of a malformed value can raise anything
        return None


def _parts(dataset: Dataset, keyword: str) -> list[str]:
    value = _value(dataset, keyword)
    if value is None:
        return []
    return [str(part) for part in value] if not isinstance(value, str) and hasattr(value, "__iter__") else [str(value)]


def _text(dataset: Dataset, keyword: str) -> str:
    return " ".join(_parts(dataset, keyword)).strip()


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        number = float(_parts(dataset, keyword)[0])
    except (ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def _positive(dataset: Dataset, keyword: str) -> float | None:
    number = _number(dataset, keyword)
    return number if number is not None and number > 0 else None


def _numbers(dataset: Dataset, keyword: str, count: int, reason: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in _parts(dataset, keyword))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise RefusedError(reason, f"{keyword} is missing or malformed")
    return numbers
