"""What is left out of a scan is counted by name."""

from pathlib import Path

import nibabel as nib
import pydicom

from radnet.scans.archive import read_series
from tests.scans.archives import inventory_of
from tests.scans.dicom_factory import write_slice
from tests.scans.test_nifti import LPS, hu_values


def test_removed_elements_are_counted_by_file(tmp_path: Path) -> None:
    for index in range(3):
        place = [0.0, 0.0, float(index)]
        named = {"PatientName": "Erika^Muster", "StudyDate": "19020304"} if index else {"PatientName": ""}
        write_slice(tmp_path / str(index), ImagePositionPatient=place, Manufacturer="ACME", KVP=120, **named)
    reading = read_series(inventory_of(tmp_path).series[0])
    assert reading.removed_tags == {
        "ImageType": 3,
        "InstanceNumber": 3,
        "PatientID": 3,
        "PatientName": 2,
        "SOPClassUID": 3,
        "SOPInstanceUID": 3,
        "SeriesInstanceUID": 3,
        "StudyDate": 2,
        "StudyInstanceUID": 3,
    }
    assert "Erika" not in repr(reading.removed_tags)


def test_private_elements_count_as_one(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    block = dataset.private_block(0x0009, "Secret Maker", create=True)
    block.add_new(0x01, "LO", "Erika")
    block.add_new(0x02, "LO", "Muster")
    dataset.save_as(path)
    assert read_series(inventory_of(tmp_path).series[0]).removed_tags["private elements"] == 1


def test_texts_of_a_nifti_header(tmp_path: Path) -> None:
    image = nib.Nifti1Image(hu_values(), LPS)
    nib.save(image, tmp_path / "none.nii")
    image.header["descrip"], image.header["aux_file"] = b"Erika", b"file"
    nib.save(image, tmp_path / "some.nii")
    found = {source.name: read_series(source).removed_tags for source in inventory_of(tmp_path).series}
    assert found == {"none.nii": {}, "some.nii": {"descrip": 1, "aux_file": 1}}
