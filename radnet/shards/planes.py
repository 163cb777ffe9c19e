"""Frames of 16-bit slices put together from their two byte planes, each compressed as hard as it is worth.

Byte shuffle lays all low bytes of a slice before all high ones, and blosc2 compresses either plane as a stream of its
own. In the low plane of a CT slice, mostly noise, a thorough search takes nearly all the time and finds a hundredth or
two; the high plane is where the gain is. blosc2 knows one level a frame, but LZ4 and LZ4HC write one format, so a chunk
may hold a stream of each. What stands around the streams is the same for all slices of a shape: it is taken from a
frame that blosc2 wrote, and only the three fields that name lengths are filled in.

Sources: C-Blosc2, README_CFRAME_FORMAT.rst and README_CHUNK_FORMAT.rst.
"""

import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import blosc2
import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LEAST_PIXELS = 4096
"""Slices below are not worth the care."""
SMALL_PIXELS = 1 << 17
"""Up to here the search is thorough: it costs little, and slices of few, sharp pixels need it to stay near PNG."""
FAST, MIDDLE, THOROUGH = 1, 2, 3
"""Levels of LZ4: its plain form, and the first two of LZ4HC."""

_BIG, _LITTLE = struct.Struct(">q"), struct.Struct("<i")
_HEADER_LENGTH, _FRAME_BYTES, _CHUNK_BYTES = struct.Struct(">11xi"), 16, 39
"""In the header of a frame: its length, and where the bytes of the frame and of its chunks are told."""
_STREAMS, _BYTES_IN_CHUNK = 36, 12
"""In a chunk of one block: where its streams begin, and where its own size is told."""


@dataclass(frozen=True)
class _Surroundings:
    """A frame without its streams and the fields that depend on them."""

    before: bytes
    between: bytes
    after: bytes
    chunk: bytes
    streams: bytes
    tail: bytes

    def frame(self, streams: bytes) -> bytes:
        """The frame of these two streams, each with its length before it."""
        held = _STREAMS + len(streams)
        header = len(self.before) + len(self.between) + len(self.after) + 2 * _BIG.size
        parts = (
            *(self.before, _BIG.pack(header + held + len(self.tail)), self.between, _BIG.pack(held), self.after),
            *(self.chunk, _LITTLE.pack(held), self.streams, streams, self.tail),
        )
        return b"".join(parts)


def encode_planes(slice_2d: NDArray[Any]) -> bytes | None:
    """Compress one slice plane by plane.

    Args:
        slice_2d: int16 or uint16, shape (Y, X), contiguous.

    Returns:
        A blosc2 cframe; None where blosc2 should write it: slices that are tiny, of one value, or of pure noise.
    """
    if slice_2d.itemsize != 2 or slice_2d.size < LEAST_PIXELS:
        return None
    around = _surroundings(slice_2d.shape, slice_2d.dtype.str)
    if around is None:
        return None
    low, high = map(np.asarray, cv2.split(slice_2d.view(np.uint8).reshape(*slice_2d.shape, 2)))
    levels = (MIDDLE, THOROUGH) if slice_2d.size <= SMALL_PIXELS else (FAST, MIDDLE)
    streams = _stream(low, levels[0]) + _stream(high, levels[1])
    if len(streams) >= slice_2d.nbytes or slice_2d.min() == slice_2d.max():
        return None
    return around.frame(streams)


def _stream(plane: NDArray[Any], level: int) -> bytes:
    """A plane in LZ4's block format, or as it is where that is no smaller, behind its length."""
    packed: bytes = _lz4(level).compress(plane, asbytes=True)
    if len(packed) >= plane.size:
        packed = plane.tobytes()
    return _LITTLE.pack(len(packed)) + packed


@cache
def _lz4(level: int) -> Any:
    return pa.Codec("lz4_raw", compression_level=level)


@lru_cache(maxsize=64)
def _surroundings(shape: tuple[int, int], dtype: str) -> _Surroundings | None:
    """What surrounds the streams of slices of one shape; None if this blosc2 writes frames in another way."""
    slice_2d = (np.arange(np.prod(shape)) // 7 % 1000).astype(dtype).reshape(shape)
    cparams = {
        "codec": blosc2.Codec.LZ4,
        "filters": [blosc2.Filter.SHUFFLE],
        "splitmode": blosc2.SplitMode.ALWAYS_SPLIT,
        "nthreads": 1,
    }
    frame = bytes(blosc2.asarray(slice_2d, chunks=shape, blocks=shape, cparams=cparams).to_cframe())
    (length,) = _HEADER_LENGTH.unpack_from(frame)
    if len(frame) < length + _STREAMS:
        return None
    (held,) = _LITTLE.unpack_from(frame, length + _BYTES_IN_CHUNK)
    around = _Surroundings(
        before=frame[:_FRAME_BYTES],
        between=frame[_FRAME_BYTES + _BIG.size : _CHUNK_BYTES],
        after=frame[_CHUNK_BYTES + _BIG.size : length],
        chunk=frame[length : length + _BYTES_IN_CHUNK],
        streams=frame[length + _BYTES_IN_CHUNK + _LITTLE.size : length + _STREAMS],
        tail=frame[length + held :],
    )
    streams = frame[length + _STREAMS : length + held]
    ours = around.frame(streams) == frame and _are_two(streams)
    return around if ours else None


def _are_two(streams: bytes) -> bool:
    """Whether these bytes are two streams, each behind its length."""
    at = 0
    for _ in range(2):
        if at + _LITTLE.size > len(streams):
            return False
        at += _LITTLE.size + _LITTLE.unpack_from(streams, at)[0]
    return at == len(streams)
