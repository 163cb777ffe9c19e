"""Archives whose files are damaged: nothing hangs, nothing grows, and every file is read right or listed."""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from radnet.scans.archive import UnreadableSeries, read_series
from radnet.scans.compressed import has_sound_jpeg_header
from tests.scans.archives import inventory_of
from tests.scans.dicom_factory import frame_at, pixels, write_frames, write_series, write_slice
from tests.scans.test_nifti import hu_values, write_nifti

LIMIT_S, LIMIT_BYTES = 60, 2**27
SYNTAXES = ("implicit_le", "explicit_be", "deflated", "rle", "jpeg_lossless_57", "jpegls_80", "j2k_lossless_90")
SYNTAXES += ("jpeg_baseline_50", "j2k_91")


@pytest.fixture(autouse=True)
def within_limits() -> Iterator[None]:
    """Fails a test that takes long or holds much memory at once."""
    tracemalloc.start()
    began = time.monotonic()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LIMIT_BYTES
    assert time.monotonic() - began < LIMIT_S


def outcomes(archive: Path) -> dict[str, str]:
    """File -> "read" or the reason, after a check that no file is lost."""
    inventory = inventory_of(archive)
    found = {reject.path: reject.reason for reject in inventory.rejects}
    for source in inventory.series:
        names = [path.relative_to(archive).as_posix() for path in source.files]
        try:
            rejects = read_series(source).rejects
        except UnreadableSeries as error:
            rejects = error.rejects
            assert sum(reject.files for reject in rejects) == source.file_count
            found |= dict.fromkeys(names, error.reason)
        else:
            found |= dict.fromkeys(names, "read")
        found |= {reject.path: reject.reason for reject in rejects if reject.path in names and reject.files}
    assert len(found) == inventory.files_seen
    return found


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_real_file_cut_at_many_lengths(shared_data: Path, tmp_path: Path, syntax: str) -> None:
    whole = (shared_data / "dicom_zoo" / f"ts_{syntax}.dcm").read_bytes()
    for number, share in enumerate((0.0005, 0.002, 0.005, 0.01, 0.02, 0.1, 0.4, 0.8, 0.99)):
        (tmp_path / str(number)).write_bytes(whole[: int(len(whole) * share)])
    found = outcomes(tmp_path)
    assert len(found) == 9
    assert "read" not in found.values()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_zeroed_blocks(shared_data: Path, tmp_path: Path, syntax: str) -> None:
    whole = (shared_data / "dicom_zoo" / f"ts_{syntax}.dcm").read_bytes()
    for number, share in enumerate((0, 0.003, 0.3, 0.9)):
        at = int(len(whole) * share)
        (tmp_path / str(number)).write_bytes(whole[:at] + bytes(512) + whole[at + 512 :])
    assert len(outcomes(tmp_path)) == 4


def test_a_small_file_cut_at_every_length(tmp_path: Path) -> None:
    whole = write_slice(tmp_path / "whole").read_bytes()
    (tmp_path / "whole").unlink()
    for length in range(0, len(whole), 7):
        (tmp_path / f"{length:05d}").write_bytes(whole[:length])
    found = outcomes(tmp_path)
    assert len(found) > 100
    assert "read" not in found.values()


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_nifti_file_cut_at_many_lengths(tmp_path: Path, name: str) -> None:
    whole = write_nifti(tmp_path / name, hu_values((12, 12, 12))).read_bytes()
    (tmp_path / name).unlink()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / f"{length:05d}_{name}").write_bytes(whole[:length])
    found = outcomes(tmp_path)
    assert len(found) > 30
    assert "read" not in found.values()


def test_element_lengths_beyond_the_file(tmp_path: Path) -> None:
    stored = pixels()
    path = write_slice(tmp_path / "a", stored)
    whole = path.read_bytes()
    at = whole.rindex(stored.tobytes()) - 4
    path.write_bytes(whole[:at] + (0xFFFFFFF0).to_bytes(4, "little") + whole[at + 4 :])
    early = whole.index(b"ORIGINAL") - 2
    (tmp_path / "b").write_bytes(whole[:early] + b"\xff\xff" + whole[early + 2 :])
    found = outcomes(tmp_path)
    assert found["b"] == "unreadable"
    (source,) = inventory_of(tmp_path).series
    assert np.array_equal(read_series(source).scan.voxels[0], stored.astype(int) - 1024)  # all of "a" is there


def test_pixels_of_another_series_are_not_taken_for_hu_of_this_one(shared_data: Path, tmp_path: Path) -> None:
    """A compressed stream of another size than the header says."""
    zoo = shared_data / "dicom_zoo"
    large, small = (zoo / "ts_j2k_lossless_90.dcm").read_bytes(), (zoo / "explicit_vr_un.dcm").read_bytes()
    stream = b"\xff\x4f\xff\x51"
    swapped = bytearray(small[: small.index(stream)] + large[large.index(stream) :])
    (tmp_path / "a").write_bytes(swapped)
    rows = (512).to_bytes(2, "little")
    lying = large.replace(b"\x28\x00\x10\x00US\x02\x00" + rows, b"\x28\x00\x10\x00US\x02\x00\x00\x01")
    assert lying != large
    (tmp_path / "b").write_bytes(lying)
    found = outcomes(tmp_path)
    assert found["b"] == "unreadable"
    assert found["a"] != "read"


def test_a_stream_that_claims_another_size_than_the_header_is_not_decoded(shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / "dicom_zoo" / "ts_j2k_lossless_90.dcm").read_bytes()
    at = whole.index(b"\xff\x4f\xff\x51") + 8  # width and height in the SIZ segment
    huge = (60000).to_bytes(4, "big") * 2
    (tmp_path / "j2k").mkdir()
    (tmp_path / "j2k" / "a").write_bytes(whole[:at] + huge + whole[at + 8 :])
    whole = (shared_data / "dicom_zoo" / "ts_jpegls_80.dcm").read_bytes()
    at = whole.index(b"\xff\xf7") + 5
    (tmp_path / "ls").mkdir()
    (tmp_path / "ls" / "b").write_bytes(whole[:at] + b"\xea\x60" * 2 + whole[at + 4 :])
    for name in ("j2k", "ls"):
        assert set(outcomes(tmp_path / name).values()) == {"unreadable"}


@pytest.mark.parametrize("marker", [b"\xff\xd8\xff\xc0\x00\x0b\x08", b"\xff\x4f\xff\x51"])
def test_pixels_that_look_like_the_start_of_another_compression_are_pixels(tmp_path: Path, marker: bytes) -> None:
    """An RLE segment holds the high bytes of the pixels as they are: any bytes at all."""
    high = np.frombuffer(marker.ljust(64, b"\x01"), np.uint8).reshape(8, 8)
    stored = ((high.astype(np.uint16) << 8) | 5).astype(np.uint16)
    path = write_slice(tmp_path / "a", stored, RescaleIntercept=-1024)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    assert marker in dataset.PixelData
    dataset.save_as(path)
    assert outcomes(tmp_path) == {"a": "read"}


def test_a_frame_count_that_lies(tmp_path: Path) -> None:
    stored = np.stack([pixels(seed=index) for index in range(2)])
    write_frames(tmp_path / "a", stored, [frame_at(z) for z in range(2)], NumberOfFrames=10_000)
    write_slice(tmp_path / "b", NumberOfFrames=10_000)
    assert set(outcomes(tmp_path).values()) == {"multi_frame"}


def test_one_damaged_slice_leaves_the_rest(tmp_path: Path) -> None:
    stored = write_series(tmp_path, heights_mm=(0, 2, 4, 6, 8))
    whole = (tmp_path / "002").read_bytes()
    for name, damaged in {"002": whole[:-20], "junk": b"\0" * 4000}.items():
        (tmp_path / name).write_bytes(damaged)
    source = inventory_of(tmp_path).series[0]
    reading = read_series(source)
    assert np.array_equal(reading.scan.voxels, np.delete(np.stack(stored), 2, axis=0) - np.int16(1024))
    assert [reject.reason for reject in reading.rejects] == ["truncated"]


@pytest.mark.parametrize("name", ["jpeg_lossless_57", "jpeg_baseline_50", "jpegls_80", "rle", "j2k_lossless_90"])
def test_no_damage_of_a_stream_ends_the_process(shared_data: Path, tmp_path: Path, name: str) -> None:
    """GDCM aborts on warnings of its JPEG library, and the decoder of RLE panics: neither may reach a build."""
    whole = (shared_data / "dicom_zoo" / f"ts_{name}.dcm").read_bytes()
    pixel_data = whole.rindex(b"\xe0\x7f\x10\x00")
    start = max(whole.find(b"\xff\xd8\xff", pixel_data), pixel_data + 20)
    draw = np.random.default_rng(1)
    for number in range(60):
        damaged = bytearray(whole)
        for at in draw.integers(start + 2, start + (40, 100, len(whole) - start)[number % 3], 1 + number % 2):
            damaged[at] = draw.integers(256)
        (tmp_path / f"{number:02d}").write_bytes(damaged)
    program = "from pathlib import Path; import sys, tests.scans.test_damage as own; own.outcomes(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_jpeg_header_must_be_in_order(shared_data: Path) -> None:
    streams = [
        pydicom.dcmread(shared_data / "dicom_zoo" / f"ts_{name}.dcm").PixelData
        for name in ("jpeg_lossless_57", "jpeg_baseline_50", "jpegls_80")
    ]
    for stream in streams:
        assert has_sound_jpeg_header(stream)
        at = stream.find(b"\xff\xd8\xff")
        assert not has_sound_jpeg_header(stream[: at + 30])
        assert not has_sound_jpeg_header(stream[: at + 2] + b"\0" + stream[at + 2 :])
        assert not has_sound_jpeg_header(stream[: at + 5] + bytes([stream[at + 5] + 1]) + stream[at + 6 :])


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_damaged_frame_leaves_the_others_and_the_process(tmp_path: Path, syntax: UID) -> None:
    stored = np.random.default_rng(0).integers(0, 2500, (3, 64, 64)).astype(np.int16)
    path = write_frames(tmp_path / "a", stored, [frame_at(z) for z in range(3)], Rows=64, Columns=64)
    dataset = pydicom.dcmread(path)
    plugins = {JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}
    dataset.compress(syntax, encoding_plugin=plugins[syntax])
    dataset.save_as(path)
    whole = bytearray(path.read_bytes())
    start = b"\xff\x4f\xff\x51" if syntax == JPEG2000Lossless else b"\xff\xd8\xff"
    second = whole.index(start, whole.index(start) + 1)
    whole[second + 42 if syntax == JPEG2000Lossless else second + 4] = 166  # bits of a pixel; length of a segment
    path.write_bytes(whole)
    program = (
        "from pathlib import Path; import sys; from tests.scans.archives import inventory_of;"
        "from radnet.scans.archive import read_series;"
        "reading = read_series(inventory_of(Path(sys.argv[1])).series[0]);"
        "print([(reject.reason, reject.slices) for reject in reading.rejects]);"
        "print(reading.scan.voxels[:, 0, :4].tolist())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rejects, voxels = done.stdout.splitlines()
    assert rejects == "[('undecodable', 1)]"
    assert json.loads(voxels) == (stored[[0, 2], 0, :4] - 1024).tolist()
