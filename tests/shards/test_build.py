"""What a build makes of an archive: the same bytes always, whole or not at all, and nobody's name in it."""

import errno
import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import webdataset as wds

from radnet.errors import RadnetError, UsageError
from radnet.scans.archive import read_series, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards import build as build_module
from radnet.shards.build import BuildReport, BuildSettings, build_shards
from radnet.shards.codec import decode
from radnet.shards.manifest import INDEX, MANIFEST, REJECTS
from radnet.shards.tables import INDEX_COLUMNS
from tests.scans.dicom_factory import write_series, write_slice

ONE_PARAGRAPH = re.compile(r"[^\n]+\.")


def fails(kind: type[RadnetError], archive: Path, out: Path, hasher: KeyedHash, **options: object) -> RadnetError:
    """The error of a build that must fail; it says one paragraph and leaves nothing behind."""
    before = sorted(out.parent.rglob("*")) if out.parent.exists() else []
    with pytest.raises(RadnetError) as caught:
        build_shards(archive, out, hasher, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == kind.exit_code
    assert ONE_PARAGRAPH.fullmatch(str(caught.value))
    assert caught.value.fix
    after = sorted(out.parent.rglob("*")) if out.parent.exists() else []
    assert after == before
    return caught.value


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


# --- the set ---------------------------------------------------------------------------------------------------------


def test_two_jobs_give_the_same_bytes(
    archive: Path, built: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path
) -> None:
    build_shards(archive, tmp_path / "ct", hasher, settings, jobs=2)
    assert files_of(tmp_path / "ct") == files_of(built)


def test_building_again_gives_the_same_bytes(
    archive: Path, built: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path
) -> None:
    copied = shutil.copytree(archive, tmp_path / "elsewhere" / "archive", copy_function=shutil.copyfile)
    build_shards(copied, tmp_path / "ct", hasher, settings)
    assert files_of(tmp_path / "ct") == files_of(built)


def test_another_secret_gives_other_keys_and_the_same_pixels(
    archive: Path, shards: ShardSet, settings: BuildSettings, tmp_path: Path
) -> None:
    build_shards(archive, tmp_path / "ct", KeyedHash(b"another secret, also of 32 bytes"), settings)
    other = ShardSet.open(tmp_path / "ct").index
    for column in ("patient_key", "series_key"):
        assert not set(other[column]) & set(shards.index[column])
    assert sorted(other["content_hash"]) == sorted(shards.index["content_hash"])


def test_every_slice_of_the_archive_is_in_the_set(archive: Path, shards: ShardSet, hasher: KeyedHash) -> None:
    inventory = take_inventory(archive, hasher)
    rows_of = {key: list(frame.index) for key, frame in shards.index.groupby("series_key")}
    assert len(inventory.series) == len(rows_of) == 8
    for source in inventory.series:
        scan = read_series(source).scan
        rows = rows_of[scan.series_key]
        assert np.array_equal(np.stack([shards.read_image(row) for row in rows]), scan.voxels)
        assert scan.mask is not None
        assert np.array_equal(np.stack([shards.read_mask(row) for row in rows]), scan.mask)  # type: ignore[arg-type]
        table = shards.index.loc[rows]
        assert list(table["slice"]) == list(range(len(scan.voxels)))
        assert np.allclose(table["z_mm"], scan.z_mm(), atol=1e-3)
        assert (
            table[["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].to_numpy() == np.round(scan.spacing_mm, 6)
        ).all()
        assert set(table["body_region"]) == {scan.tags.body_region}
        for name, values in scan.slice_labels.items():
            assert [None if pd.isna(value) else value for value in table[f"label_{name}"]] == list(values)


def test_shards_keep_their_size_limit(built: Path, shards: ShardSet, settings: BuildSettings) -> None:
    assert len(shards.manifest.shards) > 2
    for shard in shards.manifest.shards:
        assert (built / shard.file).stat().st_size == shard.bytes <= settings.shard_bytes


def test_the_index_has_one_type_a_column(built: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    """Also where nothing at all is known: no contrast, no kernel, no mask, no label."""
    write_series(tmp_path / "scans" / "s")
    build_shards(tmp_path / "scans", tmp_path / "bare", hasher)
    for directory, labels in ((built, 4), (tmp_path / "bare", 0)):
        schema = pq.read_schema(directory / INDEX)
        assert dict(zip(schema.names, schema.types, strict=True)).items() >= INDEX_COLUMNS.items()
        assert [name for name in schema.names if name.startswith("label_")] == schema.names[len(INDEX_COLUMNS) :]
        assert len(schema.names) == len(INDEX_COLUMNS) + labels
    bare = ShardSet.open(tmp_path / "bare")
    assert bare.read_mask(0) is None
    assert bare.index["mask_offset"].isna().all()
    assert bare.index["contrast"].isna().all()


def test_the_manifest_counts_what_is_there(built: Path, shards: ShardSet, report: BuildReport) -> None:
    assert report.manifest.content_hash() == shards.manifest.content_hash()
    totals, index = shards.manifest.totals, shards.index
    assert (totals.samples, totals.series, totals.patients) == (48, 8, 4)
    assert {name: count for name, count in totals.samples_by_split.items() if count} == dict(
        index["split"].value_counts()
    )
    assert sum(totals.patients_by_split.values()) == 4
    assert totals.samples_by_region == dict(index["body_region"].value_counts())
    assert totals.rejected_files == pd.read_parquet(built / REJECTS)["files"].sum() == len(report.rejects)
    assert shards.manifest.synthetic == "all"
    assert sorted(path.name for path in built.iterdir()) == sorted(
        [MANIFEST, INDEX, REJECTS, *(shard.file for shard in shards.manifest.shards)]
    )


@pytest.mark.parametrize("decoded", [False, True])
def test_plain_webdataset_reads_every_sample(built: Path, shards: ShardSet, decoded: bool) -> None:
    urls = [str(built / shard.file) for shard in shards.manifest.shards]
    dataset = wds.WebDataset(urls, shardshuffle=False)
    samples = list(dataset.decode() if decoded else dataset)
    keys = [sample["__key__"] for sample in samples]
    assert keys == list(shards.index["key"])
    assert len(set(keys)) == len(shards)
    for row, sample in enumerate(samples):
        assert {name for name in sample if not name.startswith("__")} == {"image.b2nd", "mask.b2nd", "json"}
        described = sample["json"] if decoded else json.loads(sample["json"])
        entry = shards.index.iloc[row]
        assert described["key"] == sample["__key__"]
        assert described["content_hash"] == entry["content_hash"]
        assert described["patient_key"] == entry["patient_key"]
        assert np.array_equal(decode(sample["image.b2nd"]), shards.read_image(row))


# --- nobody's name ---------------------------------------------------------------------------------------------------

IDENTIFIERS = {
    "PatientID": "ID-7719-QX",
    "PatientName": "Mustermann^Erika",
    "PatientBirthDate": "19640812",
    "PatientAddress": "Heidestrasse 17",
    "OtherPatientIDs": "OTHER-5521",
    "AccessionNumber": "ACC-88123",
    "StudyDate": "20210317",
    "SeriesDate": "20210318",
    "AcquisitionDate": "20210319",
    "StudyTime": "104233",
    "InstitutionName": "Klinikum Musterstadt",
    "InstitutionAddress": "Ringweg 3",
    "StationName": "CTSTATION5",
    "ReferringPhysicianName": "Doktor^Wer",
    "OperatorsName": "Opera^Tor",
    "PerformingPhysicianName": "Per^Former",
    "DeviceSerialNumber": "SN-445566",
    "StudyID": "STUDY-31337",
    "StudyDescription": "CT Thorax Mustermann",
    "SeriesDescription": "axial for Erika",
    "PatientComments": "calls at noon",
    "ImageComments": "seen by Wer",
    "ProtocolName": "Thorax of 7719",
    "StudyInstanceUID": "1.2.826.0.1.99991",
    "SeriesInstanceUID": "1.2.826.0.1.99992",
    "FrameOfReferenceUID": "1.2.826.0.1.99993",
}
PLACES = ("mustermann_erika", "visit_20210317", "slice_of_erika")


def test_no_identifier_and_no_secret_is_in_a_set(hasher: KeyedHash, tmp_path: Path) -> None:
    folder = tmp_path / "archive" / PLACES[0] / PLACES[1]
    write_series(folder, **IDENTIFIERS)
    uids = [f"1.2.826.0.1.9999.{number}" for number in range(2)]
    write_slice(folder / PLACES[2], ImagePositionPatient=[-10, -20, 8], **{**IDENTIFIERS, "SOPInstanceUID": uids[0]})
    broken = folder / "mustermann.dcm"
    write_slice(broken, **{**IDENTIFIERS, "SOPInstanceUID": uids[1]})
    broken.write_bytes(broken.read_bytes()[:-40])
    (folder / "letter_to_mustermann.txt").write_text("Dear Mrs. Mustermann")
    report = build_shards(tmp_path / "archive", tmp_path / "ct", hasher, BuildSettings(keep_duplicates=True))
    assert report.manifest.totals.samples == 5
    assert {reject.reason for reject in report.rejects} == {"truncated", "not_an_image"}
    hidden = [*IDENTIFIERS.values(), *PLACES, *uids, "mustermann", "erika", "letter", hasher.secret.decode()]
    hidden += [part for value in IDENTIFIERS.values() for part in value.split("^")]
    tables = "".join(pd.read_parquet(tmp_path / "ct" / name).to_csv() for name in (INDEX, REJECTS))
    everything = b"".join(files_of(tmp_path / "ct").values()).lower() + tables.lower().encode()
    assert b"ct" in everything
    assert report.manifest.removed_tags["PatientID"] == 5
    for name in report.manifest.removed_tags:  # names of elements, not their values
        everything = everything.replace(f'"{name}"'.lower().encode(), b"")
    found = [word for word in hidden if word.lower().encode() in everything]
    assert not found
    assert hasher.secret.hex().encode() not in everything


# --- bad input -------------------------------------------------------------------------------------------------------


def test_an_archive_that_does_not_exist(hasher: KeyedHash, tmp_path: Path) -> None:
    error = fails(UsageError, tmp_path / "nowhere", tmp_path / "ct", hasher)
    assert (error.exit_code, error.file) == (2, tmp_path / "nowhere")


def test_an_archive_that_is_a_file(hasher: KeyedHash, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no archive")
    assert "file" in fails(UsageError, tmp_path / "file", tmp_path / "ct", hasher).what


def test_an_empty_archive(hasher: KeyedHash, tmp_path: Path) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    error = fails(UsageError, tmp_path / "empty", tmp_path / "ct", hasher)
    assert "empty" in error.what


def test_an_archive_of_texts(hasher: KeyedHash, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.txt", "c"):
        (tmp_path / "texts" / name).write_text(f"text {name}")
    error = fails(RadnetError, tmp_path / "texts", tmp_path / "ct", hasher)
    assert error.exit_code == 1
    assert "files rejected: 3 (not_an_image: 3)" in error.what


def test_only_a_truncated_dicom_file(hasher: KeyedHash, tmp_path: Path) -> None:
    path = write_slice(tmp_path / "archive" / "cut.dcm")
    path.write_bytes(path.read_bytes()[:-20])
    assert "truncated: 1" in fails(RadnetError, tmp_path / "archive", tmp_path / "ct", hasher).what


def test_only_a_series_over_time(shared_data: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    shutil.copy(shared_data / "nifti_zoo" / "four_d_perfusion.nii.gz", tmp_path / "archive")
    assert "four_dimensional: 1" in fails(RadnetError, tmp_path / "archive", tmp_path / "ct", hasher).what


def test_bad_files_beside_good_ones_are_counted(hasher: KeyedHash, tmp_path: Path) -> None:
    write_series(tmp_path / "archive" / "good")
    cut = write_slice(tmp_path / "archive" / "cut.dcm", SeriesInstanceUID="1.2.3")
    cut.write_bytes(cut.read_bytes()[:-20])
    report = build_shards(tmp_path / "archive", tmp_path / "ct", hasher)
    assert report.manifest.totals.samples == 4
    assert report.manifest.totals.rejected_files == 1
    assert list(pd.read_parquet(tmp_path / "ct" / REJECTS)["reason"]) == ["truncated"]


# --- the output ------------------------------------------------------------------------------------------------------


def test_an_output_that_exists(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "precious").write_text("thesis")
    assert "--overwrite" in str(fails(UsageError, archive, tmp_path / "ct", hasher))
    error = fails(UsageError, archive, tmp_path / "ct", hasher, overwrite=True)
    assert "something else than a shard set" in error.what
    assert (tmp_path / "ct" / "precious").read_text() == "thesis"


def test_a_file_as_output(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    (tmp_path / "ct").write_text("a file")
    fails(UsageError, archive, tmp_path / "ct", hasher, overwrite=True)


def test_an_output_in_the_archive(hasher: KeyedHash, tmp_path: Path) -> None:
    write_series(tmp_path / "archive")
    for out in (tmp_path / "archive" / "ct", tmp_path / "archive"):
        fails(UsageError, tmp_path / "archive", out, hasher, overwrite=True)
    assert len(list((tmp_path / "archive").iterdir())) == 4


def test_a_set_is_replaced_when_asked_and_kept_when_the_build_fails(
    archive: Path, hasher: KeyedHash, tmp_path: Path
) -> None:
    write_series(tmp_path / "small")
    out = tmp_path / "sets" / "ct"
    build_shards(tmp_path / "small", out, hasher)
    before = files_of(out)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a").write_text("a")
    fails(RadnetError, tmp_path / "texts", out, hasher, overwrite=True)
    fails(UsageError, archive, out, hasher)
    assert files_of(out) == before
    build_shards(archive, out, hasher, overwrite=True)
    assert ShardSet.open(out).manifest.totals.samples == 48
    assert sorted(path.name for path in out.parent.iterdir()) == ["ct"]


def test_an_output_relative_to_the_working_directory(
    hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "archive")
    (tmp_path / "ct").mkdir()
    monkeypatch.chdir(tmp_path / "ct")
    build_shards(Path("../archive"), Path(), hasher)
    assert (tmp_path / "ct" / "ct-000000.tar").is_file()


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["tarfile.TarFile.addfile", "pyarrow.parquet.write_table", "tempfile.mkstemp"])
def test_a_disk_that_is_full_from_some_point_on(
    archive: Path, hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(where, full_disk)
    error = fails(RadnetError, archive, tmp_path / "sets" / "ct", hasher)
    assert "disk is full" in error.what


def test_a_disk_that_is_really_full(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    """On a file system of 100 KiB; the set takes some 400."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "100k"):
        error = fails(RadnetError, archive, disk / "ct", hasher)
        assert "disk is full" in error.what
        assert list(disk.iterdir()) == []


@contextmanager
def mounted(directory: Path, size: str) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("limit_bytes", [5_000, 50_000])
def test_a_limit_on_the_size_of_files(archive: Path, hasher: KeyedHash, tmp_path: Path, limit_bytes: int) -> None:
    """Real failing writes, in every environment: the limit hits the first shard at its start or its end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        error = fails(RadnetError, archive, tmp_path / "sets" / "ct", hasher)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "larger than this account or file system allows" in error.what


def test_an_interrupted_build_leaves_nothing(
    archive: Path, hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("radnet.shards.build.encode_part", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_shards(archive, tmp_path / "sets" / "ct", hasher)
    assert list((tmp_path / "sets").iterdir()) == []


def test_a_worker_that_dies_is_explained(
    archive: Path, hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die: Callable[..., None] = lambda *_: os._exit(9)  # noqa: E731 - a lambda travels to the worker by value
    monkeypatch.setattr(build_module, "encode_part", die)
    error = fails(RadnetError, archive, tmp_path / "sets" / "ct", hasher, jobs=2)
    assert "worker process died" in error.what
