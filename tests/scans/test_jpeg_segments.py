"""What a JPEG says besides its pixels does not enter a set, wherever it says it."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from radnet.scans.jpeg_segments import without_metadata
from radnet.scans.pictures import decode

NAME = b"Doe^Jane"


def colours() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), dtype=np.uint8)


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours()).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def check(data: bytes) -> None:
    """The name is gone and the pixels are the same."""
    assert NAME in data
    stored = without_metadata(data)
    assert NAME not in stored
    assert np.array_equal(decode(stored), decode(data))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored))), np.asarray(Image.open(io.BytesIO(data))))


def test_a_second_picture_behind_the_first() -> None:
    exif = Image.Exif()
    exif[0x010E] = NAME.decode()
    check(jpeg() + jpeg(exif=exif))


def test_words_behind_the_end() -> None:
    check(jpeg() + NAME + b"\xff\xd9")


@pytest.mark.parametrize("marker", [0xFE, 0xE0, 0xE1, 0xED, 0xEE])
def test_segments_between_the_scans_of_a_progressive_jpeg(marker: int) -> None:
    data = jpeg(progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    before = data.rindex(b"\xff\xc4", 0, second)
    check(data[:before] + segment(marker, NAME) + data[before:])


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        (0xE0, b"JFXX\0\x10" + NAME),
        (0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1" + NAME[:3]),
        (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0" + NAME),
        (0xEE, b"Adobe\0\x64\0\0\0\0\1" + NAME),
        (0xEE, NAME),
    ],
)
def test_what_stands_in_segments_that_decoders_need(marker: int, content: bytes) -> None:
    data = jpeg()
    stored = without_metadata(data[:2] + segment(marker, content) + data[2:])
    assert content not in stored
    assert np.array_equal(decode(stored), decode(data))


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"keep_rgb": True}, {"quality": 100, "subsampling": 0}],
)
def test_a_jpeg_without_a_word_keeps_its_bytes(options: dict[str, object]) -> None:
    data = jpeg(**options)
    assert without_metadata(data) == data
    assert without_metadata(data[:-2]) == data[:-2]


def test_the_colours_that_adobe_names_stay() -> None:
    """Without its segment a decoder would take RGB for YCbCr."""
    data = jpeg(keep_rgb=True)
    data = data[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") + data[2:]
    assert without_metadata(data) == data
