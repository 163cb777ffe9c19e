"""Reading holds one volume and little else, and nothing is allocated on the word of a header."""

import gzip
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radnet.scans.archive import read_series
from radnet.scans.volume import reorder
from tests.scans.archives import inventory_of, reasons, refused
from tests.scans.dicom_factory import write_slice
from tests.scans.test_nifti import LPS

SIDE, SLICES = 256, 60
VOLUME_BYTES = 2 * SIDE * SIDE * SLICES


def peak_bytes_of_reading(root: Path) -> int:
    """Most memory that is held while the one series of an archive is read, the scan included."""
    source = inventory_of(root).series[0]
    read_series(source)  # imports and caches are not of the series
    tracemalloc.start()
    read_series(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("step", [1, -1])
def test_a_dicom_series_takes_one_volume(tmp_path: Path, step: int) -> None:
    stored = np.random.default_rng(0).integers(0, 2500, (SIDE, SIDE)).astype(np.int16)
    for z in range(SLICES):
        place = [0.0, 0.0, float(step * z)]
        write_slice(tmp_path / f"{z:03d}", np.roll(stored, z), ImagePositionPatient=place, RescaleType="US")
    assert peak_bytes_of_reading(tmp_path) < 1.3 * VOLUME_BYTES


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_scaled_nifti_takes_one_volume_and_a_block(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radnet.scans.hounsfield.BLOCK_VOXELS", SIDE * SIDE)
    values = np.random.default_rng(0).integers(-1024, 2000, (SIDE, SIDE, SLICES)).astype(np.int16)
    image = nib.Nifti1Image(values, LPS)
    image.header.set_slope_inter(1.0, -10.5)
    nib.save(image, tmp_path / name)
    assert peak_bytes_of_reading(tmp_path) < 1.6 * VOLUME_BYTES


def test_reorder_is_what_indexing_would_copy() -> None:
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(9)
        volume = np.arange(18).reshape(9, 2)
        expected = volume[order]
        reorder(volume, order.tolist())
        assert np.array_equal(volume, expected)


LYING = """
import json, resource, sys
from pathlib import Path
from radnet.scans.archive import UnreadableSeries, read_series, take_inventory
from radnet.scans.keys import KeyedHash
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
inventory = take_inventory(Path(sys.argv[1]), KeyedHash(b"a secret of the tests, 32 bytes!"))
found = {reject.path: reject.reason for reject in inventory.rejects}
for source in inventory.series:
    try:
        read_series(source)
        found[source.name] = "read"
    except UnreadableSeries as error:
        found.update({reject.path: reject.reason for reject in error.rejects})
print(json.dumps(found))
"""


def test_lying_headers_allocate_nothing(tmp_path: Path) -> None:
    write_slice(tmp_path / "huge", Rows=65535, Columns=65535, SeriesInstanceUID="1.1")
    write_slice(tmp_path / "frames", Rows=65535, Columns=65535, NumberOfFrames=10_000, SeriesInstanceUID="1.2")
    write_slice(tmp_path / "large", Rows=8000, Columns=8000, SeriesInstanceUID="1.3")
    write_slice(tmp_path / "empty", Rows=0, Columns=0, SeriesInstanceUID="1.4")
    whole = bytearray(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), LPS).to_bytes())
    for name, sides in {"cube": (30000, 30000, 30000), "thin": (2000, 2000, 300)}.items():
        whole[42:48] = np.array(sides, "<i2").tobytes()
        (tmp_path / f"{name}.nii").write_bytes(whole)
        (tmp_path / f"{name}z.nii.gz").write_bytes(gzip.compress(whole))
    run = subprocess.run(
        [sys.executable, "-c", LYING, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "cube.nii": "truncated",
        "cubez.nii.gz": "truncated",
        "empty": "unreadable",
        "frames": "too_large",
        "huge": "too_large",
        "large": "truncated",
        "thin.nii": "truncated",
        "thinz.nii.gz": "truncated",
    }


def test_a_series_beyond_any_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radnet.scans.sizes.MAX_SERIES_VOXELS", 40)
    write_slice(tmp_path / "a" / "0")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), LPS), tmp_path / "ct.nii")
    for source in inventory_of(tmp_path).series:
        assert refused(source).reason == "too_large"
    assert reasons(inventory_of(tmp_path)) == {}
