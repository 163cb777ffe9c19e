"""Images of a set as arrays, whatever their format: blosc2 frames, JPEG and PNG."""

import io
import warnings
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from radnet.shards.codec import MAX_VALUES, DamagedFrameError, decode

Image = NDArray[Any]
"""int16, uint16 or uint8 of shape (Y, X), or uint8 of shape (Y, X, 3); the dtype says the unit."""


def decode_image(data: bytes, image_format: str) -> Image:
    """One image.

    Args:
        data: The bytes of a member.
        image_format: "b2nd", "jpg" or "png".

    Returns:
        int16, uint8 or uint16 of shape (Y, X) from a frame; uint8 or uint16 of shape (Y, X) or RGB (Y, X, 3) from a
        picture.

    Raises:
        DamagedFrameError: The bytes are no such image.
    """
    if image_format == "b2nd":
        return decode(data)
    _require_size(data, image_format)
    try:
        # IGNORE_ORIENTATION: the pixels as they were stored, as a mask of them would lie
        flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DamagedFrameError(f"not a readable {image_format} of {len(data)} bytes") from error
    if picture is None or picture.dtype not in (np.uint8, np.uint16) or picture.size > 3 * MAX_VALUES:
        raise DamagedFrameError(f"not a readable {image_format} of {len(data)} bytes")
    colours: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if picture.ndim == 3 else picture
    return colours


def _require_size(data: bytes, image_format: str) -> None:
    """Refuse what is no JPEG or PNG, and what is too large, by its header: OpenCV takes the memory first."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(io.BytesIO(data), formats=("PNG", "JPEG")) as header:
                columns, rows = header.size
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        raise DamagedFrameError(f"not a readable {image_format} of {len(data)} bytes") from error
    if rows * columns > MAX_VALUES:
        raise DamagedFrameError(f"the picture has {rows} x {columns} pixels, which is more than any slice has")
