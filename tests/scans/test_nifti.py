import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from radnet.scans.archive import read_series
from radnet.scans.hounsfield import looks_like_hu, looks_like_mask, rescale
from radnet.scans.orientation import to_canonical
from tests.scans.archives import inventory_of, only_scan, reasons, refused

LPS = np.diag([-0.8, -0.9, 2.5, 1.0])


def hu_values(shape: tuple[int, ...] = (6, 5, 4), seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1024, 2000, shape).astype(np.int16)


def write_nifti(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64] = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "PSR", "SAL", "IPR"])
def test_any_orientation(tmp_path: Path, axes: str) -> None:
    values = hu_values()
    image = nib.Nifti1Image(values, LPS)
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(LPS), nib.orientations.axcodes2ornt(tuple(axes))
    )
    nib.save(image.as_reoriented(ornt), tmp_path / "ct.nii.gz")
    scan = only_scan(tmp_path)
    assert np.array_equal(scan.voxels, values.transpose(2, 1, 0))
    assert np.allclose(scan.affine, LPS, atol=1e-5)
    assert scan.spacing_mm == pytest.approx((2.5, 0.9, 0.8))
    assert inventory_of(tmp_path).series[0].slices == 4


def test_scaled_storage_gives_hu(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 4000, (4, 4, 4)).astype(np.uint16)
    image = nib.Nifti1Image(stored, LPS)
    image.header.set_slope_inter(1, -1024)
    nib.save(image, tmp_path / "ct.nii")
    raw = bytearray((tmp_path / "ct.nii").read_bytes())
    raw[112:120] = np.array([1, -1024], "<f4").tobytes()
    raw[352:] = stored.tobytes(order="F")
    (tmp_path / "ct.nii").write_bytes(raw)
    assert np.array_equal(only_scan(tmp_path).voxels, (stored.astype(int) - 1024).transpose(2, 1, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.dtype(">i2")])
def test_other_types(tmp_path: Path, dtype: type) -> None:
    values = hu_values()
    write_nifti(tmp_path / "ct.nii.gz", values.astype(dtype))
    scan = only_scan(tmp_path)
    assert scan.voxels.dtype == np.int16
    assert scan.voxels.dtype.isnative
    assert np.array_equal(scan.voxels, values.transpose(2, 1, 0))


def test_a_fourth_dimension_of_one(tmp_path: Path) -> None:
    write_nifti(tmp_path / "ct.nii.gz", hu_values()[..., None])
    assert only_scan(tmp_path).voxels.shape == (4, 5, 6)


def test_units_other_than_mm(tmp_path: Path) -> None:
    image = nib.Nifti1Image(hu_values(), LPS / [[1000], [1000], [1000], [1]])
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "ct.nii.gz")
    assert only_scan(tmp_path).spacing_mm == pytest.approx((2.5, 0.9, 0.8))


def test_refused_by_the_header(tmp_path: Path) -> None:
    write_nifti(tmp_path / "four.nii.gz", hu_values((3, 3, 3, 2)))
    write_nifti(tmp_path / "flat.nii.gz", hu_values((3, 3)))
    rgb = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    write_nifti(tmp_path / "rgb.nii.gz", rgb)
    (tmp_path / "text.nii.gz").write_text("no gzip")
    (tmp_path / "text.nii").write_text("no NIfTI")
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(bytes(400))[:15])
    placed = bytearray(write_nifti(tmp_path / "nan.nii", hu_values()).read_bytes())
    placed[280:284] = np.array([np.nan], "<f4").tobytes()  # the first number of the affine
    (tmp_path / "nan.nii").write_bytes(placed)
    inventory = inventory_of(tmp_path)
    assert not inventory.series
    found = reasons(inventory)
    assert found["four.nii.gz"] == "four_dimensional"
    assert found["flat.nii.gz"] == "not_three_dimensional"
    assert found["rgb.nii.gz"] == "rgb"
    assert found["nan.nii"] == "no_position"
    assert {found[name] for name in ("text.nii.gz", "text.nii", "empty.nii")} == {"unreadable"}
    assert found["cut.nii.gz"] in {"truncated", "unreadable"}


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_cut_off_voxels(tmp_path: Path, name: str, share: float) -> None:
    path = write_nifti(tmp_path / name, hu_values((20, 20, 20)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert refused(inventory_of(tmp_path).series[0]).reason == "truncated"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.random.default_rng(0).integers(0, 256, (9, 9, 9)).astype(np.uint8), "not_hu"),
        (np.random.default_rng(0).integers(0, 4, (9, 9, 9)).astype(np.uint8), "looks_like_mask"),
        (np.zeros((4, 4, 4), np.int16), "looks_like_mask"),
        (np.random.default_rng(0).normal(0, 30, (9, 9, 9)), "not_hu"),
        (hu_values().astype(np.float32) * 1000, "not_hu"),
        (np.where(hu_values() > 1900, np.nan, hu_values()), "not_finite"),
    ],
)
def test_values_that_are_no_hu(tmp_path: Path, values: NDArray[np.generic], reason: str) -> None:
    write_nifti(tmp_path / "image.nii.gz", values)
    assert refused(inventory_of(tmp_path).series[0]).reason == reason


def test_declared_ct_is_trusted(tmp_path: Path) -> None:
    write_nifti(tmp_path / "soft.nii.gz", np.arange(64, dtype=np.int32).reshape(4, 4, 4) * 1000)
    (tmp_path / "metadata.csv").write_text("path,modality\nsoft.nii.gz,ct\n")
    scan = only_scan(tmp_path)
    assert scan.voxels.max() == 32767
    assert "clipped" in scan.tags.notes


def test_the_directory_stands_for_the_patient(tmp_path: Path) -> None:
    for name in ("p1/a.nii.gz", "p1/b.nii.gz", "p2/a.nii.gz"):
        write_nifti(tmp_path / name, hu_values())
    series = inventory_of(tmp_path).series
    patients = {source.name: source.patient_key for source in series}
    assert patients["p1/a.nii.gz"] == patients["p1/b.nii.gz"] != patients["p2/a.nii.gz"]
    assert len({source.series_key for source in series}) == 3
    assert read_series(series[0]).scan.tags.notes == ("patient_from_directory",)


def test_rescale_rounds_and_clips() -> None:
    hu, clipped = rescale(np.array([0.5, 1.5, -2.6, 1e6]), 1, 0)
    assert hu.tolist() == [0, 2, -3, 32767]
    assert clipped
    assert rescale(np.array([255], np.uint8), 2, -1000)[0].tolist() == [-490]
    assert rescale(np.array([], np.int16), 2, -1000)[0].size == 0


def test_what_looks_like_what() -> None:
    assert looks_like_mask(np.array([0, 0, 3, 61]))
    assert not looks_like_mask(np.array([0, -1]))
    assert not looks_like_mask(np.array([0.5, 1]))
    assert not looks_like_mask(np.arange(256))
    assert looks_like_hu(np.array([-1000, 0, 40]))
    assert not looks_like_hu(np.array([-1000, 40000]))
    assert not looks_like_hu(np.full(10, -1000))


def test_a_singular_affine_has_no_orientation() -> None:
    with pytest.raises(ValueError, match="singular"):
        to_canonical(np.zeros((2, 2, 2)), np.diag([1.0, 1.0, 0.0, 1.0]))
