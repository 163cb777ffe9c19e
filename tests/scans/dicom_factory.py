"""Small CT series written with pydicom, with whatever is wrong that a test asks for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1, 0, 0, 0, 1, 0)
SERIES, STUDY = generate_uid(entropy_srcs=["series"]), generate_uid(entropy_srcs=["study"])


def pixels(rows: int = 6, columns: int = 8, seed: int = 0) -> NDArray[np.int16]:
    """Stored values that become air to bone with the default intercept of -1024."""
    return np.random.default_rng(seed).integers(0, 2500, (rows, columns)).astype(np.int16)


def write_slice(path: Path, stored: NDArray[Any] | None = None, **elements: Any) -> Path:
    """Write one CT slice.

    Args:
        path: Where to; directories are made.
        stored: Stored values, int16 or uint16 (or uint8); None draws some.
        elements: DICOM keyword -> value; None leaves the element out.
    """
    stored = pixels() if stored is None else stored
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", CTImageStorage)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=[str(path)]),
        "SeriesInstanceUID": SERIES,
        "StudyInstanceUID": STUDY,
        "PatientID": "P1",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [-10.0, -20.0, 0.0],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 2.0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": stored.dtype.itemsize * 8,
        "HighBit": stored.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(np.issubdtype(stored.dtype, np.signedinteger)),
        "InstanceNumber": 1,
    }
    for keyword, value in (values | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_series(
    directory: Path, heights_mm: Sequence[float] = (0, 2, 4, 6), **elements: Any
) -> list[NDArray[np.int16]]:
    """Write one axial slice a height, in the order given; returns their stored values."""
    stored = [pixels(seed=index) for index in range(len(heights_mm))]
    for index, (height_mm, values) in enumerate(zip(heights_mm, stored, strict=True)):
        placed = {"ImagePositionPatient": [-10.0, -20.0, float(height_mm)], "InstanceNumber": index + 1}
        write_slice(directory / f"{index:03d}", values, **(placed | elements))
    return stored


def group(**elements: Any) -> Dataset:
    """A sequence item with these elements."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def write_frames(path: Path, stored: NDArray[Any], places: Sequence[Dataset], **elements: Any) -> Path:
    """Write an enhanced CT file.

    Args:
        path: Where to.
        stored: Stored values, shape (frames, rows, columns).
        places: The functional groups of each frame; `frame_at` makes them.
        elements: As in `write_slice`.
    """
    write_slice(path, stored[0])
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    flat = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope")
    for keyword in (*flat, "RescaleIntercept", "RescaleType"):
        delattr(dataset, keyword)
    dataset.NumberOfFrames = len(stored)
    shared = group(
        PixelMeasuresSequence=[group(PixelSpacing=[0.5, 0.75], SliceThickness=2.0)],
        PlaneOrientationSequence=[group(ImageOrientationPatient=list(AXIAL))],
        PixelValueTransformationSequence=[group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = list(places)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def frame_at(height_mm: float, **groups: Any) -> Dataset:
    """Functional groups of an axial frame at a height."""
    return group(PlanePositionSequence=[group(ImagePositionPatient=[-10.0, -20.0, float(height_mm)])], **groups)
