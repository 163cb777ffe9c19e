import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radnet.views.area import shrink
from tests.views import references


@given(st.integers(1, 24), st.integers(0, 40), st.integers(0, 40), st.sampled_from(["int16", "uint16", "uint8"]))
@settings(max_examples=60, deadline=None)
def test_shrinking_is_the_mean_over_what_a_pixel_covers(
    size: int, more_rows: int, more_columns: int, name: str
) -> None:
    limits = np.iinfo(name)
    draw = np.random.default_rng([size, more_rows, more_columns])
    image = draw.integers(limits.min, limits.max, (size + more_rows, size + more_columns)).astype(name)
    small = shrink(image, size)
    assert small.dtype == image.dtype
    # rounding, for 8-bit pictures twice
    allowed = 1.1 if image.dtype == np.uint8 else 0.6
    assert np.abs(small - references.area(image, size)).max() <= allowed


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_shrinking_gives_the_values_of_opencv(dtype: type) -> None:
    draw = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    for _ in range(60):
        size = int(draw.integers(1, 224))
        rows, columns = (int(draw.integers(size, 520)) for _ in range(2))
        image = draw.integers(max(limits.min, -3024), limits.max, (rows, columns)).astype(dtype)
        expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        assert np.array_equal(shrink(image, size), expected), (rows, columns, size)


def test_a_strided_view_and_colours() -> None:
    draw = np.random.default_rng(0)
    image = draw.integers(-1024, 3071, (90, 80)).astype(np.int16)
    assert np.array_equal(shrink(image[5:70, 3:77], 50), shrink(image[5:70, 3:77].copy(), 50))
    assert np.array_equal(shrink(image[::-1, ::-1], 50), shrink(image[::-1, ::-1].copy(), 50))
    picture = draw.integers(0, 255, (60, 70, 3)).astype(np.uint8)
    small = shrink(picture, 33)
    for channel in range(3):
        assert np.abs(small[..., channel] - references.area(picture[..., channel], 33)).max() <= 1.1
