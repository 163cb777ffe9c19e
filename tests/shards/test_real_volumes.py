"""A set from the real volumes and series beside the checkout, compared with what other readers make of the files."""

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from numpy.typing import NDArray

from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards.build import BuildReport, BuildSettings, build_shards

DICOM_SERIES = ("chest_pat1", "hand_sts019", "liver_3slice")
VOLUMES = 23


@dataclass(frozen=True)
class RealSet:
    root: Path
    shards: ShardSet
    report: BuildReport
    patients: dict[str, str]


@pytest.fixture(scope="module")
def real(shared_data: Path, hasher: KeyedHash, tmp_path_factory: pytest.TempPathFactory) -> RealSet:
    directory = tmp_path_factory.mktemp("real")
    archive = directory / "archive"
    archive.mkdir()
    for name in ("ct_volumes", "dicom_series"):
        (archive / name).symlink_to(shared_data / name)
    with (shared_data / "manifest.csv").open(newline="") as opened:
        volumes = [row for row in csv.DictReader(opened) if row["kind"] == "ct_volume"]
    patients = {row["path"]: row["patient"] for row in volumes}
    lines = [f"{path},{patient},CT" for path, patient in patients.items()]
    (archive / "metadata.csv").write_text("\n".join(["path,patient,modality", *lines]))
    report = build_shards(archive, directory / "ct", hasher, BuildSettings(keep_air=True, keep_duplicates=True))
    return RealSet(shared_data, ShardSet.open(directory / "ct"), report, patients)


def slices_of(real: RealSet, series_key: str) -> NDArray[np.int16]:
    table = real.shards.index
    rows = table.index[table["series_key"] == series_key]
    assert list(table.loc[rows, "slice"]) == list(range(len(rows)))
    assert set(table.loc[rows, "slices"]) == {len(rows)}
    return np.stack([real.shards.read_image(row) for row in rows])


def test_every_volume_to_the_bit_at_native_size(real: RealSet, hasher: KeyedHash) -> None:
    assert len(real.patients) == VOLUMES
    for path, patient in real.patients.items():
        image = nib.as_closest_canonical(nib.load(real.root / path))  # right, anterior, superior
        values = np.asanyarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0)  # superior, posterior, left
        key = hasher.key("series", path)
        assert np.array_equal(slices_of(real, key), values), path
        entries = real.shards.index.query("series_key == @key")
        assert set(entries["patient_key"]) == {hasher.key("patient", patient)}
        spacing = entries[["spacing_x_mm", "spacing_y_mm", "spacing_z_mm"]].iloc[0].to_numpy(float)
        assert np.allclose(spacing, np.abs(image.affine[:3, :3]).max(axis=0), atol=1e-3)
        assert entries["z_mm"].is_monotonic_increasing


@pytest.mark.parametrize("name", DICOM_SERIES)
def test_every_dicom_slice_to_the_bit_at_native_size(real: RealSet, hasher: KeyedHash, name: str) -> None:
    headers = [pydicom.dcmread(path) for path in sorted((real.root / "dicom_series" / name).glob("*.dcm"))]
    slices = sorted((h for h in headers if h.Modality == "CT"), key=lambda h: float(h.ImagePositionPatient[2]))
    expected = [h.pixel_array.astype(int) * int(h.RescaleSlope) + int(h.RescaleIntercept) for h in slices]
    table = real.shards.index
    shape = expected[0].shape
    mine = [
        key
        for key, rows in table.query("source == 'dicom'").groupby("series_key")
        if len(rows) == len(expected) and np.array_equal(slices_of(real, key), np.stack(expected))
    ]
    assert len(mine) == 1
    assert set(table.query("series_key == @mine[0]")["rows"]) == {shape[0]}


def test_nothing_is_lost_and_nobody_is_split(real: RealSet) -> None:
    totals, table = real.shards.manifest.totals, real.shards.index
    assert totals.series == VOLUMES + len(DICOM_SERIES)
    assert totals.samples == len(table)
    assert table.groupby("patient_key")["split"].agg(set).map(len).max() == 1
    assert totals.patients == table["patient_key"].nunique() == len({*real.patients.values()}) + len(DICOM_SERIES)
    assert real.shards.manifest.synthetic == "none"
    reasons = pd.read_parquet(real.shards.path / real.shards.manifest.rejects.file)["reason"]
    of_masks = {"mask", "mask_ambiguous", "looks_like_mask"}
    assert set(reasons) <= {*of_masks, "not_an_image", "metadata", "repeat", "duplicate_file"}


@pytest.mark.filterwarnings("ignore:The value length")
def test_no_patient_of_the_real_series_is_in_the_set(real: RealSet) -> None:
    everything = b"".join(path.read_bytes() for path in sorted(real.shards.path.iterdir()))
    table = real.shards.index.to_csv().encode()
    checked = 0
    for name in DICOM_SERIES:
        header = pydicom.dcmread(next(iter(sorted((real.root / "dicom_series" / name).glob("*.dcm")))))
        for element in header:
            identifies = element.VR in ("UI", "PN", "DA", "SH", "LO") and element.keyword.startswith(
                ("Patient", "Study", "Series", "SOPInstance", "FrameOf", "Institution", "Accession", "Referring")
            )
            value = str(element.value).encode()
            if identifies and len(value) >= 6:
                checked += 1
                assert value not in everything, element.keyword
                assert value not in table, element.keyword
    assert checked > 10
