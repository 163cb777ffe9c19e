"""Small files that ask for gigabytes: refused before anything of that size is made."""

import gzip
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from radnet.scans.archive import read_series
from radnet.scans.sizes import MAX_DEFLATED_BYTES
from tests.scans.archives import inventory_of, reasons
from tests.scans.dicom_factory import write_slice
from tests.scans.test_nifti import LPS, hu_values

MEGABYTE = 2**20


def peak_bytes(archive: Path) -> int:
    """Peak memory of a process that takes an inventory, without what the same takes of an empty archive."""
    program = (
        "import resource, sys; from pathlib import Path; from tests.scans.archives import inventory_of;"
        "Path(sys.argv[2]).mkdir(exist_ok=True); inventory_of(Path(sys.argv[2]));"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; inventory_of(Path(sys.argv[1]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", program, str(archive), str(archive.parent / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(done.stdout) * 1024


def deflated(path: Path) -> Path:
    dataset = pydicom.dcmread(write_slice(path))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def test_a_deflated_file_of_zeros(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    path = deflated(archive / "a")
    whole = path.read_bytes()
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    content = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    size = MAX_DEFLATED_BYTES + MEGABYTE
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    with path.open("wb") as file:
        file.write(whole[:start])
        file.write(deflate.compress(content))
        file.write(deflate.compress(struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, size)))
        for _ in range(size // MEGABYTE):
            file.write(deflate.compress(bytes(MEGABYTE)))
        file.write(deflate.flush())
    assert path.stat().st_size < 2 * MEGABYTE
    assert reasons(inventory_of(archive)) == {"a": "too_large"}
    assert peak_bytes(archive) < 64 * MEGABYTE


def test_a_deflated_file_is_read(tmp_path: Path) -> None:
    deflated(tmp_path / "a")
    assert read_series(inventory_of(tmp_path).series[0]).scan.voxels.shape == (1, 6, 8)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("offset", "length", "reason"),
    [(300 * MEGABYTE, 300 * MEGABYTE, "too_large"), (64, 2**30, "unreadable"), (64, -8, "unreadable")],
)
def test_extensions_of_a_nifti_file(tmp_path: Path, version: int, offset: int, length: int, reason: str) -> None:
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    header = bytearray(kind(np.zeros((4, 4, 4), np.int16), np.diag([-1, -1, 1, 1])).header.binaryblock)
    behind = len(header) + 4
    if version == 1:
        header[108:112], header[344:348] = struct.pack("<f", behind + offset), b"n+1\0"
    else:
        header[168:176], header[4:8] = struct.pack("<q", behind + offset), b"n+2\0"
    archive = tmp_path / "archive"
    archive.mkdir()
    with gzip.open(archive / "a.nii.gz", "wb", 1) as file:
        file.write(bytes(header) + b"\1\0\0\0" + struct.pack("<ii", length, 6))
        for _ in range(300):
            file.write(bytes(MEGABYTE))
    assert reasons(inventory_of(archive)) == {"a.nii.gz": reason}
    if version == 1:
        assert peak_bytes(archive) < 64 * MEGABYTE


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_nifti_file_with_an_extension_is_read(tmp_path: Path, name: str) -> None:
    with_words = nib.Nifti1Image(hu_values(), LPS)
    for words in (b"some words", b"more words " * 100):
        with_words.header.extensions.append(nib.nifti1.Nifti1Extension("comment", words))
    nib.save(with_words, tmp_path / name)
    assert read_series(inventory_of(tmp_path).series[0]).scan.voxels.size == hu_values().size
