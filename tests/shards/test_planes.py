"""Frames put together from byte planes are frames like any other: plain blosc2 reads them."""

import blosc2
import numpy as np
import pytest
from numpy.typing import NDArray

from radnet.shards import planes
from radnet.shards.codec import DamagedFrameError, decode, encode
from radnet.shards.planes import LEAST_PIXELS, SMALL_PIXELS, encode_planes


def ct_like(rows: int, columns: int, dtype: type = np.int16, seed: int = 0) -> NDArray[np.int16]:
    """A disc of noisy tissue in air."""
    y, x = (2 * (np.arange(count) + 0.5) / count - 1 for count in (rows, columns))
    y = y[:, None]
    noise = np.random.default_rng(seed).normal(0, 15, (rows, columns))
    hu = np.where(x**2 + y**2 < 0.7, 40 + 300 * (x**2 + y**2 < 0.02) + noise, -1000)
    return (hu + (0 if dtype is np.int16 else 1024)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
@pytest.mark.parametrize("shape", [(64, 64), (181, 97), (1, 5000), (5000, 1), (256, 256), (363, 362), (512, 512)])
def test_plain_blosc2_reads_them(shape: tuple[int, int], dtype: type) -> None:
    slice_2d = ct_like(*shape, dtype)
    frame = encode_planes(slice_2d)
    assert frame is not None
    assert frame == encode(slice_2d) == encode(slice_2d.copy())
    array = blosc2.ndarray_from_cframe(frame)
    assert array.dtype == dtype
    assert array.shape == array.chunks == array.blocks == shape
    assert np.array_equal(array[:], slice_2d)
    assert array.schunk.cbytes < array.schunk.nbytes
    assert np.array_equal(decode(frame), slice_2d)


def test_both_sides_of_the_sizes_at_which_the_search_changes() -> None:
    for rows in (LEAST_PIXELS // 64, SMALL_PIXELS // 64, SMALL_PIXELS // 64 + 1):
        slice_2d = ct_like(rows, 64)
        assert np.array_equal(blosc2.ndarray_from_cframe(encode(slice_2d))[:], slice_2d)


def test_a_plane_that_does_not_shrink_is_kept_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100)).astype(np.int16)  # low bytes of noise, high ones of 0
    frame = encode_planes(noise)
    assert frame is not None
    assert noise.size < len(frame) < noise.size + 400
    assert np.array_equal(blosc2.ndarray_from_cframe(frame)[:], noise)
    assert np.array_equal(decode(frame), noise)


def test_what_blosc2_writes_itself() -> None:
    noise = np.random.default_rng(0).integers(-32768, 32768, (100, 100)).astype(np.int16)
    for slice_2d in (noise, np.full((100, 100), -1000, np.int16), ct_like(63, 65), ct_like(80, 80) > 0):
        slice_2d = slice_2d if slice_2d.dtype == np.int16 else slice_2d.astype(np.uint8)
        assert encode_planes(slice_2d) is None
        assert np.array_equal(decode(encode(slice_2d)), slice_2d)


def test_another_way_of_writing_frames_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blosc2 whose frames have other fields writes them itself."""
    write = blosc2.asarray
    settings = {"codec": blosc2.Codec.LZ4, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    for splitmode, extra in ((blosc2.SplitMode.NEVER_SPLIT, b""), (blosc2.SplitMode.ALWAYS_SPLIT, b"more")):

        def other(values: NDArray[np.int16], *_: object, mode: object = splitmode, **shape: object) -> object:
            shape["cparams"] = settings | {"splitmode": mode}
            return write(values, **shape)

        class Longer:
            def __init__(self, *given: object, **named: object) -> None:
                self.array = other(*given, **named)

            def to_cframe(self, more: bytes = extra) -> bytes:
                return bytes(self.array.to_cframe()) + more  # type: ignore[attr-defined]

        with monkeypatch.context() as patched:
            patched.setattr(planes.blosc2, "asarray", Longer)
            planes._surroundings.cache_clear()
            assert encode_planes(ct_like(80, 80)) is None
    planes._surroundings.cache_clear()
    assert encode_planes(ct_like(80, 80)) is not None


def test_frames_of_earlier_sets_are_still_read() -> None:
    """Until now every frame was one stream of LZ4HC."""
    slice_2d = ct_like(90, 110)
    settings = {"codec": blosc2.Codec.LZ4HC, "clevel": 3, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    frame = bytes(blosc2.asarray(slice_2d, chunks=(90, 110), blocks=(90, 110), cparams=settings).to_cframe())
    assert frame != encode(slice_2d)
    assert np.array_equal(decode(frame), slice_2d)


def test_damaged_frames_give_one_kind_of_error() -> None:
    frame = encode(ct_like(80, 80))
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(frame)
        for position in draw.integers(0, 260 if draw.integers(2) else len(frame), draw.integers(1, 9)):
            damaged[position] = draw.integers(256)
        try:
            decode(bytes(damaged[: draw.integers(len(frame) // 2, len(frame) + 1)]))
        except DamagedFrameError:
            refused += 1
    assert refused > 500
