"""Radiographs (CR, DX) in DICOM: single projections without a place in space and without a physical unit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID

from radnet.scans.decoders import decoding_plugin
from radnet.scans.dicom_elements import number_of, numbers_of, text_of
from radnet.scans.dicom_file import open_dicom
from radnet.scans.dicom_headers import is_lossy, region_texts, require_grey, require_no_text
from radnet.scans.dicom_pixels import stored_pixels
from radnet.scans.hounsfield import to_uint16
from radnet.scans.removed import removed_keywords
from radnet.scans.sizes import require_plausible_slice
from radnet.scans.sources import RefusedError
from radnet.scans.text import safe_text

MODALITIES = ("CR", "DX")


@dataclass(frozen=True, slots=True)
class RadiographHeader:
    """The header of one radiograph. It holds identifiers and therefore stays inside `radnet.scans`.

    Attributes:
        spacing_mm: Distance between rows and between columns; None when the file does not say.
        notes: "imager_spacing" where the spacing is that of the detector, which magnification enlarges;
            "no_pixel_spacing" where there is none.
    """

    modality: str
    patient_id: str
    study_uid: str
    instance_uid: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None
    notes: tuple[str, ...]
    inverted: bool
    plugin: str
    lossy: bool
    manufacturer: str
    kvp: float | None
    texts: tuple[tuple[str, str], ...]


def radiograph_header(dataset: Dataset) -> RadiographHeader:
    """The checked header of an open file of modality CR or DX.

    Raises:
        RefusedError: Colours, several frames, burnt-in text, or no size.
    """
    if (number_of(dataset, "NumberOfFrames") or 1) > 1:
        raise RefusedError("multi_frame", "The radiograph has several frames")
    require_grey(dataset)
    require_no_text(dataset)
    rows, columns = (int(numbers_of(dataset, side, 1, "unreadable")[0]) for side in ("Rows", "Columns"))
    require_plausible_slice(rows, columns)
    spacing, notes = _spacing_mm(dataset)
    return RadiographHeader(
        modality=text_of(dataset, "Modality").upper(),
        patient_id=text_of(dataset, "PatientID"),
        study_uid=text_of(dataset, "StudyInstanceUID"),
        instance_uid=text_of(dataset, "SOPInstanceUID"),
        rows=rows,
        columns=columns,
        spacing_mm=spacing,
        notes=notes,
        inverted=text_of(dataset, "PhotometricInterpretation") == "MONOCHROME1",
        plugin=decoding_plugin(UID(dataset.file_meta.TransferSyntaxUID), int(number_of(dataset, "BitsStored") or 0)),
        lossy=is_lossy(dataset),
        manufacturer=safe_text(text_of(dataset, "Manufacturer")),
        kvp=number_of(dataset, "KVP"),
        texts=region_texts(dataset),
    )


def read_radiograph(path: Path) -> tuple[NDArray[np.uint16], tuple[str, ...], tuple[str, ...]]:
    """The pixels of a radiograph, bright where the body is dense.

    Args:
        path: A file of which `radiograph_header` took the header.

    Returns:
        uint16 (Y, X); notes ("shifted" where negative values were moved up); keywords of removed elements.

    Raises:
        RefusedError: The pixels are missing, cut off, not decodable, or need more than 16 bits.
    """
    dataset = open_dicom(path)
    header = radiograph_header(dataset)
    stored = stored_pixels(dataset, header.rows, header.columns, header.plugin).astype(np.int32)
    if header.inverted:
        stored = int(stored.max()) - stored
    pixels, notes = to_uint16(stored)
    return pixels, notes, removed_keywords(dataset)


def _spacing_mm(dataset: Dataset) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    for keyword, notes in (("PixelSpacing", ()), ("ImagerPixelSpacing", ("imager_spacing",))):
        try:
            rows_mm, columns_mm = numbers_of(dataset, keyword, 2, "no_pixel_spacing")
        except RefusedError:
            continue
        if min(rows_mm, columns_mm) > 0:
            return (rows_mm, columns_mm), notes
    return None, ("no_pixel_spacing",)
