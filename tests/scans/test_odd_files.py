"""One odd file among good ones: it is refused with a reason, and the rest of the archive is read."""

import hashlib
import hmac
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.tag import Tag
from rich.console import Console

from radnet.cli.reports import rejects_table, write_reject_list
from radnet.scans import archive as archive_module
from radnet.scans import dicom_series
from radnet.scans.archive import read_series
from radnet.scans.sources import RefusedError, unforeseen_refused
from radnet.shards.build import BuildSettings, build_shards
from tests.scans.archives import HASHER, inventory_of, reasons, refused
from tests.scans.dicom_factory import frame_at, pixels, write_frames, write_series, write_slice


def no_pixels(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(pixels().tobytes(), b""))
    whole = bytearray(path.read_bytes())
    at = whole.rindex(b"\xe0\x7f\x10\x00") + 8
    whole[at : at + 4] = bytes(4)
    path.write_bytes(whole)


def two_syntaxes(path: Path) -> None:
    change_meta(path, b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\\1\0")


def change_meta(path: Path, old: bytes, new: bytes) -> None:
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new))


def two_bit_depths(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.BitsAllocated = [16, 16]
    pydicom.dcmwrite(path, dataset)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(no_pixels, "truncated"), (two_syntaxes, "unreadable"), (two_bit_depths, "unreadable")],
)
def test_one_odd_slice_leaves_the_rest(tmp_path: Path, damage: Callable[[Path], None], reason: str) -> None:
    write_series(tmp_path)
    damage(write_slice(tmp_path / "odd", ImagePositionPatient=[-10.0, -20.0, 8.0]))
    inventory = inventory_of(tmp_path)
    reading = read_series(inventory.series[0])
    assert len(reading.scan.voxels) == 4
    assert {reject.path: reject.reason for reject in (*inventory.rejects, *reading.rejects)} == {"odd": reason}


def test_frames_of_several_bit_depths(tmp_path: Path) -> None:
    stored = np.stack([pixels(seed=index) for index in range(2)])
    two_bit_depths(write_frames(tmp_path / "odd", stored, [frame_at(2 * z) for z in range(2)]))
    write_series(tmp_path, SeriesInstanceUID="1.2.3")
    outcomes = []
    for source in inventory_of(tmp_path).series:
        try:
            outcomes.append(len(read_series(source).scan.voxels))
        except archive_module.UnreadableSeries as error:
            outcomes.append(error.reason)
    assert sorted(map(str, outcomes)) == ["4", "unreadable"]


@pytest.mark.parametrize("keyword", ["KVP", "PixelPaddingValue", "BitsAllocated", "PixelData"])
def test_an_element_of_a_representation_that_does_not_exist(tmp_path: Path, keyword: str) -> None:
    """pydicom raises NotImplementedError when it is asked for it; where it is empty, before it gives the raw bytes."""
    write_series(tmp_path)
    path = write_slice(tmp_path / "odd", ImagePositionPatient=[-10.0, -20.0, 8.0], KVP="", PixelPaddingValue=7)
    tag = Tag(keyword)
    whole = path.read_bytes()
    at = whole.rindex(struct.pack("<HH", tag.group, tag.element)) + 4
    path.write_bytes(whole[:at] + b"ZZ" + whole[at + 2 :])
    inventory = inventory_of(tmp_path)
    reading = read_series(inventory.series[0])
    optional = keyword in ("KVP", "PixelPaddingValue")
    left_out = [*inventory.rejects, *reading.rejects]
    assert [reject.path for reject in left_out] == ([] if optional else ["odd"])
    assert len(reading.scan.voxels) == (5 if optional else 4)


@pytest.mark.parametrize("target", ["loop", "/" + "n" * 300])
def test_links_that_the_system_refuses_to_follow(tmp_path: Path, target: str) -> None:
    write_series(tmp_path / "s")
    (tmp_path / "loop").symlink_to(target)
    inventory = inventory_of(tmp_path)
    assert reasons(inventory) == {"loop": "unreadable"}
    assert len(inventory.series) == 1


def test_file_names_that_are_no_utf_8(tmp_path: Path) -> None:
    """They are read like all others, and what was built from them and what was refused is told without a path."""
    archive = tmp_path / "archive"
    write_series(archive)
    for name, new in (("003", b"M\xfcller"), ("002", b"M\xe4ller")):
        (archive / name).rename(archive / os.fsdecode(new))
    (archive / os.fsdecode(b"caf\xe9.txt")).write_text("no image")
    inventory = inventory_of(archive)
    assert len(read_series(inventory.series[0]).scan.voxels) == 4
    assert [reject.reason for reject in inventory.rejects] == ["not_an_image"]
    report = build_shards(archive, tmp_path / "set", HASHER, BuildSettings())
    assert report.manifest.totals.samples == 4
    assert report.manifest.totals.rejected_files == 1
    Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8")).print(rejects_table(report.rejects))
    write_reject_list(report.rejects, tmp_path / "rejects.csv")
    assert b"caf\xe9.txt" in (tmp_path / "rejects.csv").read_bytes()


def test_keys_of_other_names_stay_the_same() -> None:
    expected = hmac.new(HASHER.secret, "file\0Müller/ß".encode(), hashlib.sha256).hexdigest()[:32]
    assert HASHER.key("file", "Müller/ß") == expected


def test_a_jpeg_whose_orientation_cannot_be_written_again(tmp_path: Path) -> None:
    """Pillow writes all EXIF anew when it turns a picture, and fails on a fraction where a whole number should be."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0129] = 1
    picture = Image.fromarray(np.zeros((8, 8), np.uint8))
    picture.save(tmp_path / "odd.jpg", exif=exif)
    picture.save(tmp_path / "good.jpg")
    whole = (tmp_path / "odd.jpg").read_bytes()
    order = "<" if b"Exif\0\0II" in whole else ">"
    at = whole.index(struct.pack(f"{order}HHI", 0x0129, 3, 1))
    fraction = struct.pack(f"{order}HHII", 0x0129, 5, 1, 8)
    (tmp_path / "odd.jpg").write_bytes(whole[:at] + fraction + whole[at + 12 :])
    good, odd = sorted(inventory_of(tmp_path, modalities=("PICTURE",)).series, key=lambda source: source.name)
    assert read_series(good).scan.modality == "PICTURE"
    assert refused(odd).reason == "unreadable"


def test_what_nobody_thought_of_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the headers and in the pixels; the type of the error is told, and none of its words."""
    write_series(tmp_path)
    read_headers, read_slice = archive_module.read_headers, dicom_series.read_slice

    def odd_headers(path: Path, *modalities: object) -> object:
        if path.name == "000":
            raise ZeroDivisionError("Doe^Jane")
        return read_headers(path, *modalities)  # type: ignore[arg-type]

    def odd_slice(path: Path) -> object:
        if path.name == "003":
            raise struct.error("Doe^Jane")
        return read_slice(path)

    monkeypatch.setattr(archive_module, "read_headers", odd_headers)
    monkeypatch.setattr(dicom_series, "read_slice", odd_slice)
    inventory = inventory_of(tmp_path)
    reading = read_series(inventory.series[0])
    assert len(reading.scan.voxels) == 2
    rejects = (*inventory.rejects, *reading.rejects)
    assert [(reject.path, reject.reason, reject.sentence) for reject in rejects] == [
        ("000", "unreadable", "The file cannot be read (ZeroDivisionError)"),
        ("003", "unreadable", "The file cannot be read (error)"),
    ]


def test_lack_of_memory_is_no_fault_of_a_file() -> None:
    with pytest.raises(MemoryError), unforeseen_refused():
        raise MemoryError
    with pytest.raises(RefusedError) as caught, unforeseen_refused():
        raise ValueError("Mueller, Hans")
    assert "Mueller" not in str(caught.value)
