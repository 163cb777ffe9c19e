"""The tars that the writer makes, and what it says about them."""

import os
import tarfile
from pathlib import Path

import pytest
import webdataset

from radnet.shards.sample import Sample
from radnet.shards.tables import rows_of, write_index, write_rejects
from radnet.shards.writer import ShardWriter, fragment_path

SAMPLES = [
    Sample(image=bytes([number]) * size, mask=b"mask" * number if number % 2 else None, row={"image_format": "b2nd"})
    for number, size in enumerate((0, 1, 511, 512, 513, 100_000))
]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path, "set", tmp_path) as writer:
        for sample in SAMPLES:
            writer.add(sample)
        writer.close()
    return tmp_path / "set-000000.tar"


def test_the_bytes_are_those_of_webdataset(shard: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    with other.open("wb") as file, tarfile.open(shard) as tar:
        peer = webdataset.TarWriter(file, user="radnet", group="radnet", mode=0o444, mtime=0, encoder=False)
        for number, sample in enumerate(SAMPLES):
            key = f"{number:09d}"
            described = tar.extractfile(f"{key}.json")
            assert described is not None
            members = {"image.b2nd": sample.image, "json": described.read()}
            peer.write({"__key__": key, **members, **({"mask.b2nd": sample.mask} if sample.mask is not None else {})})
        peer.close()
    assert shard.read_bytes() == other.read_bytes()


def test_offsets_are_where_a_reader_of_tars_finds_the_members(shard: Path, tmp_path: Path) -> None:
    rows = {row["key"]: row for row in rows_of([fragment_path(tmp_path, 0)])}
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    assert len(members) == sum(2 + (sample.mask is not None) for sample in SAMPLES)
    for member in members:
        key, kind, *_ = member.name.split(".")
        assert (rows[key][f"{kind}_offset"], rows[key][f"{kind}_bytes"]) == (member.offset_data, member.size)


def test_tables_are_on_the_disk_before_anything_vouches_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that survives a loss of power without its rows would be a shard that no index knows."""
    fsync, flushed = os.fsync, dict[Path, int]()

    def noted(descriptor: int) -> None:
        flushed[Path(f"/proc/self/fd/{descriptor}").resolve()] = os.fstat(descriptor).st_size
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    rows, seen = fragment_path(tmp_path, 0), []
    with ShardWriter(tmp_path, "set", tmp_path, on_shard=lambda _: seen.append(dict(flushed))) as writer:
        writer.add(SAMPLES[0])
        writer.close()
    assert [at_step.get(rows) for at_step in seen] == [rows.stat().st_size]
    write_index([rows], tmp_path / "index.parquet")
    write_rejects([], tmp_path / "rejects.parquet")
    for name in ("index.parquet", "rejects.parquet"):
        assert flushed[tmp_path / name] == (tmp_path / name).stat().st_size
