import os
import pickle
from pathlib import Path

import pytest

from radnet.errors import UsageError
from radnet.scans.archive import read_series
from radnet.scans.sources import UnreadableSeries
from tests.scans.archives import inventory_of, reasons
from tests.scans.dicom_factory import write_series, write_slice
from tests.scans.test_nifti import hu_values, write_nifti


def test_missing_path_and_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such directory"):
        inventory_of(tmp_path / "none")
    with pytest.raises(UsageError, match="This is a file"):
        inventory_of(write_slice(tmp_path / "a"))


def test_empty_directory(tmp_path: Path) -> None:
    inventory = inventory_of(tmp_path)
    assert (inventory.series, inventory.rejects, inventory.files_seen) == ((), (), 0)


def test_a_directory_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Scans\n")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "table.csv").write_text("a,b\n")
    (tmp_path / "fake.dcm").write_text("DICM")
    (tmp_path / "empty").touch()
    (tmp_path / "volume.mha").write_bytes(b"ObjectType = Image")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    inventory = inventory_of(tmp_path)
    assert not inventory.series
    assert inventory.files_seen == 7
    found = reasons(inventory)
    assert found.pop("volume.mha") == "unsupported_format"
    assert set(found.values()) == {"not_an_image"}


def test_extensions_do_not_matter(tmp_path: Path) -> None:
    for index, name in enumerate(("IM0001", "slice.dcm", "1.2.840.1", "picture.png", "notes.txt")):
        write_slice(tmp_path / name, ImagePositionPatient=[0, 0, index])
    assert inventory_of(tmp_path).series[0].slices == 5


def test_the_same_archive_gives_the_same_inventory(tmp_path: Path) -> None:
    for number in range(3):
        write_series(tmp_path / f"s{number}", SeriesInstanceUID=f"1.2.{number}", PatientID=f"P{number % 2}")
    write_nifti(tmp_path / "n" / "ct.nii.gz", hu_values())
    (tmp_path / "text").write_text("x")
    one, two = inventory_of(tmp_path), inventory_of(tmp_path, jobs=2)
    assert one == two
    keys = [(source.patient_key, source.series_key) for source in one.series]
    assert keys == sorted(keys)
    assert all(len(key) == 32 for pair in keys for key in pair)


def test_keys_do_not_depend_on_where_the_archive_lies(tmp_path: Path) -> None:
    write_series(tmp_path / "here" / "s")
    write_nifti(tmp_path / "here" / "n" / "ct.nii.gz", hu_values())
    before = [(source.patient_key, source.series_key) for source in inventory_of(tmp_path / "here").series]
    (tmp_path / "here").rename(tmp_path / "there")
    after = [(source.patient_key, source.series_key) for source in inventory_of(tmp_path / "there").series]
    assert before == after


def test_sources_and_errors_can_be_pickled(tmp_path: Path) -> None:
    write_series(tmp_path)
    source = inventory_of(tmp_path).series[0]
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301
    error = source.unreadable("truncated", "Cut off")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(again, UnreadableSeries)
    assert (again.reason, again.sentence, again.rejects) == (error.reason, error.sentence, error.rejects)


def test_links(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    write_series(root / "real")
    write_nifti(root / "n" / "ct.nii.gz", hu_values())
    outside = tmp_path / "outside"
    write_series(outside, SeriesInstanceUID="1.2.3")
    (root / "a_loop").symlink_to(root)
    (root / "b_again").symlink_to(root / "real")
    (root / "c_outside").symlink_to(outside)
    (root / "d_file.nii.gz").symlink_to(root / "n" / "ct.nii.gz")
    (root / "e_nowhere").symlink_to(root / "missing")
    os.mkfifo(root / "pipe")
    inventory = inventory_of(root)
    assert {source.name for source in inventory.series} == {"real", "n/ct.nii.gz", "c_outside"}
    assert reasons(inventory) == {
        "d_file.nii.gz": "duplicate_file",
        "e_nowhere": "unreadable",
        "pipe": "not_an_image",
    }


def test_a_file_that_vanishes_is_a_reject(tmp_path: Path) -> None:
    write_series(tmp_path)
    source = inventory_of(tmp_path).series[0]
    (tmp_path / "003").unlink()
    reading = read_series(source)
    scan, rejects = reading.scan, reading.rejects
    assert len(scan.voxels) == 3
    assert [(reject.path, reject.reason) for reject in rejects] == [("003", "unreadable")]


def test_patients_without_an_id(tmp_path: Path) -> None:
    write_series(tmp_path / "a", PatientID="", SeriesInstanceUID="1.1", StudyInstanceUID="1.9")
    write_series(tmp_path / "b", PatientID=None, SeriesInstanceUID="1.2", StudyInstanceUID="1.9")
    write_series(tmp_path / "c", PatientID="", SeriesInstanceUID="1.3", StudyInstanceUID="1.8")
    series = {source.name: source for source in inventory_of(tmp_path).series}
    assert series["a"].patient_key == series["b"].patient_key != series["c"].patient_key
    assert series["a"].tags.notes == ("no_patient_id",)


def test_a_patient_stays_one_whether_a_series_names_the_issuer_of_the_id_or_not(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SeriesInstanceUID="1.1", IssuerOfPatientID="north")
    write_series(tmp_path / "b", SeriesInstanceUID="1.2")
    assert len({source.patient_key for source in inventory_of(tmp_path).series}) == 1


def test_a_relative_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "archive" / "s")
    monkeypatch.chdir(tmp_path)
    source = inventory_of(Path("archive")).series[0]
    monkeypatch.chdir("/")
    assert len(read_series(source).scan.voxels) == 4
    assert source.name == "s"
