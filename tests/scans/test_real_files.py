"""Every real file beside the checkout through the readers."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from radnet.scans.archive import read_series
from radnet.scans.dicom_pixels import read_slice
from radnet.scans.orientation import to_canonical
from radnet.scans.scan import Scan
from radnet.scans.sources import RefusedError
from tests.scans.archives import inventory_of, only_scan, reasons, refused

LOSSLESS = "implicit_le explicit_be deflated rle jpeg_lossless_57 jpeg_lossless_sv1_70 jpegls_80 j2k_lossless_90"
LOSSY = {"jpegls_near_81": 1, "j2k_91": 16, "jpeg_baseline_50": 40}

REFUSED = {
    "DICOMDIR": "dicomdir",
    "README.md": "not_an_image",
    "cr_monochrome1.dcm": "modality",
    "ct_8bit_no_hu.dcm": "secondary_capture",
    "deflated_bilevel.dcm": "modality",
    "dx_veterinary.dcm": "modality",
    "enhanced_ct_perfusion.dcm": "not_hu",
    "enhanced_mr_j2k_too_short.dcm": "modality",
    "localizers_mixed/CT2N_6293.dcm": "localizer",
    "localizers_mixed/CT2N_6924.dcm": "localizer",
    "meta_missing_transfer_syntax.dcm": "unreadable",
    "mr_big_endian.dcm": "modality",
    "mr_padded.dcm": "modality",
    "mr_small.dcm": "modality",
    "mr_t1_slice.dcm": "modality",
    "mr_truncated.dcm": "modality",
    "multiframe_fragmented_no_bot.dcm": "not_hu",
    "no_file_meta.dcm": "not_an_image",
    "no_pixel_spacing.dcm": "modality",
    "not_dicom_big_endian_stub.dcm": "modality",
    "parametric_map_float.dcm": "modality",
    "pet_slice.dcm": "modality",
    "rtdose.dcm": "modality",
    "rtplan_truncated.dcm": "modality",
    "rtstruct_small.dcm": "mask_without_scan",
    "rtstruct_wrong_reference.dcm": "mask_without_scan",
    "secondary_capture_rgb_2frame.dcm": "modality",
    "secondary_capture_rgb_jpeg.dcm": "modality",
    "seg_liver_1frame.dcm": "mask_without_scan",
    "seg_liver_rle.dcm": "mask_without_scan",
    "seg_partial_overlaps.dcm": "mask_without_scan",
    "structured_report.dcm": "modality",
    "ts_jpeg_extended_51.dcm": "transfer_syntax",
    "ts_jpeg_retired_53.dcm": "transfer_syntax",
    "ts_jpeg_retired_55.dcm": "transfer_syntax",
}
COPIES = {
    "head_uncompressed.dcm",
    "ts_explicit_be.dcm",
    "ts_implicit_le.dcm",
    "ts_j2k_lossless_90.dcm",
    "ts_jpeg_lossless_57.dcm",
    "ts_jpeg_lossless_sv1_70.dcm",
    "ts_jpegls_80.dcm",
    "ts_rle.dcm",
}
SINGLE_SLICES = {
    "head_uncompressed.dcm": (-3024, 1468, ("padding",)),
    "head_j2k_lossless.dcm": (-3024, 1468, ("padding",)),
    "head_j2k_lossy.dcm": (-3995, 1812, ("padding",)),
    "head_tilt_j2k_signed_mismatch.dcm": (-2000, 1896, ("gantry_tilt",)),
    "bad_private_sequence.dcm": (-1011, 1243, ()),
    "explicit_vr_un.dcm": (-1024, 1186, ("slice_distance_assumed",)),
    "ct_small.dcm": (-896, 1167, ()),
}


@pytest.fixture(scope="module")
def zoo(shared_data: Path) -> Path:
    return shared_data / "dicom_zoo"


def alone(zoo: Path, tmp_path: Path, name: str) -> Scan:
    shutil.copytree(zoo / name, tmp_path / name) if (zoo / name).is_dir() else shutil.copy(zoo / name, tmp_path)
    return only_scan(tmp_path)


def test_the_whole_zoo_has_the_expected_outcome(zoo: Path) -> None:
    inventory = inventory_of(zoo)
    found = reasons(inventory)
    copies = {name for name, reason in found.items() if reason == "duplicate_file"}
    assert {name for name in found if name not in copies} == set(REFUSED)
    assert {name: reason for name, reason in found.items() if name not in copies} == REFUSED
    assert copies == COPIES  # one slice in many syntaxes, of which the first lossless one is kept
    for source in inventory.series:
        if source.name in {"oriented_series", "tiny_singleframe_ct", "tiny_multiframe_ct.dcm"}:
            assert refused(source).reason == "not_hu"
        else:
            reading = read_series(source)
            scan, rejects = reading.scan, reading.rejects
            assert scan.voxels.min() < -500
            assert {reject.reason for reject in rejects} <= {"duplicate_slice", "conflicting_slice"}


def test_retired_syntaxes_are_named(zoo: Path) -> None:
    sentences = {reject.path: reject.sentence for reject in inventory_of(zoo).rejects}
    for name in ("ts_jpeg_extended_51.dcm", "ts_jpeg_retired_53.dcm", "ts_jpeg_retired_55.dcm"):
        assert pydicom.dcmread(zoo / name).file_meta.TransferSyntaxUID.name in sentences[name]


@pytest.mark.parametrize("name", LOSSLESS.split())
def test_lossless_syntaxes_equal_the_reference(zoo: Path, tmp_path: Path, name: str) -> None:
    raw = pydicom.dcmread(zoo / "ts_implicit_le.dcm")
    reference = np.frombuffer(raw.PixelData, "<i2").reshape(512, 512) - 1024
    scan = alone(zoo, tmp_path, f"ts_{name}.dcm")
    assert np.array_equal(scan.voxels[0], reference)
    assert not scan.tags.lossy
    assert (scan.tags.body_region, scan.tags.manufacturer) == ("thorax", "GE MEDICAL SYSTEMS")


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_syntaxes_come_close_and_are_marked(zoo: Path, tmp_path: Path, name: str) -> None:
    reference = read_slice(zoo / "ts_implicit_le.dcm").values.astype(int)
    scan = alone(zoo, tmp_path, f"ts_{name}.dcm")
    difference = np.abs(scan.voxels[0] - reference)
    assert scan.tags.lossy
    assert difference.max() > 0
    assert difference.mean() < LOSSY[name]


@pytest.mark.parametrize("name", SINGLE_SLICES)
def test_single_slices(zoo: Path, tmp_path: Path, name: str) -> None:
    scan = alone(zoo, tmp_path, name)
    assert (scan.voxels.min(), scan.voxels.max(), scan.tags.notes) == SINGLE_SLICES[name]
    assert scan.tags.lossy == ("lossy" in name)


def test_localizers_are_left_out(zoo: Path, tmp_path: Path) -> None:
    scan = alone(zoo, tmp_path, "localizers_mixed")
    assert scan.voxels.shape == (5, 16, 16)
    assert scan.spacing_mm[0] == pytest.approx(2.5)


def test_tilt_and_uneven_spacing_are_noted(zoo: Path, tmp_path: Path) -> None:
    tilted = alone(zoo, tmp_path / "a", "gantry_tilt_series")
    assert tilted.tags.notes == ("gantry_tilt",)
    step, row = tilted.affine[:3, 2], tilted.affine[:3, 1]
    assert np.degrees(np.arcsin(abs(step @ row) / np.linalg.norm(step) / np.linalg.norm(row))) == pytest.approx(
        14, 0.01
    )
    assert alone(zoo, tmp_path / "b", "uneven_spacing_series").tags.notes == ("uneven_spacing",)


def test_declared_series_keep_their_orientation(zoo: Path, tmp_path: Path) -> None:
    """Their unit is open and their values are no HU; someone who declares them CT gets them with their geometry."""
    shutil.copytree(zoo / "oriented_series", tmp_path / "o")
    shutil.copytree(zoo / "tiny_singleframe_ct", tmp_path / "t")
    (tmp_path / "metadata.csv").write_text("path,modality\no,CT\nt,CT\n")
    scans = {source.name: read_series(source).scan for source in inventory_of(tmp_path).series}
    header = pydicom.dcmread(zoo / "oriented_series" / "0.dcm")
    row = np.array(header.ImageOrientationPatient[:3], float) * [-1, -1, 1]
    directions = scans["o"].affine[:3, :3] / np.linalg.norm(scans["o"].affine[:3, :3], axis=0)
    assert np.abs(directions.T @ row).max() == pytest.approx(1, abs=1e-5)
    assert scans["t"].voxels.shape == (3, 38, 23)
    frames = pydicom.dcmread(zoo / "tiny_multiframe_ct.dcm").pixel_array
    assert np.array_equal(scans["t"].voxels, frames) or np.array_equal(scans["t"].voxels, frames[::-1])


def test_cut_off_copies_are_refused(zoo: Path, tmp_path: Path) -> None:
    for name in LOSSLESS.split():
        whole = (zoo / f"ts_{name}.dcm").read_bytes()
        for kept in (0.05, 0.5, 0.95):
            path = tmp_path / "cut"
            path.write_bytes(whole[: int(len(whole) * kept)])
            with pytest.raises(RefusedError) as caught:
                read_slice(path)
            assert caught.value.reason == "truncated"


def test_nifti_zoo(shared_data: Path) -> None:
    inventory = inventory_of(shared_data / "nifti_zoo")
    assert reasons(inventory) == {"four_d_perfusion.nii.gz": "four_dimensional", "rgb_labels.nii.gz": "rgb"}
    assert {source.name: refused(source).reason for source in inventory.series} == {
        "ct_pitch_uint8.nii.gz": "not_hu",
        "ct_avm_clipped.nii.gz": "not_hu",
        "mask_other_grid.nii.gz": "looks_like_mask",
        "empty_mask.nii.gz": "looks_like_mask",
    }


def test_a_real_mask_on_another_grid(shared_data: Path, tmp_path: Path) -> None:
    shutil.copy(shared_data / "ct_volumes" / "thorax_cta_pulmonary" / "ct.nii.gz", tmp_path)
    shutil.copy(shared_data / "nifti_zoo" / "mask_other_grid.nii.gz", tmp_path)
    (tmp_path / "metadata.csv").write_text("path,mask\nct.nii.gz,mask_other_grid.nii.gz\n")
    inventory = inventory_of(tmp_path)
    assert reasons(inventory)["mask_other_grid.nii.gz"] == "mask"
    assert refused(inventory.series[0]).reason == "mask_grid"


def independent_lps(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """A volume as (Z, Y, X) in LPS by flips and a permutation that are written out."""
    image = nib.load(path)
    values, affine = np.asanyarray(image.dataobj), image.affine.copy()
    order = [int(np.abs(affine[row, :3]).argmax()) for row in range(3)]
    values, affine = values.transpose(order), affine[:, [*order, 3]]
    for axis, sign in enumerate((-1, -1, 1)):
        if affine[axis, axis] * sign < 0:
            values = np.flip(values, axis)
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
    return values.transpose(2, 1, 0), affine


def test_all_ct_volumes_to_the_bit(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "ct_volumes"
    names = sorted(path.parent.name for path in root.glob("*/ct.nii.gz"))
    assert len(names) > 20
    masks = {name: path for name in names if (path := next(iter(sorted((root / name).glob("seg_*.nii.gz"))), None))}
    lines = [f"{name}/ct.nii.gz,CT,{masks[name].relative_to(root) if name in masks else ''}" for name in names]
    table = tmp_path / "metadata.csv"
    table.write_text("\n".join(["path,modality,mask", *lines]))
    inventory = inventory_of(root, metadata=table)
    read = set()
    for source in inventory.series:
        name = source.name.split("/")[0]
        if not source.name.endswith("/ct.nii.gz"):
            assert refused(source).reason == "looks_like_mask"
            continue
        scan = read_series(source).scan
        values, affine = independent_lps(root / source.name)
        assert np.array_equal(scan.voxels, values)
        assert np.allclose(scan.affine, affine, atol=1e-4)
        assert source.slices == len(scan.voxels)
        if name in masks:
            assert scan.mask is not None
            assert np.array_equal(scan.mask, independent_lps(masks[name])[0])
        read.add(name)
    assert sorted(read) == names


@pytest.mark.parametrize("name", ["chest_pat1", "hand_sts019"])
def test_dicom_series_agree_with_their_reference_masks(shared_data: Path, name: str) -> None:
    root = shared_data / "dicom_series" / name
    source = next(source for source in inventory_of(root).series if source.kind == "dicom")
    reading = read_series(source)
    scan, rejects = reading.scan, reading.rejects
    reference = nib.load(root / "reference_mask_gtv.nii.gz")
    voxels, affine = to_canonical(np.asanyarray(reference.dataobj), reference.affine)
    assert scan.voxels.shape == voxels.shape
    assert np.allclose(scan.affine, affine, atol=1e-3)
    assert scan.tags.notes == ()
    assert not rejects
    assert -200 < scan.voxels[voxels > 0].mean() < 200  # a tumour, not air beside it


def test_liver_slices_lie_where_their_positions_say(shared_data: Path) -> None:
    source = inventory_of(shared_data / "dicom_series" / "liver_3slice").series[0]
    scan = read_series(source).scan
    assert scan.spacing_mm[0] == pytest.approx(1.0, abs=1e-3)
    assert scan.tags.slice_thickness_mm == 1.25
    assert scan.voxels.min() == -3024
    assert "padding" in scan.tags.notes


def test_no_patient_of_a_real_file_shows_in_its_scan(shared_data: Path) -> None:
    root = shared_data / "dicom_series" / "hand_sts019"
    header = pydicom.dcmread(root / "000000.dcm", stop_before_pixels=True)
    scan = read_series(next(source for source in inventory_of(root).series if source.kind == "dicom")).scan
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "StudyDate"):
        value = str(header.get(keyword) or "")
        assert not value or value not in repr(scan)
