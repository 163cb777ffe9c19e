"""Every damage is found, and said as what it is."""

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from radnet.errors import UsageError
from radnet.hashing import sha256_of_file
from radnet.scans.keys import KeyedHash
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.verify import Verification, verify_set
from radnet.shards.verify_shard import _pixels
from tests.shards.sets_for_tests import damaged_manifest, shard_files


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the set to damage."""
    return Path(shutil.copytree(built, tmp_path / "ct"))


def _words(found: Verification) -> str:
    return "\n".join(f"{problem.file} {problem.sample} {problem.what}" for problem in found.problems)


def _agree(directory: Path) -> None:
    """Let the manifest tell sizes and hashes of the files as they are, as somebody who forges a set would."""

    def change(about: dict) -> None:
        for entry in (about["index"], about["rejects"], *about["shards"]):
            entry["sha256"] = sha256_of_file(directory / entry["file"])
        for entry in about["shards"]:
            entry["bytes"] = (directory / entry["file"]).stat().st_size

    damaged_manifest(directory, change)


def test_a_whole_set_has_no_problem(built: Path) -> None:
    for full, jobs in ((False, 1), (True, 1), (True, 2)):
        found = verify_set(built, full=full, jobs=jobs)
        assert found.problems == found.notes == ()
        assert found.samples == 48


def test_a_set_of_deep_pictures_has_no_problem(hasher: KeyedHash, tmp_path: Path) -> None:
    """Grey pictures of 8 and 16 bits, whole and averaged down; colours of 16 bits are no part of the format."""
    generator = np.random.default_rng(0)
    (tmp_path / "archive").mkdir()
    for number, dtype in enumerate([np.uint8, np.uint16]):
        pixels = generator.integers(0, np.iinfo(dtype).max, (40, 48)).astype(dtype)
        cv2.imwrite(str(tmp_path / "archive" / f"{number}.png"), pixels)
    for size in (None, 16):
        out = tmp_path / f"set{size}"
        build_shards(tmp_path / "archive", out, hasher, BuildSettings(modalities=("PICTURE",), size=size))
        found = verify_set(out, full=True)
        assert found.samples == 2
        assert found.problems == ()
    colours = cv2.imencode(".png", generator.integers(0, 65535, (8, 9, 3)).astype(np.uint16))[1].tobytes()
    row = {"rows": 8, "columns": 9, "modality": "PICTURE", "image_format": "png", "content_hash": ""}
    assert list(_pixels("image", colours, row)) == ["its image has colours of uint16, which are stored as uint8"]


def test_what_is_no_set_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such directory"):
        verify_set(tmp_path / "none")
    with pytest.raises(UsageError, match="no shard set"):
        verify_set(tmp_path)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_shard_is_found_by_its_size_and_by_its_samples(copy: Path, share: float) -> None:
    shard = shard_files(copy)[1]
    data = shard.read_bytes()
    shard.write_bytes(data[: int(share * len(data))])
    assert f"the manifest says {len(data)}" in _words(verify_set(copy))
    _agree(copy)
    assert verify_set(copy).problems == ()
    assert "the end of the tar is missing" in _words(verify_set(copy, full=True))


def test_a_flipped_bit_anywhere_is_found(copy: Path) -> None:
    shard = shard_files(copy)[0]
    data = shard.read_bytes()
    rows = pq.read_table(copy / "index.parquet").to_pylist()
    row = next(row for row in rows if row["shard"] == shard.name)
    places = {
        row["image_offset"] - 512: "header of a member is damaged",
        row["image_offset"] - 300: "header of a member is damaged",
        row["image_offset"] + 40: "bytes of its image are not the ones",
        row["image_offset"] + row["image_bytes"] - 1: "bytes of its image are not the ones",
        row["json_offset"] + row["json_bytes"]: "should be empty",
        row["json_offset"] + 3: "bytes of its json are not the ones",
        len(data) - 1: "behind the end of the tar",
    }
    for place, words in places.items():
        flipped = bytearray(data)
        flipped[place] ^= 4
        shard.write_bytes(bytes(flipped))
        found = _words(verify_set(copy, full=True))
        assert "SHA-256" in found
        assert words in found, (place, found)
    shard.write_bytes(data)
    assert verify_set(copy, full=True).problems == ()


def test_missing_replaced_and_extra_files(copy: Path) -> None:
    first, second, third = shard_files(copy)[:3]
    first.unlink()
    second.write_bytes(third.read_bytes())
    (copy / "notes.txt").write_text("mine")
    found = verify_set(copy, full=True)
    assert f"{first.name}  it is missing" in _words(found)
    assert "the tar does not" in _words(found)
    assert [note.file for note in found.notes] == ["notes.txt"]


def _member(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """One member as its blocks, without an end."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, 4 if kind == tarfile.REGTYPE else 0, "target"
    out = io.BytesIO(info.tobuf(tarfile.USTAR_FORMAT))
    out.seek(0, io.SEEK_END)
    out.write(b"evil".ljust(512, b"\0") if info.size else b"")
    return out.getvalue()


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (_member("../../evil.json"), "points outside of the set"),
        (_member("/etc/evil.json"), "points outside of the set"),
        (_member("000000000.json", tarfile.SYMTYPE), "is a symbolic link"),
        (_member("000000000.json", tarfile.LNKTYPE), "is a hard link"),
        (_member("000000000.json", tarfile.CHRTYPE), "is a device"),
        (_member("evil.py"), "a name that no sample has"),
        (_member("000000000.json"), "is there twice"),
        (_member("900000000.json"), "the index does not"),
    ],
)
def test_a_member_that_does_not_belong_is_named(copy: Path, blocks: bytes, words: str) -> None:
    shard = shard_files(copy)[0]
    data = shard.read_bytes()
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    body = data[:end] + blocks + bytes(1024)
    shard.write_bytes(body + bytes(-len(body) % tarfile.RECORDSIZE))
    _agree(copy)
    assert words in _words(verify_set(copy, full=True))


def _beyond(rows: list[dict]) -> None:
    rows[3]["image_offset"] = 10**12


def _removed(rows: list[dict]) -> None:
    del rows[3]


def _twice(rows: list[dict]) -> None:
    rows.insert(3, dict(rows[3]))


def _swapped(rows: list[dict]) -> None:
    rows[2], rows[3] = rows[3], rows[2]


def _size(rows: list[dict]) -> None:
    rows[3]["rows"] += 1


def _modality(rows: list[dict]) -> None:
    rows[3]["modality"] = "MR"


def _hash(rows: list[dict]) -> None:
    rows[3]["content_hash"] = "0" * 32


def _label(rows: list[dict]) -> None:
    rows[3]["body_region"] = "spine"


def _side(rows: list[dict]) -> None:
    rows[0]["split"] = {"train": "test", "val": "test", "test": "train"}[rows[0]["split"]]


def _offset(rows: list[dict]) -> None:
    rows[3]["image_offset"] += 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_beyond, "beyond the end of the shard"),
        (_removed, "the index does not"),
        (_twice, "there twice or out of order"),
        (_swapped, "not behind the sample before"),
        (_size, "the index says 65 x 64"),
        (_modality, "MR is stored as uint16"),
        (_hash, "not the ones that content_hash stands for"),
        (_label, "body_region is"),
        (_side, "on two sides of the split"),
        (_offset, "in the tar it is"),
    ],
)
def test_an_index_that_lies_is_found(copy: Path, change: Callable[[list[dict]], None], words: str) -> None:
    file = copy / "index.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    _agree(copy)
    found = _words(verify_set(copy, full=True))
    assert words in found
    assert "content_sha256 is not" in found or change in (_beyond, _offset)


@pytest.mark.parametrize("name", ["index.parquet", "rejects.parquet"])
def test_a_damaged_table_is_found_without_full(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    for damaged in (b"", data[: len(data) // 2], data[:-20] + b"\0" * 20):
        (copy / name).write_bytes(damaged)
        for full in (False, True):
            found = _words(verify_set(copy, full=full))
            assert f"{name}  its bytes are not" in found
            assert f"{name}  it cannot be read" in found


def test_a_damaged_manifest_is_a_problem_and_its_numbers_are_counted(copy: Path) -> None:
    damaged_manifest(copy, lambda about: about["totals"].update(samples=47, patients=9))
    found = _words(verify_set(copy))
    assert "it says samples: 47; the index has 48" in found
    assert "it says patients: 9; the index has 4" in found
    damaged_manifest(copy, lambda about: about["settings"].update(shard_bytes=1))
    assert "settings_sha256" in _words(verify_set(copy))
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text[: len(text) // 2])
    (problem,) = verify_set(copy).problems
    assert "manifest is damaged" in problem.what


def test_a_split_that_keys_and_fractions_do_not_give_is_found(copy: Path) -> None:
    damaged_manifest(copy, lambda about: about["settings"].update(split_fractions=[0, 0, 1]))
    assert "key and fractions give test" in _words(verify_set(copy))


def test_a_forged_content_hash_is_found(copy: Path) -> None:
    damaged_manifest(copy, lambda about: about.update(content_sha256="0" * 64))
    assert _words(verify_set(copy)) == ""
    assert "content_sha256" in _words(verify_set(copy, full=True))
