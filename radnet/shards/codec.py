"""Slices as bytes: self-describing blosc2 NDArray frames (`.b2nd`), lossless.

LZ4HC at level 5 with byte shuffle is as small as 16-bit PNG and decodes many times faster
(`benchmarks/codec.py` measures both). One slice is one chunk and one block, and one thread does the work, so the
same slice always gives the same bytes and loader workers do not fight over cores.
"""

import blosc2
import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 1 << 26
"""No slice is larger than this (8192 x 8192): a damaged or hostile frame must not fill the memory."""

_CPARAMS = {
    "codec": blosc2.Codec.LZ4HC,
    "clevel": 5,
    "filters": [blosc2.Filter.SHUFFLE],
    "nthreads": 1,
}
_DTYPES = (np.dtype(np.int16), np.dtype(np.uint8), np.dtype(np.uint16))


class DamagedFrameError(ValueError):
    """These bytes are no frame that `encode` wrote."""


def encode(slice_2d: NDArray[np.int16] | NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Compress one slice.

    Args:
        slice_2d: int16 HU, or a uint8 or uint16 mask, shape (Y, X).

    Returns:
        A blosc2 cframe; identical for identical input.

    Raises:
        ValueError: Another dtype or another number of dimensions.
    """
    if slice_2d.ndim != 2 or slice_2d.dtype not in _DTYPES:
        raise ValueError(f"a slice is int16, uint8 or uint16 of shape (Y, X), not {slice_2d.dtype} {slice_2d.shape}")
    contiguous = np.ascontiguousarray(slice_2d)
    frame = blosc2.asarray(contiguous, chunks=contiguous.shape, blocks=contiguous.shape, cparams=_CPARAMS)
    return bytes(frame.to_cframe())


def decode(frame: bytes) -> NDArray[np.int16] | NDArray[np.uint8] | NDArray[np.uint16]:
    """The slice of a frame, shape (Y, X), in the dtype it was encoded with.

    A frame has no checksum: a flipped bit in the data may go unnoticed here, which is why the index of a set holds a
    CRC-32 of every frame and `ShardSet` compares it first.

    Raises:
        DamagedFrameError: The bytes are cut, damaged, or hold something else than one slice.
    """
    try:
        array = blosc2.ndarray_from_cframe(frame)
        if array.ndim != 2 or array.dtype not in _DTYPES or array.size > MAX_VALUES:
            raise DamagedFrameError(f"the frame holds {array.dtype} of shape {array.shape}, not a slice")
        return np.asarray(array[:])
    except DamagedFrameError:
        raise
    except (RuntimeError, ValueError, TypeError, SyntaxError) as error:  # SyntaxError: a dtype that cannot be parsed
        raise DamagedFrameError(f"not a readable blosc2 frame of {len(frame)} bytes") from error


def use_one_thread() -> None:
    """Hold blosc2 to one thread in this process, as every loader worker does."""
    blosc2.set_nthreads(1)
