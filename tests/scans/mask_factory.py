"""Small DICOM SEG and RTSTRUCT files on the series that `dicom_factory` writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.scans.dicom_factory import SERIES, group

RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"


def write_seg(
    path: Path, series: Path, segments: Mapping[str, NDArray[np.bool_]], *, kind: str = "BINARY", **options: Any
) -> Path:
    """Write a SEG on the files of a directory; each segment bool (slices, rows, columns) in the order of the files."""
    sources = []
    for file in sorted(file for file in series.iterdir() if file.suffix != ".dcm"):
        source = pydicom.dcmread(file)
        for keyword in ("PatientName", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"):
            setattr(source, keyword, "")
        for keyword in ("PatientBirthDate", "PatientSex", "StudyID"):
            setattr(source, keyword, "")
        source.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference"])
        sources.append(source)
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(segments, start=1)
    ]
    values = np.stack(list(segments.values()), axis=-1)
    segmentation = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=values.astype(np.uint8) if kind == "BINARY" else values.astype(np.float32),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    segmentation.save_as(path)
    return path


def write_rtstruct(
    path: Path,
    structures: Mapping[str, Sequence[NDArray[np.float64]]],
    *,
    series_uid: str = SERIES,
    kind: str = "CLOSED_PLANAR",
) -> Path:
    """Write an RTSTRUCT; contours as float64 (P, 3), mm, LPS."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = RTSTRUCT_STORAGE
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTSTRUCT_STORAGE, generate_uid(entropy_srcs=[str(path)])
    dataset.Modality, dataset.PatientID = "RTSTRUCT", "P1"
    study = group(RTReferencedSeriesSequence=[group(SeriesInstanceUID=series_uid)])
    dataset.ReferencedFrameOfReferenceSequence = [group(RTReferencedStudySequence=[study])]
    dataset.StructureSetROISequence = [
        group(ROINumber=number, ROIName=name) for number, name in enumerate(structures, start=1)
    ]
    dataset.ROIContourSequence = [
        group(ReferencedROINumber=number, ContourSequence=[_contour(points, kind) for points in contours])
        for number, contours in enumerate(structures.values(), start=1)
    ]
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _contour(points_mm: NDArray[np.float64], kind: str) -> Dataset:
    return group(
        ContourGeometricType=kind,
        NumberOfContourPoints=len(points_mm),
        ContourData=[f"{value:.6g}" for value in points_mm.ravel()],
    )
