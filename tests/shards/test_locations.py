"""An index that cannot be right is refused, and pictures are read as what they are."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radnet.errors import RadnetError
from radnet.hashing import sha256_of_file
from radnet.shards import ShardSet
from radnet.shards.codec import MAX_VALUES, DamagedFrameError
from radnet.shards.manifest import INDEX, MANIFEST
from radnet.shards.pictures import decode_image


def rewritten(built: Path, out: Path, index: pd.DataFrame) -> ShardSet:
    shutil.copytree(built, out, copy_function=shutil.copyfile)
    index.to_parquet(out / INDEX)
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["index"]["sha256"] = sha256_of_file(out / INDEX)
    (out / MANIFEST).write_text(json.dumps(manifest))
    return ShardSet.open(out)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("image_offset", 1 << 62, "beyond the end"),
        ("image_offset", -5, "negative"),
        ("image_bytes", 1 << 40, "larger than any"),
        ("image_offset", 512, "overlap"),
        ("shard", "../x.tar", "not one of"),
        ("image_format", "exe", "format"),
        ("image_crc32", -1, "CRC-32"),
    ],
)
def test_nonsense_is_refused(built: Path, tmp_path: Path, column: str, value: object, words: str) -> None:
    index = pd.read_parquet(built / INDEX)
    if words == "overlap":
        value = index.loc[0, column]
    index.loc[1, column] = value
    with pytest.raises(RadnetError, match=words) as caught:
        rewritten(built, tmp_path / "set", index).prepare_for_workers()
    assert caught.value.file == tmp_path / "set" / INDEX


def test_lacking_columns_and_rows(built: Path, tmp_path: Path) -> None:
    index = pd.read_parquet(built / INDEX)
    with pytest.raises(RadnetError, match="lacks"):
        rewritten(built, tmp_path / "a", index.drop(columns="image_crc32")).prepare_for_workers()
    with pytest.raises(RadnetError, match="rows"):
        rewritten(built, tmp_path / "b", index.iloc[:-1]).prepare_for_workers()
    old = rewritten(built, tmp_path / "c", index.drop(columns="image_format"))
    assert np.array_equal(old.read_image(0), ShardSet.open(built).read_image(0))


def test_streaming_leaves_the_full_index_alone(built: Path) -> None:
    shards = ShardSet.open(built)
    shards.rows("train")
    shards.read_image(0)
    assert "index" not in vars(shards)
    assert shards._images.nbytes == 21 * len(shards)


def test_another_shard_of_the_same_size(built: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(built, tmp_path / "set", copy_function=shutil.copyfile)
    shard = copied / "ct-000000.tar"
    shard.write_bytes(shard.read_bytes()[::-1])
    with pytest.raises(RadnetError, match="CRC-32") as caught:
        ShardSet.open(copied).read_image(0)
    assert caught.value.file == shard


def test_pictures() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)
    png = cv2.imencode(".png", picture)[1].tobytes()
    assert np.array_equal(decode_image(png, "png"), picture[..., ::-1])
    deep = picture[..., 0].astype(np.uint16) * 200
    assert np.array_equal(decode_image(cv2.imencode(".png", deep)[1].tobytes(), "png"), deep)
    for bad in (b"", b"nothing", png[:20]):
        with pytest.raises(DamagedFrameError):
            decode_image(bad, "png")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("rows", "columns"), [(9000, 9000), (1, MAX_VALUES + 1), (20_000, 20_000)])
@pytest.mark.parametrize("image_format", ["png", "jpg"])
def test_a_picture_that_claims_too_much_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, image_format: str
) -> None:
    """By its header: a small file of one colour would take all memory first."""
    data = bytearray(cv2.imencode(f".{image_format}", np.zeros((8, 9), np.uint8))[1].tobytes())
    if image_format == "png":
        data[16:24] = struct.pack(">II", columns, rows)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        if columns > 65535:
            pytest.skip("no side of a JPEG is so long")
        size = data.index(b"\xff\xc0") + 5
        data[size : size + 4] = struct.pack(">HH", rows, columns)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it is decoded"))
    with pytest.raises(DamagedFrameError):
        decode_image(bytes(data), image_format)


def test_other_formats_than_these_are_refused() -> None:
    """OpenCV reads many, by their content, and the size of none of them would be known."""
    with pytest.raises(DamagedFrameError):
        decode_image(cv2.imencode(".bmp", np.zeros((8, 9), np.uint8))[1].tobytes(), "png")
