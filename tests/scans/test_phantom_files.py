import gzip
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from radnet.errors import UsageError
from radnet.scans.orientation import to_canonical
from radnet.scans.phantom import STRUCTURES, phantom_series, write_phantom_archive
from radnet.scans.phantom.archive import regions_of
from radnet.scans.phantom.dicom_writer import write_dicom_series
from radnet.scans.phantom.nifti_writer import ORIENTATIONS, write_nifti_series
from radnet.scans.scan import REGIONS

SMALL = {"patients": 4, "seed": 3, "series_per_patient": 2, "slices": 5, "size": 64}


TYPE_1 = (
    "Modality", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "FrameOfReferenceUID",
    "StudyInstanceUID", "SeriesInstanceUID", "RescaleIntercept", "RescaleSlope", "PixelData",
)  # fmt: skip
TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "ReferringPhysicianName", "AccessionNumber", "SeriesNumber", "InstanceNumber", "Manufacturer",
    "PositionReferenceIndicator", "SliceThickness", "KVP", "AcquisitionNumber", "PatientPosition",
)  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "mixed"
    write_phantom_archive(out, **SMALL)
    return out


def read_dicom(folder: Path) -> tuple[np.ndarray, np.ndarray, list[pydicom.Dataset]]:
    slices = sorted((pydicom.dcmread(file) for file in folder.glob("*.dcm")), key=lambda d: d.ImagePositionPatient[2])
    hu = np.stack([d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in slices])
    first, last = (np.array(d.ImagePositionPatient, dtype=float) for d in (slices[0], slices[-1]))
    affine = np.eye(4)
    affine[:3, 0] = np.array(slices[0].ImageOrientationPatient[:3], dtype=float) * float(slices[0].PixelSpacing[1])
    affine[:3, 1] = np.array(slices[0].ImageOrientationPatient[3:], dtype=float) * float(slices[0].PixelSpacing[0])
    affine[:3, 2] = (last - first) / (len(slices) - 1)
    affine[:3, 3] = first
    return hu, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, slices


@pytest.mark.parametrize("patient", range(6))
def test_dicom_and_nifti_of_a_series_agree(tmp_path, patient):
    series = phantom_series(0, patient, REGIONS[patient], slices=5, size=64)
    write_dicom_series(series, tmp_path / "dicom", seed=0)
    orientation = ORIENTATIONS[patient % 3]
    write_nifti_series(series, tmp_path / "nifti", orientation=orientation)
    hu, affine, slices = read_dicom(tmp_path / "dicom")
    image = nib.load(tmp_path / "nifti" / "ct.nii.gz")
    assert "".join(nib.aff2axcodes(image.affine)) == orientation
    stored, stored_affine = to_canonical(np.asarray(image.dataobj), image.affine)
    np.testing.assert_array_equal(hu, series.hu)
    np.testing.assert_array_equal(stored, series.hu)
    np.testing.assert_allclose(affine, series.affine, atol=2e-3)
    np.testing.assert_allclose(stored_affine, series.affine, atol=2e-3)
    assert float(slices[0].SpacingBetweenSlices) == pytest.approx(series.affine[2, 2], abs=1e-3)
    seg = nib.load(tmp_path / "nifti" / "seg.nii.gz")
    mask, _ = to_canonical(np.asarray(seg.dataobj), seg.affine)
    np.testing.assert_array_equal(mask, series.mask)


def test_dicom_is_a_ct_series_with_all_required_attributes(mixed):
    for folder in mixed.glob("*/*/"):
        files = sorted(folder.glob("*.dcm"))
        if not files:
            continue
        datasets = [pydicom.dcmread(file) for file in files]
        for data in datasets:
            assert data.SOPClassUID == pydicom.uid.CTImageStorage
            assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
            assert list(data.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
            for name in TYPE_1:
                assert data.get(name) not in (None, ""), name
            for name in TYPE_2:
                assert name in data, name
            assert data.BurnedInAnnotation == "NO"
            assert (data.get("ContrastBolusAgent", "") != "") == (data.get("ContrastBolusRoute", "") != "")
        assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
        assert len({d.SeriesInstanceUID for d in datasets}) == 1
        assert sorted(d.InstanceNumber for d in datasets) == list(range(1, len(datasets) + 1))


def test_synthetic_wherever_it_appears(mixed):
    dicom_files, nifti_files = list(mixed.rglob("*.dcm")), list(mixed.rglob("*.nii.gz"))
    assert dicom_files
    assert nifti_files
    for file in dicom_files:
        data = pydicom.dcmread(file, stop_before_pixels=True)
        for text in (data.SeriesDescription, data.ImageComments, data.Manufacturer, data.PatientComments):
            assert "synthetic" in str(text).lower()
        assert str(data.PatientName) == "Synthetic^Phantom"
        assert data.PatientID.startswith("SYN-")
    for file in nifti_files:
        assert b"synthetic" in bytes(nib.load(file).header["descrip"])
    assert "SYNTHETIC" in (mixed / "README.txt").read_text()
    assert set(pd.read_csv(mixed / "metadata.csv", dtype=str)["synthetic"]) == {"true"}


def test_tables_describe_the_files(mixed):
    metadata = pd.read_csv(mixed / "metadata.csv", dtype=str, keep_default_na=False)
    assert list(metadata.columns) == [
        "path", "patient", "body_region", "modality", "synthetic", "kernel", "kvp", "contrast", "mask",
    ]  # fmt: skip
    assert len(metadata) == 8
    slices = pd.read_csv(mixed / "slices.csv", dtype=str, keep_default_na=False)
    assert list(slices.columns) == [
        "path", "slice", "label_contrast_phase", "label_liver_lesion", "label_vertebra", "label_vertebra_group",
    ]  # fmt: skip
    for row in metadata.itertuples():
        assert (mixed / row.path).exists()
        assert (mixed / row.mask).is_file()
        number = int(row.patient.removeprefix("SYN-"))
        assert row.path.endswith(".nii.gz") == (number % 2 == 1)
        series = phantom_series(3, number, row.body_region, slices=5, size=64)
        labels = slices[slices["path"] == row.path]
        assert labels["slice"].tolist() == ["0", "1", "2", "3", "4"]
        for name, values in series.slice_labels.items():
            assert labels[f"label_{name}"].tolist() == [value or "" for value in values]
        assert (row.contrast == "true") == (series.tags["contrast_phase"] != "native")


def test_mask_of_a_dicom_series_lies_on_its_grid(mixed):
    metadata = pd.read_csv(mixed / "metadata.csv", dtype=str)
    dicom = metadata[~metadata["path"].str.endswith(".nii.gz")]
    for row in dicom.itertuples():
        hu, affine, _ = read_dicom(mixed / row.path)
        seg = nib.load(mixed / row.mask)
        mask, mask_affine = to_canonical(np.asarray(seg.dataobj), seg.affine)
        assert mask.shape == hu.shape
        np.testing.assert_allclose(mask_affine, affine, atol=2e-3)
        names = json.loads((mixed / row.mask.replace(".nii.gz", ".json")).read_text())
        assert names == {str(value): name for value, name in STRUCTURES.items()}


def test_jobs_do_not_change_a_byte(mixed, tmp_path):
    write_phantom_archive(tmp_path / "two", **SMALL, jobs=2)
    assert digests(tmp_path / "two") == digests(mixed)


def test_gzip_carries_no_time(mixed):
    for file in mixed.rglob("*.nii.gz"):
        data = file.read_bytes()
        assert data[4:8] == b"\0\0\0\0"
        assert gzip.decompress(data)


@pytest.mark.parametrize("series_per_patient", range(1, 7))
def test_regions_are_equally_frequent(series_per_patient):
    drawn = [regions_of(0, patient, series_per_patient) for patient in range(36)]
    assert all(len(set(regions)) == series_per_patient for regions in drawn)
    counts = [sum(regions.count(region) for regions in drawn) for region in REGIONS]
    assert max(counts) - min(counts) == 0


@pytest.mark.parametrize(("file_format", "suffix"), [("dicom", ".dcm"), ("nifti", "ct.nii.gz")])
def test_one_format_only(tmp_path, file_format, suffix):
    write_phantom_archive(tmp_path / "a", patients=1, series_per_patient=1, slices=2, size=32, file_format=file_format)
    assert any(name.endswith(suffix) for name in digests(tmp_path / "a"))
    other = "ct.nii.gz" if file_format == "dicom" else ".dcm"
    assert not any(name.endswith(other) for name in digests(tmp_path / "a"))


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(UsageError, match="patients"):
        write_phantom_archive(tmp_path / "a", patients=0)
    with pytest.raises(UsageError, match="series a patient"):
        write_phantom_archive(tmp_path / "a", patients=1, series_per_patient=7)
    with pytest.raises(UsageError, match="file format"):
        write_phantom_archive(tmp_path / "a", patients=1, file_format="png")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="not empty"):
        write_phantom_archive(tmp_path / "full", patients=1)
