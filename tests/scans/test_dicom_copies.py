"""One image in several files is kept once."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from radnet.scans.archive import read_series
from tests.scans.archives import inventory_of, reasons
from tests.scans.dicom_factory import frame_at, pixels, write_frames, write_series, write_slice


def test_an_archive_that_was_copied_counts_once(tmp_path: Path) -> None:
    write_series(tmp_path / "b" / "patient")
    for path in (tmp_path / "b" / "patient").iterdir():
        (tmp_path / "a" / "other").mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / "other" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "metadata.csv").write_text("path,patient\na,one\nb,two\n")
    inventory = inventory_of(tmp_path)
    assert [source.name for source in inventory.series] == ["a/other"]
    assert reasons(inventory) == {
        "metadata.csv": "metadata",
        **{f"b/patient/{number:03d}": "duplicate_file" for number in range(4)},
    }


def test_the_lossless_one_is_kept(tmp_path: Path) -> None:
    uid = generate_uid()
    write_slice(tmp_path / "a", pixels(seed=1), SOPInstanceUID=uid, LossyImageCompression="01")
    write_slice(tmp_path / "z", pixels(seed=2), SOPInstanceUID=uid, ConvolutionKernel="other")
    inventory = inventory_of(tmp_path)
    assert reasons(inventory) == {"a": "duplicate_file"}
    assert np.array_equal(read_series(inventory.series[0]).scan.voxels[0], pixels(seed=2) - 1024)


def test_one_uid_for_all_images_is_no_copy(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SOPInstanceUID="1.2.3")
    write_series(tmp_path / "b", SOPInstanceUID="1.2.3", SeriesInstanceUID="1.9")
    write_series(tmp_path / "c", SOPInstanceUID="1.2.3", SeriesInstanceUID="1.8", heights_mm=(1, 2))
    inventory = inventory_of(tmp_path)
    assert sorted(source.slices for source in inventory.series) == [2, 4, 4]
    assert not inventory.rejects


def test_without_a_uid_only_equal_bytes_are_copies(tmp_path: Path) -> None:
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        path = write_slice(tmp_path / name, pixels(seed=seed), SOPInstanceUID="1.2", AcquisitionNumber=seed)
        dataset = pydicom.dcmread(path)
        del dataset.SOPInstanceUID
        dataset.save_as(path)
    inventory = inventory_of(tmp_path)
    assert reasons(inventory) == {"b": "duplicate_file"}
    assert sorted(len(source.files) for source in inventory.series) == [1, 1]


def test_a_multi_frame_file_is_a_copy_as_a_whole(tmp_path: Path) -> None:
    stored = np.stack([pixels(seed=index) for index in range(3)])
    path = write_frames(tmp_path / "a", stored, [frame_at(z) for z in range(3)])
    (tmp_path / "b").write_bytes(path.read_bytes())
    inventory = inventory_of(tmp_path)
    assert reasons(inventory) == {"b": "duplicate_file"}
    assert [source.slices for source in inventory.series] == [3]
