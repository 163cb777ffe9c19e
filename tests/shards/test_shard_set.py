import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radnet.errors import RadnetError, UsageError
from radnet.shards import ShardSet
from radnet.shards.manifest import INDEX, MANIFEST, REJECTS
from radnet.shards.rows import content_hash_of


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "copied", copy_function=shutil.copyfile)


def refused(path: Path, kind: type[RadnetError]) -> RadnetError:
    with pytest.raises(RadnetError) as caught:
        ShardSet.open(path)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return caught.value


def change_manifest(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_content_hashes_tell_the_pixels(shards: ShardSet) -> None:
    for row, expected in enumerate(shards.index["content_hash"]):
        hu = shards.read_image(row)
        assert hu.shape == tuple(shards.index.loc[row, ["rows", "columns"]])
        assert content_hash_of(hu) == expected
    hu = shards.read_image(0).copy()
    hu[3, 4] += 1
    assert content_hash_of(hu) != shards.index["content_hash"][0]
    assert content_hash_of(hu.reshape(32, 128)) != content_hash_of(hu)


def test_splits_are_disjoint_and_complete(shards: ShardSet) -> None:
    rows = [shards.rows(split) for split in ("train", "val", "test")]
    assert sorted(np.concatenate(rows)) == list(shards.rows())
    assert all(part.dtype == np.int64 for part in rows)
    with pytest.raises(UsageError, match="train"):
        shards.rows("trian")


def test_a_set_travels_between_processes(shards: ShardSet) -> None:
    shards.read_image(0)
    twin = pickle.loads(pickle.dumps(shards))  # noqa: S301 - its own bytes
    assert np.array_equal(twin.read_image(3), shards.read_image(3))
    assert len(pickle.dumps(shards)) < 10_000  # the index is read again, not sent along


def test_only_some_shards_stay_open(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radnet.shards.shard_set.MAX_OPEN_SHARDS", 2)
    before = open_files()
    shards = ShardSet.open(built)
    for row in (*range(0, len(shards), 5), 0, 7):
        shards.read_image(row)
        assert open_files() - before <= 2
    shards.close()
    assert open_files() == before
    assert shards.read_image(0).shape == (64, 64)
    del shards
    assert open_files() == before


def test_what_is_no_set(copied: Path, tmp_path: Path) -> None:
    assert "No such" in refused(tmp_path / "nowhere", UsageError).what
    (tmp_path / "empty").mkdir()
    assert "did not finish" in refused(tmp_path / "empty", UsageError).what
    (copied / MANIFEST).write_text("{")
    assert "damaged" in refused(copied, UsageError).what
    (copied / MANIFEST).write_bytes(b"\xff\xfe\0")
    assert "cannot be read" in refused(copied, UsageError).what


def test_a_manifest_of_another_version(copied: Path) -> None:
    change_manifest(copied, lambda manifest: manifest.update(format_version=3))
    assert "format_version" in refused(copied, UsageError).what


def test_a_manifest_that_leads_elsewhere(copied: Path) -> None:
    def lead_elsewhere(manifest: dict[str, object]) -> None:
        manifest["shards"][0]["file"] = "../secret.tar"  # type: ignore[index]

    change_manifest(copied, lead_elsewhere)
    assert "outside" in refused(copied, UsageError).what


@pytest.mark.parametrize("name", [INDEX, REJECTS, "ct-000001.tar"])
def test_a_missing_file(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert refused(copied, RadnetError).file == copied / name


def test_a_cut_shard(copied: Path) -> None:
    shard = copied / "ct-000001.tar"
    with shard.open("r+b") as opened:
        opened.truncate(shard.stat().st_size - 512)
    assert "bytes, the manifest says" in refused(copied, RadnetError).what


def test_a_damaged_index(copied: Path) -> None:
    data = bytearray((copied / INDEX).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / INDEX).write_bytes(data)
    with pytest.raises(RadnetError, match="index is damaged"):
        ShardSet.open(copied).rows("train")


def test_every_flipped_bit_of_a_sample_is_noticed(copied: Path) -> None:
    shards = ShardSet.open(copied)
    entry = shards.index.iloc[4]
    file, start, size = copied / entry["shard"], int(entry["image_offset"]), int(entry["image_bytes"])
    whole = file.read_bytes()
    for position in np.random.default_rng(0).integers(0, size, 60):
        damaged = bytearray(whole)
        damaged[start + position] ^= 1 << int(position % 8)
        file.write_bytes(damaged)
        with pytest.raises(RadnetError, match=f"Sample {entry['key']} is damaged") as caught:
            shards.read_image(4)
        assert caught.value.file == file
        shards.read_image(3)
        shards.read_image(5)
    file.write_bytes(whole)
    shards.read_image(4)


def test_a_shard_that_disappears_while_reading(copied: Path) -> None:
    shards = ShardSet.open(copied)
    for shard in copied.glob("*.tar"):
        shard.unlink()
    for read in (shards.read_image, shards.read_mask):
        with pytest.raises(RadnetError, match="cannot be read"):
            read(0)
