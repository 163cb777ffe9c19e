import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from radnet.scans.archive import read_series
from radnet.scans.contours import rasterised
from radnet.scans.orientation import to_canonical
from radnet.scans.sources import RefusedError
from radnet.scans.structures import label_map
from tests.scans.archives import inventory_of, only_scan, reasons, refused
from tests.scans.dicom_factory import pixels, write_series, write_slice
from tests.scans.mask_factory import write_rtstruct, write_seg

SHAPE = (4, 6, 8)
"""Slices, rows and columns of `write_series`."""


def box(z: slice, y: slice, x: slice) -> NDArray[np.bool_]:
    inside = np.zeros(SHAPE, bool)
    inside[z, y, x] = True
    return inside


LIVER = box(slice(1, 3), slice(1, 5), slice(2, 7))
LESION = box(slice(2, 3), slice(2, 4), slice(3, 5))
SPLEEN = box(slice(0, 1), slice(0, 2), slice(0, 2))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_series(tmp_path)
    return tmp_path


def square(low: float, high: float, height_mm: float) -> NDArray[np.float64]:
    """A square contour in voxels of the series, in mm: its voxels are 0.75 x 0.5 mm and begin at (-10, -20)."""
    corners = np.array([[low, low], [high, low], [high, high], [low, high]], dtype=np.float64)
    return np.column_stack([corners * (0.75, 0.5) + (-10, -20), np.full(4, height_mm)])


def test_a_seg_goes_to_the_series_that_it_names(archive: Path) -> None:
    write_seg(archive / "seg.dcm", archive, {"liver": LIVER, "spleen": SPLEEN})
    scan = only_scan(archive)
    assert reasons(inventory_of(archive))["seg.dcm"] == "mask"
    assert scan.mask is not None
    assert scan.mask.dtype == np.uint8
    assert np.array_equal(scan.mask, LIVER * 1 + SPLEEN * 2)
    assert scan.tags.notes == ()


def test_overlapping_segments_become_bit_sets(archive: Path) -> None:
    write_seg(archive / "seg.dcm", archive, {"liver": LIVER, "lesion": LESION, "spleen": SPLEEN})
    scan = only_scan(archive)
    assert scan.tags.notes == ("overlapping_masks",)
    assert np.array_equal(scan.mask, LIVER * 1 + LESION * 2 + SPLEEN * 4)


def test_fractions_count_from_a_half(archive: Path) -> None:
    share = LIVER * np.where(np.arange(8) < 4, 0.2, 0.6)
    write_seg(archive / "seg.dcm", archive, {"liver": share}, kind="FRACTIONAL", max_fractional_value=10)
    assert np.array_equal(only_scan(archive).mask, LIVER & (np.arange(8) >= 4))


def test_a_table_gives_names_their_numbers(archive: Path) -> None:
    write_seg(archive / "seg.dcm", archive, {"Left Kidney": SPLEEN, " LIVER": LIVER})
    (archive / "structures.json").write_text(json.dumps({"7": ["liver", "hepar"], "300": "lesion"}))
    scan = only_scan(archive)
    assert np.array_equal(scan.mask, LIVER * 7)
    assert scan.tags.notes == ("structures_left_out",)
    (archive / "seg.json").write_text(json.dumps({"300": "liver"}))  # nearer to the mask
    assert np.array_equal(only_scan(archive).mask, LIVER * 300)
    assert reasons(inventory_of(archive))["structures.json"] == "metadata"


def test_no_table_above_the_archive_is_used(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nor where the archive is reached by a link, and the metadata name the mask, which gives its real path."""
    write_rtstruct(archive / "rs.dcm", {"liver": [square(1, 3, 2)]})
    (archive / "metadata.csv").write_text("path,mask\n.,rs.dcm\n")
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(archive, home / "archive")
    (home / "structures.json").write_text(json.dumps({"9": "liver"}))
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(home / "archive")
    for root in (home / "archive", link):
        assert np.asarray(only_scan(root).mask).max() == 1


@pytest.mark.parametrize(
    "table", ["no json", "[1]", '{"x": "liver"}', '{"1": 5}', '{"1": "liver", "2": "Liver"}', '{"1": "kidney"}']
)
def test_tables_that_do_not_fit(archive: Path, table: str) -> None:
    """A mask that was found is left out with a reason, one that the metadata name takes the scan with it."""
    write_seg(archive / "seg.dcm", archive, {"liver": LIVER})
    (archive / "structures.json").write_text(table)
    reading = read_series(inventory_of(archive).series[0])
    assert reading.scan.mask is None
    assert [(reject.path, reject.reason, reject.files) for reject in reading.rejects] == [
        ("seg.dcm", "mask_structures", 0)
    ]
    (archive / "metadata.csv").write_text("path,mask\n.,seg.dcm\n")
    assert refused(inventory_of(archive).series[0]).reason == "mask_structures"


def test_a_seg_of_another_grid(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    write_series(other, PixelSpacing=[0.6, 0.75])
    write_seg(archive / "seg.dcm", other, {"liver": LIVER})
    (reject,) = read_series(inventory_of(archive).series[0]).rejects
    assert reject.reason == "mask_grid"


def test_a_seg_that_reaches_beyond_the_scan(archive: Path) -> None:
    write_seg(archive / "seg.dcm", archive, {"liver": LIVER})
    (archive / "002").unlink()
    (archive / "003").unlink()
    scan = only_scan(archive)
    assert scan.tags.notes == ("mask_outside_scan",)
    assert np.array_equal(scan.mask, LIVER[:2])


def growing(slices: int) -> NDArray[np.bool_]:
    """Another row of voxels in every slice, so that no slice can be taken for another one."""
    inside = np.zeros((slices, *SHAPE[1:]), bool)
    for z in range(slices):
        inside[z, 1:3, 1 : 2 + z] = True
    return inside


AXIAL_UP, AXIAL_DOWN = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, -1, 0]


@pytest.mark.parametrize("orientation", [AXIAL_UP, AXIAL_DOWN, [0, 1, 0, 0, 0, -1]])
@pytest.mark.parametrize("missing", [(2,), (2, 3)])
def test_a_seg_on_slices_some_of_which_are_missing(
    tmp_path: Path, orientation: list[int], missing: tuple[int, ...]
) -> None:
    """The affine has one step only, but every slice keeps the mask that was drawn on it."""
    normal = np.cross(orientation[:3], orientation[3:])
    for index in range(7):
        place = [float(value) for value in np.array([-10, -20, 0]) + 2 * index * normal]
        elements = {"ImageOrientationPatient": orientation, "ImagePositionPatient": place, "InstanceNumber": index}
        write_slice(tmp_path / f"{index}", pixels(seed=index), **elements)
    write_seg(tmp_path / "seg.dcm", tmp_path, {"liver": growing(7)})
    axis = 2 if orientation[0] == 0 else 0  # of (Z, Y, X), along which the slices lie
    whole = only_scan(tmp_path)
    for index in missing:
        (tmp_path / f"{index}").unlink()
    scan = only_scan(tmp_path)
    assert {"gap", "uneven_spacing"} & set(scan.tags.notes)
    assert "mask_outside_scan" in scan.tags.notes
    assert whole.mask is not None
    assert scan.mask is not None
    left = [
        number
        for number, voxels in enumerate(np.moveaxis(whole.voxels, axis, 0))
        if any(np.array_equal(voxels, one) for one in np.moveaxis(scan.voxels, axis, 0))
    ]
    assert len(left) == 7 - len(missing)
    assert np.array_equal(scan.mask, whole.mask.take(left, axis))


@pytest.mark.parametrize("heights_mm", [(0, 2, 4, 8, 10), (0, 2, 4, 6, 9, 12, 15), (0, 5, 6, 7, 8)])
def test_contours_on_slices_that_are_unevenly_spaced(tmp_path: Path, heights_mm: tuple[float, ...]) -> None:
    write_series(tmp_path, heights_mm)
    contours = [square(0.6, 1.6 + z, height_mm) for z, height_mm in enumerate(heights_mm[:5])]
    write_rtstruct(tmp_path / "rs.dcm", {"gtv": contours})
    mask = np.asarray(only_scan(tmp_path).mask)
    assert [int(one.sum()) for one in mask[:4]] == [1, 4, 9, 16]


def test_a_contour_on_a_slice_that_is_missing(tmp_path: Path) -> None:
    write_series(tmp_path, (0, 2, 4, 8, 10))
    write_rtstruct(tmp_path / "rs.dcm", {"gtv": [square(0.6, 1.6 + z, 2 * z) for z in range(6)]})
    scan = only_scan(tmp_path)
    assert {"gap", "mask_outside_scan"} <= set(scan.tags.notes)
    assert [int(one.sum()) for one in np.asarray(scan.mask)[:3]] == [1, 4, 9]
    assert [bool(one.any()) for one in np.asarray(scan.mask)] == [True] * 5
    assert np.asarray(scan.mask)[3].sum() == 25  # of five by five, with rows 1 to 5


def test_several_masks_of_one_series_need_a_word(archive: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        write_seg(archive / name, archive, {"liver": LIVER if name == "a.dcm" else SPLEEN})
    inventory = inventory_of(archive)
    assert reasons(inventory) == {"a.dcm": "mask_ambiguous", "b.dcm": "mask_ambiguous"}
    assert read_series(inventory.series[0]).scan.mask is None
    (archive / "metadata.csv").write_text("path,mask\n.,b.dcm\n")
    assert reasons(inventory_of(archive)) | {} == {
        "a.dcm": "mask_superseded",
        "b.dcm": "mask",
        "metadata.csv": "metadata",
    }
    assert np.array_equal(only_scan(archive).mask, SPLEEN)


def test_a_copy_of_a_mask_is_no_second_one(archive: Path) -> None:
    shutil.copy(write_seg(archive / "a.dcm", archive, {"liver": LIVER}), archive / "b.dcm")
    assert reasons(inventory_of(archive)) == {"a.dcm": "mask", "b.dcm": "duplicate_file"}
    assert np.array_equal(only_scan(archive).mask, LIVER)


def test_a_mask_of_another_series(archive: Path) -> None:
    write_rtstruct(archive / "rs.dcm", {"gtv": [square(1, 3, 2)]}, series_uid="1.2.3")
    assert reasons(inventory_of(archive)) == {"rs.dcm": "mask_without_scan"}


def test_contours_with_a_hole(archive: Path) -> None:
    """Even-odd: what lies between the two squares; the centre of a voxel decides."""
    write_rtstruct(archive / "rs.dcm", {"gtv": [square(0.6, 4.4, 2), square(1.6, 3.4, 2), square(0.6, 4.4, 4)]})
    expected = box(slice(1, 3), slice(1, 5), slice(1, 5))
    expected[1, 2:4, 2:4] = False
    scan = only_scan(archive)
    assert np.array_equal(scan.mask, expected)
    assert scan.tags.notes == ()


@pytest.mark.parametrize(
    ("contours", "kind", "reason"),
    [
        ([square(1, 3, 3)], "CLOSED_PLANAR", "mask_grid"),  # between two slices
        ([square(1, 3, 20)], "CLOSED_PLANAR", "mask_grid"),  # beyond all slices
        ([square(1, 3, 2)], "OPEN_PLANAR", "mask_structures"),
        ([square(1, 3, 2) * (1, 1, 0) + np.outer(range(4), (0, 0, 1))], "CLOSED_PLANAR", "mask_grid"),  # oblique
        ([square(1, 3, 2)[:, :2]], "CLOSED_PLANAR", "mask_unreadable"),  # eight numbers
    ],
)
def test_contours_that_do_not_fit(archive: Path, contours: list[NDArray[np.float64]], kind: str, reason: str) -> None:
    write_rtstruct(archive / "rs.dcm", {"gtv": contours}, kind=kind)
    (archive / "metadata.csv").write_text("path,mask\n.,rs.dcm\n")
    assert refused(inventory_of(archive).series[0]).reason == reason


def test_contours_say_what_is_odd(archive: Path) -> None:
    write_rtstruct(archive / "rs.dcm", {"gtv": [square(-3, 3, 0), square(1, 3, 6), square(1, 3, 8)]})
    assert only_scan(archive).tags.notes == ("contour_gaps", "mask_outside_scan")


def test_a_damaged_seg_costs_the_mask_only(archive: Path) -> None:
    path = write_seg(archive / "seg.dcm", archive, {"liver": LIVER})
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.PixelData[:2]
    pydicom.dcmwrite(path, dataset)
    (reject,) = read_series(inventory_of(archive).series[0]).rejects
    assert reject.reason == "mask_unreadable"


@pytest.mark.parametrize("seed", range(4))
def test_rasterised_against_a_slow_reference(seed: int) -> None:
    """Counting crossings of a ray to the left of every pixel centre, pixel by pixel."""
    generator = np.random.default_rng(seed)
    contours = [generator.uniform(-3, 14, (points, 2)) for points in (7, 3, 12)]
    contours.append(np.array([[1.0, 1.0], [5.0, 1.0], [5.0, 4.0], [1.0, 4.0]]))  # through pixel centres
    expected = np.zeros((11, 9), bool)
    for row in range(11):
        for column in range(9):
            crossings = 0
            for points in contours:
                for (x, y), (next_x, next_y) in zip(points, np.roll(points, -1, axis=0), strict=True):
                    if (y <= row) != (next_y <= row):
                        crossings += x + (row - y) * (next_x - x) / (next_y - y) <= column
            expected[row, column] = crossings % 2
    assert np.array_equal(rasterised(contours, (11, 9)), expected)


def test_bit_sets_hold_sixteen_structures() -> None:
    with pytest.raises(RefusedError, match="number 17"):
        label_map([(17, LIVER), (1, LESION)], SHAPE)
    labels, notes = label_map([(16, LIVER), (1, LESION)], SHAPE)
    assert labels.dtype == np.uint16
    assert notes == {"overlapping_masks"}
    assert np.array_equal(labels, LIVER * 2**15 + LESION * 1)


@pytest.mark.parametrize("name", ["chest_pat1", "hand_sts019"])
def test_real_contours_against_the_reference_mask_of_their_source(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom_series" / name
    source = next(source for source in inventory_of(folder).series if source.kind == "dicom")
    mask = read_series(source).scan.mask
    image = nib.load(folder / "reference_mask_gtv.nii.gz")
    reference, _ = to_canonical(np.asarray(image.dataobj), image.affine)
    assert mask is not None
    assert 2 * (mask & reference).sum() / (mask.sum() + reference.sum()) > 0.98


def test_real_segments_that_overlap(shared_data: Path, tmp_path: Path) -> None:
    for file in (shared_data / "dicom_series" / "liver_3slice").iterdir():
        if file.name != "liver.dcm":
            shutil.copy(file, tmp_path)
    scan = only_scan(tmp_path)
    assert "overlapping_masks" in scan.tags.notes
    assert scan.mask is not None
    sizes = [int((scan.mask >> bit & 1).sum()) for bit in range(5)]
    assert sizes == [9602, 11888, 10743, 6693, 4713]  # as highdicom counts them, segment by segment
