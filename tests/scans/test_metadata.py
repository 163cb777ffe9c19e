from pathlib import Path

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.scans.archive import read_series
from tests.scans.archives import HASHER, inventory_of, only_scan, reasons, refused
from tests.scans.dicom_factory import write_series
from tests.scans.test_nifti import LPS, hu_values, write_nifti


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two NIfTI files with masks and one DICOM series of four slices."""
    root = tmp_path / "archive"
    for name in ("a", "b"):
        write_nifti(root / name / "ct.nii.gz", hu_values())
        write_nifti(root / name / "seg.nii.gz", (hu_values() > 1000).astype(np.uint8))
    (root / "a" / "seg.json").write_text("{}")
    write_series(root / "dicom" / "s1")
    return root


def write(root: Path, text: str, name: str = "metadata.csv") -> Path:
    (root / name).write_text(text)
    return root / name


def test_every_column(archive: Path) -> None:
    write(
        archive,
        "path,patient,body_region,modality,synthetic,manufacturer,kernel,kvp,slice_thickness_mm,contrast,mask,label_x\n"
        "a/ct.nii.gz,Patient 7,Oberschenkel links,CT,true,ACME,B30f,120,2.5,no,a/seg.nii.gz,yes\n",
    )
    inventory = inventory_of(archive)
    source = next(source for source in inventory.series if source.name == "a/ct.nii.gz")
    scan = read_series(source).scan
    assert scan.patient_key == HASHER.key("patient", "Patient 7")
    tags = scan.tags
    assert (tags.body_region, tags.region_source) == ("extremities", "metadata.csv")
    assert (tags.synthetic, tags.manufacturer, tags.kernel, tags.kvp) == (True, "ACME", "B30f", 120)
    assert (tags.slice_thickness_mm, tags.contrast, tags.notes) == (2.5, False, ())
    assert scan.slice_labels == {"x": ("yes",) * 4}
    assert scan.mask is not None
    assert scan.mask.dtype == np.uint8
    assert np.array_equal(scan.mask, scan.voxels > 1000)
    found = reasons(inventory)
    assert found["metadata.csv"] == found["a/seg.json"] == "metadata"
    assert found["a/seg.nii.gz"] == "mask"


def test_a_directory_of_dicom_files(archive: Path) -> None:
    write(archive, "path,patient,body_region,label_y\ndicom,P9,spine,1\n")
    source = next(source for source in inventory_of(archive).series if source.kind == "dicom")
    scan = read_series(source).scan
    assert scan.patient_key == HASHER.key("patient", "P9")
    assert scan.tags.body_region == "spine"
    assert scan.slice_labels == {"y": ("1",) * 4}


def test_a_mask_beside_dicom_files_is_not_declared_ct_by_the_row_of_their_directory(archive: Path) -> None:
    write_nifti(archive / "dicom" / "s1" / "mask.nii.gz", (hu_values() > 1000).astype(np.uint8))
    write(archive, "path,patient,modality,label_x\ndicom/s1,P,CT,yes\n")
    source = next(source for source in inventory_of(archive).series if source.name.endswith("mask.nii.gz"))
    assert refused(source).reason == "looks_like_mask"
    assert source.labels == ()
    assert source.patient_key == HASHER.key("patient", "P")


def test_the_nearest_row_counts(archive: Path) -> None:
    write(archive, "path,patient\ndicom,far\ndicom/s1,near\n.,farthest\n")
    with pytest.raises(UsageError, match="Line 2: no file"):
        inventory_of(archive)
    write(archive, "path,patient\ndicom/s1,near\n.,farthest\n")
    patients = {source.name: source.patient_key for source in inventory_of(archive).series}
    assert patients["dicom/s1"] == HASHER.key("patient", "near")
    assert patients["b/ct.nii.gz"] == HASHER.key("patient", "farthest")


def test_a_patient_of_the_metadata_is_that_of_dicom(archive: Path) -> None:
    write(archive, "path,patient\na/ct.nii.gz,P1\n")
    patients = {source.name: source.patient_key for source in inventory_of(archive).series}
    assert patients["a/ct.nii.gz"] == patients["dicom/s1"]


def test_metadata_elsewhere(archive: Path, tmp_path: Path) -> None:
    file = write(tmp_path, "path,modality\na/ct.nii.gz,MR\n", "other.csv")
    write(tmp_path, "path,slice,label_z\nb/ct.nii.gz,1,here\n", "slices.csv")
    inventory = inventory_of(archive, metadata=file)
    assert reasons(inventory)["a/ct.nii.gz"] == "modality"
    source = next(source for source in inventory.series if source.name == "b/ct.nii.gz")
    assert read_series(source).scan.slice_labels == {"z": (None, "here", None, None)}


def test_slice_labels_win_over_series_labels(archive: Path) -> None:
    write(archive, "path,label_x\ndicom/s1,all\n")
    write(archive, "path,slice,label_x,label_y\ndicom/s1,2,one,\ndicom/s1,3,,last\n", "slices.csv")
    source = next(source for source in inventory_of(archive).series if source.kind == "dicom")
    scan = read_series(source).scan
    assert scan.slice_labels == {"x": ("all", "all", "one", "all"), "y": (None, None, None, "last")}


def test_slice_labels_need_all_slices(archive: Path) -> None:
    write(archive, "path,slice,label_x\ndicom/s1,2,one\n", "slices.csv")
    cut = archive / "dicom" / "s1" / "001"
    cut.write_bytes(cut.read_bytes()[:-10])
    source = next(source for source in inventory_of(archive).series if source.kind == "dicom")
    error = refused(source)
    assert error.reason == "slice_labels"
    assert sorted(reject.reason for reject in error.rejects) == ["slice_labels", "truncated"]


@pytest.mark.parametrize(
    ("values", "affine", "reason"),
    [
        (np.zeros((6, 5, 3), np.uint8), LPS, "mask_grid"),
        (np.zeros((6, 5, 4), np.uint8), LPS + 0.02 * np.eye(4)[:, [3, 1, 2, 0]], "mask_grid"),
        (np.zeros((6, 5, 4), np.uint8), np.diag([-0.8, -0.9, 2.4, 1.0]), "mask_grid"),
        (np.full((6, 5, 4), 0.5, np.float32), LPS, "mask_values"),
        (np.full((6, 5, 4), -1, np.int16), LPS, "mask_values"),
        (np.zeros((6, 5, 4, 2), np.uint8), LPS, "mask_unreadable"),
    ],
)
def test_masks_that_do_not_fit(archive: Path, values: np.ndarray, affine: np.ndarray, reason: str) -> None:
    write_nifti(archive / "a" / "seg.nii.gz", values, affine)
    write(archive, "path,mask\na/ct.nii.gz,a/seg.nii.gz\n")
    source = next(source for source in inventory_of(archive).series if source.name == "a/ct.nii.gz")
    assert refused(source).reason == reason


def test_a_mask_in_another_orientation_with_many_labels(archive: Path) -> None:
    labels = np.arange(120, dtype=np.int32).reshape(6, 5, 4) * 10
    turned = LPS.copy()
    turned[:3, 0] *= -1
    turned[:3, 3] = LPS[:3, 0] * 5
    write_nifti(archive / "a" / "seg.nii.gz", labels[::-1], turned)
    write(archive, "path,mask\na/ct.nii.gz,a/seg.nii.gz\n")
    source = next(source for source in inventory_of(archive).series if source.name == "a/ct.nii.gz")
    mask = read_series(source).scan.mask
    assert mask is not None
    assert mask.dtype == np.uint16
    assert np.array_equal(mask, labels.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,pateint\na/ct.nii.gz,x\n", "Did you mean patient"),
        ("path,patient,patient\na/ct.nii.gz,x,y\n", "occurs twice"),
        ("patient\nx\n", "path is missing"),
        ("path\na/cd.nii.gz\n", "Line 2.*Did you mean ct.nii.gz"),
        ("path,patient\n,x\n", "Line 2.*empty"),
        ("path\nb\na/ct.nii.gz\na/../a/ct.nii.gz\n", "Line 4.*Two rows"),
        ("path,body_region\na/ct.nii.gz,spin\n", "Line 2.*body_region.*Did you mean spine"),
        ("path,body_region\na/ct.nii.gz,Thorax/Abdomen\n", "Line 2.*body_region"),
        ("path,kvp\na/ct.nii.gz,high\n", "Line 2.*kvp"),
        ("path,kvp\na/ct.nii.gz,-1\n", "Line 2.*kvp"),
        ("path,synthetic\na/ct.nii.gz,maybe\n", "Line 2.*synthetic"),
        ("path,mask\na/ct.nii.gz,a/sag.nii.gz\n", "Line 2.*mask.*Did you mean seg.nii.gz"),
        ("", "cannot be read"),
        ('path\n"a', "cannot be read"),
    ],
)
def test_bad_metadata(archive: Path, text: str, message: str) -> None:
    file = write(archive, text)
    with pytest.raises(UsageError, match=message) as caught:
        inventory_of(archive)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,slice,label_x\nb/ct.nii.gz,4,x\n", "slice 4 of a series with 4"),
        ("path,slice,label_x\nb/ct.nii.gz,-1,x\n", "Line 2.*from 0"),
        ("path,slice,label_x\nb/ct.nii.gz,1,x\nb/ct.nii.gz,1,y\n", "Line 3.*Two rows"),
        ("path,slice,label_x\nb/cc.nii.gz,1,x\n", "Line 2.*does not exist"),
        ("path,slice,label_x\nb,1,x\n", "holds no series"),
        ("path,slice,value\nb/ct.nii.gz,1,x\n", "Unknown column"),
    ],
)
def test_bad_slice_labels(archive: Path, text: str, message: str) -> None:
    write(archive, text, "slices.csv")
    with pytest.raises(UsageError, match=message):
        inventory_of(archive)


def test_slice_labels_for_a_directory_with_two_series(archive: Path) -> None:
    write_series(archive / "dicom" / "s2", SeriesInstanceUID="1.2.3")
    write(archive, "path,slice,label_x\ndicom,1,x\n", "slices.csv")
    with pytest.raises(UsageError, match="holds 2 series"):
        inventory_of(archive)


def test_a_missing_table_that_was_named(archive: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        inventory_of(archive, metadata=archive / "none.csv")


def test_byte_order_mark_and_empty_rows(archive: Path) -> None:
    (archive / "metadata.csv").write_bytes("\ufeffpath,patient\r\n,\r\na/ct.nii.gz, x \r\n".encode())
    assert HASHER.key("patient", "x") in {source.patient_key for source in inventory_of(archive).series}


def test_one_scan_of_everything(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", hu_values())
    assert only_scan(tmp_path).mask is None
