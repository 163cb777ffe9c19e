"""A phantom series as a genuine DICOM CT series, one file a slice."""

import zlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from radnet.scans.phantom.series import MANUFACTURER, PhantomSeries
from radnet.scans.phantom.wording import words_of

IMPLEMENTATION_UID = generate_uid(entropy_srcs=["radnet", "implementation"])
IMPLEMENTATION_NAME = "RADNET_PHANTOM"
STUDY_DATE = "20200101"
STUDY_TIME = "120000"


def write_dicom_series(series: PhantomSeries, directory: Path, *, seed: int) -> None:
    """Write `IM0001.dcm` … into a directory, in a file order that is not the order in space.

    Stored values are unsigned with an intercept of -1024 or signed with one of 0, and the transfer syntax is
    explicit or implicit little endian, both by patient, so that readers meet every combination.

    Args:
        series: What to write.
        directory: Created if missing.
        seed: Seed of the archive; it decides all UIDs, so that the same call writes the same bytes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    key = zlib.crc32(f"{series.patient}/{series.region}".encode())
    stream = np.random.default_rng([seed, key, 2])
    signed, implicit, shuffled, upside_down = stream.random(4) < (0.4, 0.25, 0.3, 0.5)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset = _common(series, seed, stream, signed=bool(signed))
    intercept = 0 if signed else -1024
    dataset.RescaleIntercept = str(intercept)
    stored = (series.hu - np.int16(intercept)).astype("<i2" if signed else "<u2")
    order = np.arange(len(stored))[::-1] if upside_down else np.arange(len(stored))
    if shuffled:
        order = stream.permutation(order)
    for number, z in enumerate(order, start=1):
        _write_slice(dataset, series, seed, int(z), number, stored[z].tobytes(), directory, syntax)


def _write_slice(
    dataset: Dataset, series: PhantomSeries, seed: int, z: int, number: int, pixels: bytes, directory: Path, syntax: UID
) -> None:
    corner = series.affine @ (0, 0, z, 1)
    position = (round(-float(corner[0]), 3), round(-float(corner[1]), 3), round(float(corner[2]), 3))
    dataset.SOPInstanceUID = _uid(seed, series, "instance", z)
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [f"{value:.3f}" for value in position]
    dataset.SliceLocation = f"{position[2]:.3f}"
    dataset.PixelData = pixels
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    dataset.file_meta = meta
    dataset.save_as(
        directory / f"IM{number:04d}.dcm",
        enforce_file_format=True,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=True,
    )


def _uid(seed: int, series: PhantomSeries, *what: object) -> str:
    return str(generate_uid(entropy_srcs=["radnet phantom", str(seed), series.patient, series.region, *map(str, what)]))


def _common(series: PhantomSeries, seed: int, stream: np.random.Generator, *, signed: bool) -> Dataset:
    """All attributes that the slices share, modules of the CT Image IOD (DICOM PS3.3 A.3)."""
    tags, words = series.tags, words_of(series, stream)
    pixel_mm = float(np.abs(series.affine[0, 0]))
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SOPClassUID = CTImageStorage
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = STUDY_DATE
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = STUDY_TIME
    data.AccessionNumber = ""
    data.Modality = "CT"
    data.Manufacturer = MANUFACTURER
    data.ManufacturerModelName = "radnet phantom"
    data.ReferringPhysicianName = ""
    if words.study:
        data.StudyDescription = words.study
    data.SeriesDescription = words.series
    data.PatientName = "Synthetic^Phantom"
    data.PatientID = series.patient
    data.PatientBirthDate = ""
    data.PatientSex = str(tags["sex"])
    data.PatientAge = f"{int(tags['age']):03d}Y"
    data.PatientComments = words.comment
    if words.body_part:
        data.BodyPartExamined = words.body_part
    data.SliceThickness = str(tags["slice_thickness_mm"])
    data.KVP = str(tags["kvp"])
    data.SpacingBetweenSlices = f"{float(series.affine[2, 2]):.3f}"
    if words.protocol:
        data.ProtocolName = words.protocol
    data.GantryDetectorTilt = "0"
    data.ConvolutionKernel = str(tags["kernel"])
    data.PatientPosition = "HFS"
    if tags["contrast"]:
        data.ContrastBolusAgent = "Iodine (synthetic)"
        data.ContrastBolusRoute = "IV"
    data.StudyInstanceUID = str(generate_uid(entropy_srcs=["radnet phantom", str(seed), series.patient, "study"]))
    data.SeriesInstanceUID = _uid(seed, series, "series")
    data.StudyID = "1"
    data.SeriesNumber = 2
    data.AcquisitionNumber = 1
    data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    data.FrameOfReferenceUID = _uid(seed, series, "frame")
    data.PositionReferenceIndicator = ""
    data.ImageComments = words.comment
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = series.hu.shape[1:]
    data.PixelSpacing = [f"{pixel_mm:.4f}", f"{pixel_mm:.4f}"]
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = int(signed)
    data.BurnedInAnnotation = "NO"
    data.WindowCenter, data.WindowWidth = "40", "400"
    data.RescaleSlope, data.RescaleType = "1", "HU"
    data.LossyImageCompression = "00"
    return data
