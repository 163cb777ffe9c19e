import blosc2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from radnet.shards import codec
from radnet.shards.codec import DamagedFrameError, decode, encode

SLICES = hnp.arrays(
    st.sampled_from([np.int16, np.uint8, np.uint16]), hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)
)


@given(SLICES)
@settings(max_examples=60, deadline=None)
def test_every_slice_comes_back_to_the_bit(slice_2d: NDArray[np.int16]) -> None:
    back = decode(encode(slice_2d))
    assert back.dtype == slice_2d.dtype
    assert np.array_equal(back, slice_2d)


def test_the_whole_range_and_strange_layouts() -> None:
    full = np.arange(-32768, 32768, dtype=np.int16).reshape(256, 256)
    for view in (full, full.T, full[::-2, ::3], np.asfortranarray(full), full[:1], full[:, :1]):
        assert np.array_equal(decode(encode(view)), view)


def test_equal_slices_give_equal_bytes() -> None:
    ramp = np.arange(64 * 48, dtype=np.int16).reshape(64, 48)
    assert encode(ramp) == encode(np.asfortranarray(ramp)) == encode(ramp.copy())


def test_frames_compress() -> None:
    smooth = np.add.outer(np.arange(256), np.arange(256)).astype(np.int16)
    assert len(encode(smooth)) < smooth.nbytes / 4


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32), np.zeros(4, np.int16), np.zeros((2, 2, 2), "u1")],
)
def test_other_arrays_are_refused(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="a slice is int16, uint8 or uint16"):
        encode(wrong)  # type: ignore[arg-type]


def test_damaged_bytes_give_one_kind_of_error() -> None:
    ramp = np.arange(64 * 48, dtype=np.int16).reshape(64, 48)
    frame = encode(ramp)
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(frame)
        for position in draw.integers(0, len(frame), draw.integers(1, 9)):
            damaged[position] = draw.integers(256)
        try:
            decode(bytes(damaged[: draw.integers(len(frame) // 2, len(frame) + 1)]))
        except DamagedFrameError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("foreign", [b"", b"no frame", bytes(4096)])
def test_foreign_bytes_are_refused(foreign: bytes) -> None:
    with pytest.raises(DamagedFrameError):
        decode(foreign)


@pytest.mark.parametrize("values", [np.zeros((2, 3, 4), np.int16), np.zeros((3, 4), np.float64)])
def test_frames_of_something_else_are_refused(values: NDArray[np.generic]) -> None:
    with pytest.raises(DamagedFrameError, match="not a slice"):
        decode(bytes(blosc2.asarray(values).to_cframe()))


def test_a_frame_that_would_fill_the_memory_is_refused() -> None:
    frame = bytes(blosc2.zeros((1 << 14, 1 << 14), dtype=np.int16).to_cframe())
    assert len(frame) < 1 << 20
    with pytest.raises(DamagedFrameError, match="not a slice"):
        decode(frame)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint16])
def test_the_short_way_and_blosc2_agree(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of `encode` are decoded without opening them as arrays; opened, they give the same."""
    generator = np.random.default_rng(0)
    taken = 0
    for number in range(200):
        shape = tuple(generator.integers(1, 40, 2))
        values = generator.integers(0, 200, shape) if number % 4 else np.full(shape, number % 5)
        frame = codec.encode(values.astype(dtype))
        taken += codec._decode_own(frame) is not None
        with monkeypatch.context() as patched:
            patched.setattr(codec, "_decode_own", lambda _: None)
            opened = codec.decode(frame)
        short = codec.decode(frame)
        assert short.dtype == opened.dtype == dtype
        assert np.array_equal(short, opened)
        assert np.array_equal(short, values)
    assert taken > 100


def test_the_short_way_believes_no_lie() -> None:
    """Shapes that the chunk does not fill, huge ones among them, and frames of other makers."""
    frame = codec.encode(np.arange(600, dtype=np.int16).reshape(20, 30))
    at = frame.index((20).to_bytes(8, "big"))
    for rows in (0, 19, 21, 2**40, -20):
        assert codec._decode_own(frame[:at] + rows.to_bytes(8, "big", signed=True) + frame[at + 8 :]) is None
    values = np.arange(600, dtype=np.int16).reshape(20, 30)
    other = bytes(blosc2.asarray(values, chunks=(10, 30), blocks=(5, 30)).to_cframe())
    assert codec._decode_own(other) is None
    assert np.array_equal(codec.decode(other), values)
