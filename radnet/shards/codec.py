"""Slices as bytes: self-describing blosc2 NDArray frames (`.b2nd`), lossless.

LZ4 with byte shuffle is as small as 16-bit PNG and decodes many times faster (`benchmarks/decode.py` measures both).
`radnet.shards.planes` writes 16-bit slices several times faster than blosc2 would at about the same size; blosc2 itself
writes masks and what is too small or too odd for that. One slice is one chunk and one block, and one thread does the
work, so the same slice always gives the same bytes and loader workers do not fight over cores.
"""

import struct

import blosc2
import numpy as np
from numpy.typing import NDArray

from radnet.shards.planes import encode_planes

MAX_VALUES = 1 << 26
"""No slice is larger than this (8192 x 8192): a damaged or hostile frame must not fill the memory."""

_CPARAMS = {
    "codec": blosc2.Codec.LZ4HC,
    "clevel": 3,
    "filters": [blosc2.Filter.SHUFFLE],
    "nthreads": 1,
}
"""Where blosc2 does the work."""
_HEADER = struct.Struct(">10sxi 24xq 48x4s 18xqxq 2xixi 2xixi 6x3s")
"""Where C-Blosc2 puts what is needed in the header of a frame with one 2-D array: magic word, length of the header,
compressed bytes, the name of the array's description, its shape, chunk, block and dtype."""
_CHUNK = struct.Struct("<4xi4xi")
"""Bytes and compressed bytes in the header of a chunk."""
_DTYPES = (np.dtype(np.int16), np.dtype(np.uint8), np.dtype(np.uint16))
_DTYPE_OF = {dtype.str.encode(): dtype for dtype in _DTYPES}


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
    by_planes = encode_planes(contiguous)
    if by_planes is not None:
        return by_planes
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
        slice_2d = _decode_own(frame)
        if slice_2d is not None:
            return slice_2d
        array = blosc2.ndarray_from_cframe(frame)
        if array.ndim != 2 or array.dtype not in _DTYPES or array.size > MAX_VALUES:
            raise DamagedFrameError(f"the frame holds {array.dtype} of shape {array.shape}, not a slice")
        return np.asarray(array[:])
    except DamagedFrameError:
        raise
    except (RuntimeError, ValueError, TypeError, SyntaxError) as error:  # SyntaxError: a dtype that cannot be parsed
        raise DamagedFrameError(f"not a readable blosc2 frame of {len(frame)} bytes") from error


def _decode_own(frame: bytes) -> NDArray[np.int16] | NDArray[np.uint8] | NDArray[np.uint16] | None:
    """The slice of a frame that looks as `encode` writes it; None for any other frame, which blosc2 must open.

    To open a frame as an array takes longer than to decompress a small slice. Where one chunk and one block hold the
    whole slice, its compressed bytes follow the header, and everything needed stands at fixed places.
    """
    if len(frame) < _HEADER.size + _CHUNK.size:
        return None
    magic, length, stored, name, rows, columns, *parts, kind = _HEADER.unpack_from(frame)
    whole = parts == [rows, columns, rows, columns]
    if magic != b"\x9e\xa8b2frame\0" or length != _HEADER.size or name != b"b2nd" or not whole:
        return None
    dtype = _DTYPE_OF.get(kind)
    bytes_needed, chunk_bytes = _CHUNK.unpack_from(frame, length)
    # a slice of one value has no chunk: what follows the header is then something else
    if dtype is None or chunk_bytes != stored or bytes_needed != rows * columns * dtype.itemsize:
        return None
    if rows * columns > MAX_VALUES or length + chunk_bytes > len(frame):
        return None
    slice_2d: NDArray[np.int16] = np.empty((rows, columns), dtype)
    blosc2.decompress2(memoryview(frame)[length : length + chunk_bytes], dst=slice_2d)
    return slice_2d


def use_one_thread() -> None:
    """Hold blosc2 to one thread in this process, as every loader worker does."""
    blosc2.set_nthreads(1)
