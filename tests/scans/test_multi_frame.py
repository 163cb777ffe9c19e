"""Enhanced CT: many slices in one file."""

import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest

from radnet.scans.archive import read_series
from tests.scans.archives import inventory_of, only_scan, reasons, refused
from tests.scans.dicom_factory import frame_at, group, pixels, write_frames, write_series


def stored(frames: int) -> np.ndarray:
    return np.stack([pixels(seed=index) for index in range(frames)])


def test_frames_equal_the_same_slices_in_single_files(tmp_path: Path) -> None:
    heights = (4, 0, 6, 2)
    write_series(tmp_path / "single", heights)
    write_frames(tmp_path / "multi" / "a", stored(4), [frame_at(height) for height in heights])
    single, multi = only_scan(tmp_path / "single"), only_scan(tmp_path / "multi")
    assert np.array_equal(single.voxels, multi.voxels)
    assert np.allclose(single.affine, multi.affine)
    assert (single.tags, single.spacing_mm) == (multi.tags, multi.spacing_mm)


def test_each_frame_has_its_own_slope(tmp_path: Path) -> None:
    own = [
        frame_at(z, PixelValueTransformationSequence=[group(RescaleSlope=z + 1, RescaleIntercept=-z, RescaleType="HU")])
        for z in range(3)
    ]
    values = stored(3)
    write_frames(tmp_path / "a", values, own)
    assert np.array_equal(only_scan(tmp_path).voxels, [values[z] * (z + 1) - z for z in range(3)])


@pytest.mark.parametrize("keyword", ["FrameAcquisitionNumber", "TemporalPositionIndex", "StackID"])
def test_phases_in_one_file_become_series(tmp_path: Path, keyword: str) -> None:
    frames = [
        frame_at(z, FrameContentSequence=[group(**{keyword: str(phase) if keyword == "StackID" else phase})])
        for z in range(3)
        for phase in (1, 2)
    ]
    values = stored(6)
    write_frames(tmp_path / "a", values, frames)
    inventory = inventory_of(tmp_path)
    readings = [read_series(source) for source in inventory.series]
    found = sorted(reading.scan.voxels.tobytes() for reading in readings)
    assert found == sorted((values[phase::2] - np.int16(1024)).tobytes() for phase in (0, 1))
    assert len({reading.scan.series_key for reading in readings}) == 2
    assert sum(reading.removed_tags.get("PatientID", 0) for reading in readings) == 1


def test_a_map_among_the_frame_types_is_refused(tmp_path: Path) -> None:
    words = ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]
    kind = group(FrameType=words)
    write_frames(tmp_path / "a", stored(2), [frame_at(z, CTImageFrameTypeSequence=[kind]) for z in range(2)])
    write_frames(tmp_path / "b", stored(2), [frame_at(0)], SOPInstanceUID="1.2.3")
    assert reasons(inventory_of(tmp_path)) == {"a": "not_hu", "b": "multi_frame"}


def test_a_file_cut_off_in_its_last_frame_keeps_the_others(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a", stored(4), [frame_at(z) for z in range(4)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-60])
    reading = read_series(inventory_of(tmp_path).series[0])
    assert np.array_equal(reading.scan.voxels, stored(4)[:3] - np.int16(1024))
    assert [(reject.reason, reject.files, reject.slices) for reject in reading.rejects] == [("unreadable", 0, 1)]
    path.write_bytes(whole[: -4 * 96 + 10])
    assert refused(inventory_of(tmp_path).series[0]).reason == "unreadable"


def test_frames_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2500, (40, 256, 256)).astype(np.int16)
    write_frames(tmp_path / "a", values, [frame_at(z) for z in range(40)], Rows=256, Columns=256)
    source = inventory_of(tmp_path).series[0]
    read_series(source)
    tracemalloc.start()
    read_series(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.4 * values.nbytes


def test_the_real_file_equals_its_single_frames(shared_data: Path, tmp_path: Path) -> None:
    zoo = shared_data / "dicom_zoo"
    (tmp_path / "archive").mkdir()
    for name in ("tiny_multiframe_ct.dcm", "tiny_singleframe_ct"):
        (tmp_path / "archive" / name).symlink_to(zoo / name)
    table = tmp_path / "metadata.csv"
    table.write_text("path,modality\ntiny_multiframe_ct.dcm,CT\ntiny_singleframe_ct,CT\n")
    multi, single = (
        read_series(source).scan
        for source in sorted(inventory_of(tmp_path / "archive", metadata=table).series, key=lambda item: item.name)
    )
    assert multi.voxels.shape == (3, 38, 23)
    assert multi.voxels.max() == 1
    assert np.array_equal(multi.voxels, single.voxels)
    assert np.allclose(multi.affine, single.affine)
    assert pydicom.dcmread(zoo / "tiny_multiframe_ct.dcm").pixel_array.sum() == multi.voxels.sum()
