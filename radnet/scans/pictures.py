"""PNG and JPEG files: pictures without Hounsfield units, as natural images and many public radiographs come."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from radnet.scans.jpeg_segments import without_metadata
from radnet.scans.sizes import require_plausible_slice
from radnet.scans.sources import RefusedError

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = {"PNG": "png", "JPEG": "jpg"}
EXIF_ORIENTATION = 0x0112
JPEG_FORMATS = ("JPEG", "MPO")
"""As Pillow names them: MPO is a JPEG behind which others follow, as telephones write it."""
GREY_MODES, COLOUR_MODES = ("L", "LA", "1"), ("RGB", "RGBA", "P", "PA")
DEEP_MODES = ("I;16", "I;16B", "I")
"""16-bit PNG."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What the head of a picture file says.

    Attributes:
        rows: Height in pixels.
        columns: Width in pixels.
        lossy: Whether it is a JPEG.
    """

    rows: int
    columns: int
    lossy: bool


@dataclass(frozen=True)
class Picture:
    """A picture and the bytes to store for it.

    Attributes:
        pixels: uint8 (Y, X) grey, uint8 (Y, X, 3) RGB, or uint16 (Y, X).
        encoded: A JPEG without metadata, or a PNG of the pixels.
        image_format: "jpg" or "png".
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    encoded: bytes
    image_format: str


def is_picture_name(path: Path) -> bool:
    """Whether a file is called as pictures are."""
    return path.name.lower().endswith(SUFFIXES)


def read_picture_header(path: Path) -> PictureHeader:
    """Size and format, without decoding.

    Raises:
        RefusedError: No PNG or JPEG ("unreadable"), or a size that no picture has ("too_large").
    """
    with _open(path) as image:
        require_plausible_slice(image.height, image.width)
        return PictureHeader(image.height, image.width, image.format in JPEG_FORMATS)


def read_picture(path: Path) -> Picture:
    """Decode a picture. A turned JPEG is turned upright and stored as PNG, any other one keeps its own bytes.

    Raises:
        RefusedError: Damaged ("unreadable"), too large, or of colours that are neither grey nor RGB ("colour").
    """
    with _open(path) as image:
        require_plausible_slice(image.height, image.width)
        try:
            upright = image.getexif().get(EXIF_ORIENTATION, 1) == 1
            if image.format in JPEG_FORMATS and upright and image.mode in ("L", "RGB"):
                data = without_metadata(path.read_bytes())
                return Picture(decode(data), data, "jpg")
            pixels = _pixels(image)
        except (OSError, ValueError, SyntaxError, cv2.error) as error:
            raise RefusedError("unreadable", f"The picture cannot be decoded ({type(error).__name__})") from error
    return Picture(pixels, encode(pixels, "png"), "png")


def decode(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG or JPEG of 8 bits, grey (Y, X) or RGB (Y, X, 3).

    Raises:
        ValueError: It cannot be decoded.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("the picture is damaged")
    return np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels, dtype=np.uint8)


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16], image_format: str) -> bytes:
    """A picture file of grey or RGB pixels; JPEG at quality 95."""
    stored: NDArray[Any] = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if image_format == "jpg" else []
    return bytes(cv2.imencode(f".{image_format}", stored, options)[1])


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=tuple(FORMATS))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RefusedError("unreadable", f"The picture cannot be read ({type(error).__name__})") from error


def _pixels(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    from PIL import ImageOps

    if image.mode in DEEP_MODES:
        deep = np.asarray(image)
        if deep.min() < 0 or deep.max() > np.iinfo(np.uint16).max:
            raise RefusedError("colour", "The pixels need more than 16 bits")
        return deep.astype(np.uint16)
    if image.mode not in (*GREY_MODES, *COLOUR_MODES):
        raise RefusedError("colour", f"The colours of the picture ({image.mode}) are neither grey nor RGB")
    upright = ImageOps.exif_transpose(image)
    return np.array(upright.convert("L" if image.mode in GREY_MODES else "RGB"), dtype=np.uint8)
