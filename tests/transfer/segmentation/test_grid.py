import numpy as np
import pytest

from radnet.transfer.segmentation.grid import from_view, to_view
from radnet.views import EvaluationView


def test_a_square_of_the_views_size_stays_as_it_is() -> None:
    inside = np.random.default_rng(0).random((2, 16, 16)) < 0.5
    assert np.array_equal(to_view(inside, 16), inside)
    assert np.array_equal(from_view(inside.astype(np.float32), (16, 16)), inside)


@pytest.mark.parametrize("shape", [(30, 22), (21, 34), (48, 48), (9, 40)])
def test_masks_lie_where_the_view_puts_the_image(shape: tuple[int, int]) -> None:
    """An image whose structure is white and the rest black: its view is the share of each pixel."""
    inside = np.zeros(shape, bool)
    inside[shape[0] // 4 : shape[0] // 2, shape[1] // 3 : -2] = True
    hu = np.where(inside, 3071, -1024).astype(np.int16)
    view = EvaluationView(size=20, mean=(0.0,), std=(1.0,))
    from radnet.views.window import FixedWindow

    view = EvaluationView(size=20, window=FixedWindow(center=1023.5, width=4095), mean=(0.0,), std=(1.0,))
    assert np.allclose(view(hu)[0], to_view(inside[None], 20), atol=1e-3)


@pytest.mark.parametrize("shape", [(30, 22), (21, 34), (64, 64)])
def test_there_and_back(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = ((y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2 < 80)[None]
    back = from_view(to_view(inside, 40), shape) >= 0.5
    assert back.shape == inside.shape
    assert 2 * (back & inside).sum() / (back.sum() + inside.sum()) > 0.95
    assert np.abs(np.argwhere(back[0]).mean(0) - np.argwhere(inside[0]).mean(0)).max() < 0.1
