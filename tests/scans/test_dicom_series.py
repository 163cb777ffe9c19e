from pathlib import Path

import numpy as np
import pytest

from radnet.scans.archive import read_series
from tests.scans.archives import inventory_of, only_scan, reasons, refused
from tests.scans.dicom_factory import pixels, write_series, write_slice


def test_hu_order_and_affine(tmp_path: Path) -> None:
    stored = write_series(tmp_path, heights_mm=(4, 0, 6, 2))
    scan = only_scan(tmp_path)
    for z, index in enumerate((1, 3, 0, 2)):
        assert np.array_equal(scan.voxels[z], stored[index] - 1024)
    assert scan.voxels.dtype == np.int16
    assert all(voxels.flags.c_contiguous for voxels in scan.voxels)
    # column steps go left (-x), row steps go posterior (-y): PixelSpacing is (rows, columns)
    expected = [[-0.75, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 2, 0], [0, 0, 0, 1]]
    assert np.allclose(scan.affine, expected, atol=1e-9)
    assert scan.spacing_mm == pytest.approx((2, 0.5, 0.75))
    assert np.allclose(scan.z_mm(), [0, 2, 4, 6])
    assert scan.tags.notes == ()


@pytest.mark.parametrize(
    "orientation", [(-1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0), (-1, 0, 0, 0, -1, 0)]
)
def test_any_axial_orientation_comes_out_canonical(tmp_path: Path, orientation: tuple[int, ...]) -> None:
    stored = write_series(tmp_path, ImageOrientationPatient=list(orientation))
    scan = only_scan(tmp_path)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for z, values in enumerate(stored):
        for r, c in ((0, 0), (3, 5), (5, 7)):
            lps = np.array([-10.0, -20.0, 2 * z]) + c * row * 0.75 + r * column * 0.5
            x, y, k = np.rint(np.linalg.inv(scan.affine) @ (-lps[0], -lps[1], lps[2], 1))[:3].astype(int)
            assert scan.voxels[k, y, x] == values[r, c] - 1024
    assert (np.diag(scan.affine)[:3] * [-1, -1, 1] > 0).all()


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept"),
    [(np.int16, 1, -1024), (np.uint16, 1, -1000), (np.uint8, 17.3, -1000.5), (np.int16, 0.5, 0), (np.uint16, 2, -8192)],
)
def test_slope_and_intercept(tmp_path: Path, dtype: type, slope: float, intercept: float) -> None:
    stored = np.random.default_rng(1).integers(0, 250, (6, 8)).astype(dtype)
    write_slice(tmp_path / "a", stored, RescaleSlope=slope, RescaleIntercept=intercept)
    assert np.array_equal(only_scan(tmp_path).voxels[0], np.rint(stored.astype(float) * slope + intercept))


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    values = pixels()
    for index, slope in enumerate((1, 2)):
        write_slice(tmp_path / str(index), values, RescaleSlope=slope, ImagePositionPatient=[0, 0, index])
    scan = only_scan(tmp_path)
    assert np.array_equal(scan.voxels[1], 2 * values - 1024)


def test_values_beyond_int16_are_clipped_and_noted(tmp_path: Path) -> None:
    write_slice(tmp_path / "a", np.array([[0, 60000]], np.uint16), RescaleIntercept=0)
    scan = only_scan(tmp_path)
    assert scan.voxels.ravel().tolist() == [0, 32767]
    assert scan.tags.notes == ("clipped",)


@pytest.mark.parametrize(
    ("stored", "padding"),
    [
        (np.array([[-2000, 1000]], np.int16), {"PixelPaddingValue": -2000}),
        (np.array([[0, 1000]], np.uint16), {"PixelPaddingValue": 0}),
        (np.array([[63, 1000]], np.uint16), {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 63}),
    ],
)
def test_padding_keeps_its_value_and_is_noted(tmp_path: Path, stored: np.ndarray, padding: dict[str, int]) -> None:
    write_slice(tmp_path / "a", stored, **padding)
    scan = only_scan(tmp_path)
    assert scan.tags.notes == ("padding",)
    assert scan.voxels[0, 0, 0] == int(stored[0, 0]) - 1024


def test_padding_that_no_pixel_has_is_not_noted(tmp_path: Path) -> None:
    write_slice(tmp_path / "a", np.array([[5, 1000]], np.int16), PixelPaddingValue=-2000)
    assert only_scan(tmp_path).tags.notes == ()


def test_monochrome1_changes_no_value(tmp_path: Path) -> None:
    values = pixels()
    write_slice(tmp_path / "a", values, PhotometricInterpretation="MONOCHROME1")
    scan = only_scan(tmp_path)
    assert np.array_equal(scan.voxels[0], values - 1024)
    assert scan.tags.notes == ("monochrome1",)


@pytest.mark.parametrize(
    ("heights_mm", "notes", "spacing_mm"),
    [
        ((0, 2, 4, 6), (), 2),
        ((0, 2, 4.04, 6), (), 2),
        ((0, 2, 4, 8, 10), ("gap",), 2),
        ((0, 5, 15), ("uneven_spacing",), 7.5),
        ((0, 2, 4, 5, 6, 7), ("uneven_spacing",), 1),
        ((0, 2, 4, 12, 14), ("uneven_spacing",), 2),
    ],
)
def test_spacing(tmp_path: Path, heights_mm: tuple[float, ...], notes: tuple[str, ...], spacing_mm: float) -> None:
    write_series(tmp_path, heights_mm)
    scan = only_scan(tmp_path)
    assert scan.tags.notes == notes
    assert scan.spacing_mm[0] == pytest.approx(spacing_mm, abs=0.02)


def test_a_tilted_gantry_shears_the_affine(tmp_path: Path) -> None:
    angle = np.radians(14)
    orientation = [1, 0, 0, 0, float(np.cos(angle)), -float(np.sin(angle))]
    write_series(tmp_path, ImageOrientationPatient=orientation)
    scan = only_scan(tmp_path)
    assert scan.tags.notes == ("gantry_tilt",)
    assert np.allclose(scan.affine[:3, 2], [0, 0, 2])
    assert np.allclose(scan.affine[:3, 1], [0, -0.5 * np.cos(angle), -0.5 * np.sin(angle)], atol=1e-6)


def test_an_oblique_stack_is_no_tilted_gantry(tmp_path: Path) -> None:
    angle = np.radians(20)
    orientation = [1, 0, 0, 0, float(np.cos(angle)), -float(np.sin(angle))]
    normal = np.cross(orientation[:3], orientation[3:])
    for index in range(3):
        place = [float(value) for value in 3 * index * normal]
        write_slice(tmp_path / str(index), ImageOrientationPatient=orientation, ImagePositionPatient=place)
    scan = only_scan(tmp_path)
    assert scan.tags.notes == ()
    assert scan.spacing_mm[0] == pytest.approx(3, abs=1e-6)


def test_slices_off_the_line_are_noted(tmp_path: Path) -> None:
    for index, x in enumerate((0.0, 3.0, 0.0)):
        write_slice(tmp_path / str(index), ImagePositionPatient=[x, 0, 2 * index])
    assert only_scan(tmp_path).tags.notes == ("shifted_slices",)


@pytest.mark.parametrize(
    ("elements", "spacing_mm", "notes"),
    [
        ({}, 2, ()),
        ({"SpacingBetweenSlices": 5.0}, 5, ()),
        ({"SliceThickness": None}, 1, ("slice_distance_assumed",)),
        ({"GantryDetectorTilt": -22}, 2, ("gantry_tilt",)),
    ],
)
def test_a_single_slice(tmp_path: Path, elements: dict[str, float], spacing_mm: float, notes: tuple[str, ...]) -> None:
    write_slice(tmp_path / "a", **elements)
    scan = only_scan(tmp_path)
    assert scan.spacing_mm[0] == pytest.approx(spacing_mm)
    assert scan.tags.notes == notes


def test_sagittal_stack(tmp_path: Path) -> None:
    for index in range(3):
        write_slice(
            tmp_path / str(index), ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImagePositionPatient=[2 * index, 0, 0]
        )
    inventory = inventory_of(tmp_path)
    scan = read_series(inventory.series[0]).scan
    assert inventory.series[0].slices == len(scan.voxels) == 6
    assert scan.voxels.shape == (6, 8, 3)
    assert scan.tags.notes == ("not_axial",)


def test_repeated_and_conflicting_slices(tmp_path: Path) -> None:
    stored = write_series(tmp_path)
    write_slice(tmp_path / "same", stored[1], ImagePositionPatient=[-10, -20, 2], InstanceNumber=9)
    write_slice(tmp_path / "zother", pixels(seed=77), ImagePositionPatient=[-10, -20, 4], InstanceNumber=9)
    source = inventory_of(tmp_path).series[0]
    reading = read_series(source)
    scan, rejects = reading.scan, reading.rejects
    assert source.slices == len(scan.voxels) == 4
    assert {reject.path: reject.reason for reject in rejects} == {
        "same": "duplicate_slice",
        "zother": "conflicting_slice",
    }
    assert np.array_equal(scan.voxels[2], stored[2] - 1024)


def test_of_two_passes_in_one_series_the_first_is_kept_whole(tmp_path: Path) -> None:
    """Micrometres between their positions do not decide which slice is kept: the instance number does."""
    for index, (height_mm, number) in enumerate(((0, 1), (2, 2), (4, 3), (-0.004, 11), (2.004, 12), (3.996, 13))):
        value = np.full((6, 8), 1000 if number < 10 else 2000, np.int16)
        place = {"ImagePositionPatient": [-10, -20, height_mm], "InstanceNumber": number}
        write_slice(tmp_path / str(index), value, **place)
    (source,) = inventory_of(tmp_path).series
    reading = read_series(source)
    assert reading.scan.voxels[:, 0, 0].tolist() == [1000 - 1024] * 3
    assert [(reject.path, reject.reason) for reject in reading.rejects] == [
        (name, "conflicting_slice") for name in ("3", "4", "5")
    ]
    assert source.slices == 3


def test_a_copied_file_is_found_without_its_pixels(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "copy").write_bytes((tmp_path / "001").read_bytes())
    inventory = inventory_of(tmp_path)
    assert reasons(inventory) == {"copy": "duplicate_file"}
    assert len(read_series(inventory.series[0]).scan.voxels) == 4


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier"])
def test_phases_in_one_series_are_taken_apart(tmp_path: Path, keyword: str) -> None:
    first = write_series(tmp_path / "a", **{keyword: 1})
    write_series(tmp_path / "b", RescaleIntercept=-1000, **{keyword: 2})
    inventory = inventory_of(tmp_path)
    scans = [read_series(source).scan for source in inventory.series]
    assert sorted(int(scan.voxels[0, 0, 0]) for scan in scans) == [first[0][0, 0] - 1024, first[0][0, 0] - 1000]
    assert len({scan.series_key for scan in scans}) == 2
    assert len({scan.patient_key for scan in scans}) == 1


@pytest.mark.parametrize(
    "elements",
    [
        {"ConvolutionKernel": "B70f"},
        {"PixelSpacing": [0.6, 0.6]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        {"SeriesInstanceUID": "1.2.3"},
        {"PatientID": "P2"},
        {"LossyImageCompression": "01"},
    ],
)
def test_what_cannot_be_stacked_is_split(tmp_path: Path, elements: dict[str, object]) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", **elements)
    assert [source.slices for source in inventory_of(tmp_path).series if source.name == "a"] == [4]
    assert len(inventory_of(tmp_path).series) == 2


@pytest.mark.parametrize(("jitter", "series"), [(1e-7, 1), (2e-4, 2)])
def test_an_orientation_at_the_edge_of_rounding_splits_no_series(tmp_path: Path, jitter: float, series: int) -> None:
    """What the last digits of a header decide is no other series, and what was one series keeps its key."""
    for index in range(6):
        cosine = 0.9995 + (jitter if index % 2 else -jitter)
        sine = float(np.sqrt(1 - cosine**2))
        place = {"ImagePositionPatient": [-10, -20, 2 * index], "InstanceNumber": index}
        write_slice(tmp_path / str(index), ImageOrientationPatient=[cosine, sine, 0, -sine, cosine, 0], **place)
    found = inventory_of(tmp_path).series
    assert [source.slices for source in found] == [6 // series] * series
    for index in (1, 3, 5):
        (tmp_path / str(index)).unlink()
    (lower,) = inventory_of(tmp_path).series
    assert lower.series_key in {source.series_key for source in found}


def test_a_cut_off_slice_leaves_a_gap(tmp_path: Path) -> None:
    write_series(tmp_path, heights_mm=(0, 2, 4, 6, 8))
    whole = (tmp_path / "002").read_bytes()
    (tmp_path / "002").write_bytes(whole[:-30])
    reading = read_series(inventory_of(tmp_path).series[0])
    scan, rejects = reading.scan, reading.rejects
    assert [(reject.path, reject.reason) for reject in rejects] == [("002", "truncated")]
    assert scan.tags.notes == ("gap",)


def test_a_series_of_cut_off_slices_is_unreadable(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    assert refused(inventory_of(tmp_path).series[0]).reason == "truncated"


def test_an_open_unit_needs_values_that_look_like_hu(tmp_path: Path) -> None:
    write_series(tmp_path / "good", RescaleType="US")
    scan = only_scan(tmp_path)
    assert "unit_unspecified" in scan.tags.notes
    write_slice(tmp_path / "bad" / "a", RescaleType="US", RescaleIntercept=0, SeriesInstanceUID="1.2")
    bad = next(source for source in inventory_of(tmp_path).series if source.name == "bad")
    assert refused(bad).reason == "not_hu"
