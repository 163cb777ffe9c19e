"""MR, radiographs and pictures, when they are asked for: uint16 and uint8, never int16, which is Hounsfield units."""

import shutil
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from radnet.scans.archive import Inventory, UnreadableSeries, read_series, take_inventory
from radnet.scans.jpeg_segments import without_metadata
from radnet.scans.keys import KeyedHash
from radnet.scans.scan import Scan
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from tests.scans.dicom_factory import write_series, write_slice

HASHER = KeyedHash(bytes(32))
MR = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "RescaleSlope": None, "RescaleIntercept": None}
DX = {"Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1", "ImagePositionPatient": None, "ImageType": None}


def taken(root: Path, *modalities: str) -> tuple[Inventory, list[Scan]]:
    inventory = take_inventory(root, HASHER, modalities=modalities)
    return inventory, [read_series(source).scan for source in inventory.series]


def test_mr_slices_become_a_volume_of_uint16(tmp_path: Path) -> None:
    stored = write_series(tmp_path / "mr", **MR)
    write_series(tmp_path / "ct", SeriesInstanceUID="1.2.3")
    _, (scan,) = taken(tmp_path, "MR")
    assert (scan.modality, scan.voxels.dtype) == ("MR", np.uint16)
    assert np.array_equal(scan.voxels, np.stack(stored))
    inventory, scans = taken(tmp_path, "CT", "MR")
    assert sorted(scan.modality for scan in scans) == ["CT", "MR"]
    inventory, (ct,) = taken(tmp_path, "CT")
    assert ct.voxels.dtype == np.int16
    assert {(reject.reason, reject.sentence) for reject in inventory.rejects} == {
        ("modality", "The modality is MR, not CT")
    }


def test_numbers_of_colours_are_no_intensities(tmp_path: Path) -> None:
    write_series(tmp_path, **MR, PhotometricInterpretation="PALETTE COLOR")
    inventory, scans = taken(tmp_path, "MR")
    assert not scans
    assert {reject.reason for reject in inventory.rejects} == {"colour"}


def test_mr_below_zero_is_moved_up_and_uneven_scales_are_applied(tmp_path: Path) -> None:
    values = np.arange(48, dtype=np.int16).reshape(6, 8) - 20
    for z, slope in enumerate((1, 3)):
        place = {"ImagePositionPatient": [0, 0, 2 * z], **MR, "RescaleSlope": slope, "RescaleIntercept": 1}
        write_slice(tmp_path / str(z), values, **place)
    _, (scan,) = taken(tmp_path, "MR")
    expected = np.stack([values + 1, 3 * values + 1]).astype(int)
    assert np.array_equal(scan.voxels, expected - expected.min())
    assert "shifted" in scan.tags.notes


@pytest.mark.parametrize(("slopes", "kept"), [((1e-3, 1.1e-3), 96), ((0.7, 1.3), 96), ((1e6, 2e6), 0)])
def test_small_scales_of_mr_keep_its_values(tmp_path: Path, slopes: tuple[float, float], kept: int) -> None:
    values = np.arange(1, 49, dtype=np.int16).reshape(6, 8) * 80
    for z, slope in enumerate(slopes):
        place = {"ImagePositionPatient": [0, 0, 2 * z], **MR, "RescaleSlope": slope, "RescaleIntercept": 0}
        write_slice(tmp_path / str(z), values, **place)
    if not kept:
        inventory = take_inventory(tmp_path, HASHER, modalities=("MR",))
        with pytest.raises(UnreadableSeries, match="value_range"):
            read_series(inventory.series[0])
        return
    _, (scan,) = taken(tmp_path, "MR")
    expected = np.stack([values * slope for slope in slopes])
    expected = (expected - expected.min()) / np.ptp(expected) * 65535
    assert np.abs(scan.voxels - expected).max() <= 0.51
    assert len(np.unique(scan.voxels[0])) == len(np.unique(scan.voxels[1])) == kept // 2
    assert "stretched" in scan.tags.notes


@pytest.mark.parametrize("fractions", [False, True])
def test_mr_in_nifti_needs_a_word_in_the_metadata(tmp_path: Path, fractions: bool) -> None:
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5) / (7 if fractions else 1)
    nib.save(nib.Nifti1Image(values, np.diag([-1.0, -1, 1, 1])), tmp_path / "a.nii")
    inventory, scans = taken(tmp_path, "MR")
    assert not scans
    assert inventory.rejects[0].reason == "modality"
    (tmp_path / "metadata.csv").write_text("path,modality\na.nii,MR\n")
    _, (scan,) = taken(tmp_path, "MR")
    expected = values.transpose(2, 1, 0) * (np.iinfo(np.uint16).max / values.max() if fractions else 1)
    assert scan.voxels.dtype == np.uint16
    assert np.abs(scan.voxels - expected).max() <= 0.51
    assert ("stretched" in scan.tags.notes) == fractions


def test_radiographs(tmp_path: Path) -> None:
    stored = np.arange(48, dtype=np.uint16).reshape(6, 8)
    write_slice(tmp_path / "a", stored, **DX, PixelSpacing=None, ImagerPixelSpacing=[0.2, 0.3])
    write_slice(tmp_path / "b", stored, **DX, PixelSpacing=None, PhotometricInterpretation="MONOCHROME1", PatientID="B")
    write_slice(tmp_path / "c", stored, **DX, PatientID="C", BurnedInAnnotation="YES")
    write_slice(tmp_path / "d", stored, **DX, PatientID="D", PhotometricInterpretation="PALETTE COLOR")
    write_slice(tmp_path / "e", stored, **DX, PatientID="E", BitsStored=12, HighBit=15)
    inventory, scans = taken(tmp_path, "DX")
    known, unknown = sorted(scans, key=lambda scan: scan.spacing_mm[1] is None)
    assert known.spacing_mm == (None, 0.2, 0.3)
    assert set(known.tags.notes) >= {"flat", "imager_spacing"}
    assert np.array_equal(known.voxels[0], stored)
    assert unknown.spacing_mm == (None, None, None)
    assert "no_pixel_spacing" in unknown.tags.notes
    assert np.array_equal(unknown.voxels[0], 47 - stored)  # bright is dense
    assert [reject.reason for reject in inventory.rejects] == ["burnt_in_text", "colour", "unreadable"]


def test_the_radiographs_and_mr_of_the_zoo(shared_data: Path) -> None:
    inventory, scans = taken(shared_data / "dicom_zoo", "MR", "CR", "DX")
    assert {scan.modality for scan in scans} == {"MR", "CR", "DX"}
    assert {scan.voxels.dtype for scan in scans} == {np.dtype(np.uint16)}
    reasons = {Path(reject.path).name: reject.reason for reject in inventory.rejects}
    assert reasons["ct_small.dcm"] == "modality"
    assert inventory.files_seen == sum(s.file_count for s in inventory.series) + sum(r.files for r in inventory.rejects)


def test_pictures_keep_their_bytes_and_lose_what_they_say(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    colours = cv2.GaussianBlur(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8), (0, 0), 3)
    exif = Image.Exif()
    exif[0x010E] = "Mustermann"
    archive = tmp_path / "archive"
    archive.mkdir()
    Image.fromarray(colours).save(archive / "a.jpg", exif=exif, comment=b"Erika")
    exif[0x0112] = 6
    Image.fromarray(colours).save(archive / "b.jpg", exif=exif)
    Image.fromarray(colours[..., 0]).save(archive / "c.png")
    Image.fromarray(colours[..., 0].astype(np.uint16) * 200).save(archive / "d.png")
    Image.fromarray(colours).convert("CMYK").save(archive / "e.jpg")
    (archive / "f.png").write_bytes((archive / "c.png").read_bytes()[:200])
    (archive / "g.jpg").write_text("no picture")
    report = build_shards(archive, tmp_path / "set", HASHER, BuildSettings(modalities=("PICTURE",)))
    shards = ShardSet.open(tmp_path / "set")
    images = {shards.read_image(row).shape: shards.read_image(row) for row in range(len(shards))}
    assert set(images) == {(40, 50, 3), (50, 40, 3), (40, 50)}
    assert sorted(shards.index["image_format"]) == ["jpg", "png", "png", "png"]
    assert {str(shards.read_image(row).dtype) for row in range(4)} == {"uint8", "uint16"}
    assert np.abs(images[40, 50, 3].astype(int) - colours).mean() < 6  # RGB, not BGR
    assert np.abs(np.rot90(images[50, 40, 3]).astype(int) - colours).mean() < 6  # turned upright
    everything = b"".join(path.read_bytes() for path in (tmp_path / "set").iterdir())
    assert b"Mustermann" not in everything
    assert b"Erika" not in everything
    assert {(Path(r.path).name, r.reason) for r in report.rejects} == {
        ("e.jpg", "colour"),
        ("f.png", "unreadable"),
        ("g.jpg", "unreadable"),
    }
    assert report.manifest.modality == "PICTURE"
    assert shards.index["z_mm"].isna().all()
    assert shards.index["spacing_y_mm"].isna().all()
    assert shards.manifest.totals.patients == 4


def test_smaller_pictures_are_encoded_anew(tmp_path: Path, shared_data: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for path in sorted((shared_data / "natural" / "imagenet256").glob("*.jpg"))[:5]:
        shutil.copy(path, archive)
    build_shards(archive, tmp_path / "set", HASHER, BuildSettings(modalities=("PICTURE",), size=64))
    shards = ShardSet.open(tmp_path / "set")
    assert len(shards) == 5
    assert all(max(shards.read_image(row).shape[:2]) == 64 for row in range(5))
    assert set(shards.index["image_format"]) == {"jpg"}


def test_a_picture_of_a_telephone_is_a_jpeg(tmp_path: Path) -> None:
    """MPO holds several pictures, of which the first one counts."""
    noise = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    first, second = (Image.fromarray(one) for one in noise)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "MPO"
        expected = np.asarray(image)
    _, (scan,) = taken(tmp_path, "PICTURE")
    assert scan.tags.lossy
    assert scan.image_format == "jpg"
    assert np.abs(scan.voxels[0].astype(int) - expected).max() <= 2
    assert len(scan.encoded[0]) < (tmp_path / "a.jpg").stat().st_size * 0.6


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00", b"\xff\xd8\xff\xe1\xff\xff1", b"\x89PNG"])
def test_a_jpeg_whose_segments_are_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        without_metadata(data)
