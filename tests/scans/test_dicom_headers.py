import pickle
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from radnet.scans.archive import read_series
from radnet.scans.dicom_file import looks_like_dicom
from radnet.scans.dicom_headers import read_headers
from radnet.scans.sources import RefusedError
from tests.scans.archives import inventory_of, only_scan, reasons
from tests.scans.dicom_factory import write_slice

SECRET = "Geheimnis"  # noqa: S105
IDENTIFYING = {
    "PatientName": f"{SECRET}^Erika",
    "PatientID": f"{SECRET}4711",
    "PatientBirthDate": "19010203",
    "PatientSex": "F",
    "PatientAddress": f"{SECRET}weg 1",
    "PatientComments": f"{SECRET} comment",
    "OtherPatientNames": f"{SECRET}^Other",
    "PatientMotherBirthName": SECRET,
    "AccessionNumber": f"{SECRET}99",
    "StudyDate": "19020304",
    "SeriesDate": "19020304",
    "AcquisitionDate": "19020304",
    "ContentDate": "19020304",
    "StudyTime": "010203",
    "InstitutionName": f"{SECRET} Hospital",
    "InstitutionAddress": f"{SECRET} Street",
    "InstitutionalDepartmentName": SECRET,
    "ReferringPhysicianName": f"{SECRET}^Doctor",
    "PerformingPhysicianName": SECRET,
    "OperatorsName": SECRET,
    "StationName": SECRET,
    "DeviceSerialNumber": SECRET,
    "StudyID": SECRET,
    "StudyDescription": f"Thorax {SECRET}",
    "SeriesDescription": f"{SECRET} axial",
    "ProtocolName": f"{SECRET} 5mm",
    "RequestedProcedureDescription": SECRET,
    "ImageComments": SECRET,
    "IssuerOfPatientID": SECRET,
    "ContrastBolusAgent": SECRET,
    "ManufacturerModelName": SECRET,
}
UIDS = {
    "StudyInstanceUID": "1.2.9999.1",
    "SeriesInstanceUID": "1.2.9999.2",
    "SOPInstanceUID": "1.2.9999.3",
    "FrameOfReferenceUID": "1.2.9999.4",
}


def test_no_identifier_leaves_the_reader(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    write_slice(root / f"{SECRET}_dir" / f"{SECRET}.dcm", Manufacturer="ACME", **IDENTIFYING, **UIDS)
    write_slice(root / f"{SECRET}2.dcm", **(IDENTIFYING | UIDS | {"Modality": "MR"}))
    inventory = inventory_of(root)
    reading = read_series(inventory.series[0])
    scan, rejects = reading.scan, reading.rejects
    out = pickle.dumps(scan) + repr(scan).encode()
    kept = [(reject.file_key, reject.reason, reject.sentence) for reject in (*inventory.rejects, *rejects)]
    out += repr(kept).encode() + repr(inventory.series[0].tags).encode()
    for secret in (SECRET, "Erika", "4711", "190102", "190203", "1.2.9999", "Hospital", str(tmp_path)):
        assert secret.encode() not in out
    assert (scan.tags.body_region, scan.tags.region_source) == ("thorax", "StudyDescription")
    assert scan.tags.contrast is True


def test_reading_says_nothing(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_slice(tmp_path / "a", **IDENTIFYING)
    path.write_bytes(path.read_bytes().replace(b"19010203", b"1901xx!3") + b"\0\0")
    only_scan(tmp_path)
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "MR"}, "modality"),
        ({"Modality": "RTDOSE"}, "modality"),
        ({"Modality": None}, "unreadable"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary_capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary_capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"}, "not_an_image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1", "NumberOfFrames": 3}, "multi_frame"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]}, "not_hu"),
        ({"BurnedInAnnotation": "YES"}, "burnt_in_text"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"BitsStored": 12, "HighBit": 15}, "unreadable"),
        ({"RescaleSlope": None}, "not_hu"),
        ({"RescaleIntercept": None}, "not_hu"),
        ({"RescaleSlope": 0}, "not_hu"),
        ({"RescaleType": "HU_MOD"}, "not_hu"),
        ({"Units": "GML"}, "not_hu"),
        ({"ImagePositionPatient": None}, "no_position"),
        ({"ImageOrientationPatient": None}, "no_position"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "no_position"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "no_position"),
        ({"PixelSpacing": None}, "no_pixel_spacing"),
        ({"PixelSpacing": [0, 0]}, "no_pixel_spacing"),
        ({"SeriesInstanceUID": None}, "no_series"),
    ],
)
def test_refusals(tmp_path: Path, elements: dict[str, object], reason: str) -> None:
    path = write_slice(tmp_path / "a", **elements)
    with pytest.raises(RefusedError) as caught:
        read_headers(path, ("CT",))
    assert caught.value.reason == reason
    assert reasons(inventory_of(tmp_path)) == {"a": reason}


def test_strange_values_are_not_quoted(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a", RescaleType="Mrs Smith")
    with pytest.raises(RefusedError) as caught:
        read_headers(path)
    assert "Smith" not in caught.value.sentence


@pytest.mark.parametrize(
    ("elements", "synthetic"),
    [
        ({"Manufacturer": "radnet phantom"}, True),
        ({"ManufacturerModelName": "Synthetic CT"}, True),
        ({"Manufacturer": "Phantomas Ltd"}, False),
        ({}, False),
    ],
)
def test_synthetic(tmp_path: Path, elements: dict[str, str], synthetic: bool) -> None:
    assert read_headers(write_slice(tmp_path / "a", **elements))[0].synthetic is synthetic


def test_contrast(tmp_path: Path) -> None:
    agents = {None: None, "Iomeron": True, "NONE": False, "": None}
    found = [read_headers(write_slice(tmp_path / "a", ContrastBolusAgent=agent))[0].contrast for agent in agents]
    assert found == list(agents.values())


def test_texts_are_cleaned(tmp_path: Path) -> None:
    header = read_headers(
        write_slice(tmp_path / "a", Manufacturer="  GE\tMEDICAL  SYSTÈMS " + 40 * "x", ConvolutionKernel=["Br40f", "3"])
    )[0]
    assert header.manufacturer.startswith("GE MEDICAL SYSTMS")
    assert len(header.manufacturer) <= 64
    assert header.kernel == "Br40f 3"


def test_a_data_set_without_preamble_is_read(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    bare = tmp_path / "bare" / "b"
    bare.parent.mkdir()
    dataset.SeriesInstanceUID = "1.2.3"
    with bare.open("wb") as file:
        pydicom.filewriter.write_dataset(_encoded(file), dataset)
    scans = [read_series(source).scan for source in inventory_of(tmp_path).series]
    assert len(scans) == 2
    assert (scans[0].voxels == scans[1].voxels).all()


def _encoded(file: object) -> pydicom.filebase.DicomFileLike:
    wrapped = pydicom.filebase.DicomFileLike(file)
    wrapped.is_implicit_VR, wrapped.is_little_endian = True, True
    return wrapped


def test_a_deflated_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert only_scan(tmp_path).voxels.size
    path.write_bytes(path.read_bytes()[:-40])
    assert reasons(inventory_of(tmp_path)) == {"a": "truncated"}


@pytest.mark.parametrize("kept", [140, 200, 300, 500])
def test_a_header_that_is_cut_off_is_no_crash(tmp_path: Path, kept: int) -> None:
    path = write_slice(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:kept])
    inventory = inventory_of(tmp_path)
    assert not inventory.series
    assert inventory.rejects[0].reason in {"truncated", "unreadable"}


def test_what_looks_like_dicom() -> None:
    assert looks_like_dicom(b"\0" * 128 + b"DICM")
    assert looks_like_dicom(b"\x08\0\x05\0CS\x0a\0")
    assert not looks_like_dicom(b"hello, this is text")
    assert not looks_like_dicom(b"")
