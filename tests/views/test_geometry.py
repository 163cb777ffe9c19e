import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radnet.views.geometry import blur, pad_to_square, random_resized_crop, resize, rotate
from radnet.views.pixels import AIR_HU


def ramp(rows: int, columns: int, low: int = -3024, high: int = 3071) -> np.ndarray:
    """From low to high along X, constant along Y."""
    return np.broadcast_to(np.linspace(low, high, columns).round().astype(np.int16), (rows, columns)).copy()


@pytest.mark.parametrize("size", [17, 64, 100, 256])
@pytest.mark.parametrize("value", [-32768, -3024, -1024, 0, 3071, 32767])
def test_a_constant_stays_itself(value: int, size: int) -> None:
    hu = np.full((100, 100), value, np.int16)
    for result in (resize(hu, size), rotate(hu, 0, AIR_HU), blur(hu, 1.3)):
        assert result.dtype == np.int16
        assert (result == value).all()


@pytest.mark.parametrize("size", [31, 50, 99, 200, 333])
def test_interpolation_does_not_overflow(size: int) -> None:
    """Edges between the extremes: no value outside of them may appear."""
    draw = np.random.default_rng(0)
    for low, high in ((-1024, 3071), (-3024, 3071), (-32768, 32767)):
        noise = np.where(draw.random((100, 100)) < 0.5, low, high).astype(np.int16)
        for result in (resize(noise, size), rotate(resize(noise, size), 33, AIR_HU), blur(noise, 0.4)):
            assert result.dtype == np.int16
            assert min(low, AIR_HU) <= result.min() <= result.max() <= high


def test_shrinking_takes_the_mean_of_areas() -> None:
    hu = np.random.default_rng(0).integers(-3024, 3071, (64, 64)).astype(np.int16)
    means = hu.reshape(16, 4, 16, 4).astype(float).mean(axis=(1, 3))
    assert np.abs(resize(hu, 16) - means).max() <= 0.5 + 1e-3


def test_growing_is_linear() -> None:
    grown = resize(ramp(64, 64, 0, 630), 128).astype(float)
    steps = np.diff(grown[10, 4:-4])
    assert np.abs(steps - 5).max() <= 1
    assert np.ptp(grown, axis=0).max() == 0


@given(st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_padding_moves_nothing_and_distorts_nothing(rows: int, columns: int) -> None:
    hu = np.random.default_rng(rows * 61 + columns).integers(-500, 3071, (rows, columns)).astype(np.int16)
    square = pad_to_square(hu)
    side = max(rows, columns)
    assert square.shape == (side, side)
    assert square.dtype == np.int16
    top, left = (side - rows) // 2, (side - columns) // 2
    assert np.array_equal(square[top : top + rows, left : left + columns], hu)
    assert (square == AIR_HU).sum() == side * side - rows * columns


def test_a_disc_stays_a_disc() -> None:
    """In a slice that is wider than high."""
    y, x = np.mgrid[:100, :180]
    disc = np.where((y - 50) ** 2 + (x - 90) ** 2 < 40**2, 1000, -1000).astype(np.int16)
    inside = resize(pad_to_square(disc), 90) > 0
    height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 1
    assert abs(height - 40) <= 1


def test_crops_are_of_the_size_asked_and_repeat_with_their_generator() -> None:
    hu = np.random.default_rng(0).integers(-1024, 3071, (90, 70)).astype(np.int16)
    seen = set()
    for seed in range(30):
        crop, again = (
            random_resized_crop(hu, 32, (0.2, 1.0), (0.75, 4 / 3), np.random.default_rng(seed)) for _ in range(2)
        )
        assert crop.shape == (32, 32)
        assert crop.dtype == np.int16
        assert np.array_equal(crop, again)
        seen.add(crop.tobytes())
    assert len(seen) == 30


def test_crops_cover_the_share_of_the_area_that_was_asked() -> None:
    """The picture holds its own coordinates, so a crop shows what it covers."""
    x = np.broadcast_to(np.arange(0, 20000, 100, dtype=np.int16), (200, 200))
    generator = np.random.default_rng(0)
    for _ in range(200):
        state = generator.bit_generator.state
        across = random_resized_crop(x, 64, (0.3, 0.5), (0.75, 4 / 3), generator)
        generator.bit_generator.state = state
        down = random_resized_crop(x.T, 64, (0.3, 0.5), (0.75, 4 / 3), generator)
        width = np.ptp(across.astype(int), axis=1).max() / 100 * 64 / 63
        height = np.ptp(down.astype(int), axis=0).max() / 100 * 64 / 63
        assert 0.27 < width * height / 200**2 < 0.54
        assert 0.70 < width / height < 1.43


def test_a_whole_crop_is_the_slice() -> None:
    hu = np.random.default_rng(0).integers(-1024, 3071, (48, 48)).astype(np.int16)
    assert np.array_equal(random_resized_crop(hu, 48, (1, 1), (1, 1), np.random.default_rng(0)), hu)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_the_smallest_slices(shape: tuple[int, int]) -> None:
    hu = np.full(shape, 7, np.int16)
    for seed in range(10):
        crop = random_resized_crop(hu, 8, (0.01, 1.0), (0.5, 2.0), np.random.default_rng(seed))
        assert crop.shape == (8, 8)
        assert (crop == 7).all()


def test_rotation_turns_about_the_centre_with_air_around() -> None:
    hu = np.zeros((41, 41), np.int16)
    hu[20, 30:] = 1000
    quarter = rotate(hu, 90, AIR_HU)
    assert np.array_equal(quarter, np.rot90(hu))  # counter-clockwise, as drawn
    assert rotate(hu, 45, AIR_HU)[0, 0] == AIR_HU
