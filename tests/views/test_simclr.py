from typing import Any

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.views import FixedWindow, MultiWindow, RandomWindow, SimclrViews
from radnet.views.window import apply_window

HU = np.random.default_rng(0).integers(-1024, 3071, (50, 40)).astype(np.int16)
PLAIN: dict[str, Any] = {
    "size": 40,
    "window": FixedWindow(),
    "crop_scale": (1.0, 1.0),
    "crop_ratio": (1.0, 1.0),
    "flip_probability": 0.0,
    "blur_probability": 0.0,
    "noise_hu": 0.0,
    "gain": 0.0,
    "offset": 0.0,
    "mean": 0.0,
    "std": 1.0,
}


def views_of(seed: int = 0, hu: np.ndarray = HU, **settings: Any) -> list[np.ndarray]:
    return SimclrViews(**settings)(hu, np.random.default_rng(seed))


@pytest.mark.parametrize("window", [RandomWindow(), FixedWindow(), MultiWindow(("lung", "bone", "brain"))], ids=repr)
@pytest.mark.parametrize("views", [1, 2, 5])
def test_shape_type_and_range(window: Any, views: int) -> None:
    recipe = SimclrViews(size=24, window=window, views=views, rotate_degrees=20)
    for seed in range(10):
        made = recipe(HU, np.random.default_rng(seed))
        assert len(made) == views
        for view in made:
            assert view.shape == (recipe.channels, 24, 24)
            assert view.dtype == np.float32
            assert np.isfinite(view).all()
            assert -1 <= view.min() <= view.max() <= 1


def test_views_are_a_function_of_the_generator_alone() -> None:
    np.random.seed(0)  # noqa: NPY002 - global state, which must play no part
    first = views_of(7, size=24)
    np.random.seed(1)  # noqa: NPY002
    second = views_of(7, size=24)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], views_of(8, size=24)[0])


def test_the_slice_is_left_alone() -> None:
    hu = HU.copy()
    hu.flags.writeable = False
    views_of(3, hu, size=24, rotate_degrees=10)
    assert np.array_equal(hu, HU)


def test_without_chance_a_view_is_the_window() -> None:
    square = HU[:40]
    for view in views_of(0, square, **PLAIN):
        assert np.allclose(view[0], apply_window(square, 40, 400), atol=1e-6)


def test_a_flip_is_left_to_right() -> None:
    square = HU[:40]
    (plain, _), (flipped, _) = views_of(0, square, **PLAIN), views_of(0, square, **PLAIN | {"flip_probability": 1.0})
    assert np.array_equal(flipped, plain[:, :, ::-1])


@pytest.mark.parametrize(
    "change",
    [
        {"crop_scale": (0.3, 0.5)},
        {"crop_ratio": (0.5, 2.0)},
        {"rotate_degrees": 30.0},
        {"blur_probability": 1.0},
        {"noise_hu": 50.0},
        {"gain": 0.3},
        {"offset": 0.3},
        {"window": RandomWindow()},
        {"mean": 0.5},
        {"std": 0.5},
    ],
    ids=str,
)
def test_every_setting_does_something(change: dict[str, Any]) -> None:
    assert not np.array_equal(views_of(0, **PLAIN)[0], views_of(0, **PLAIN | change)[0])


def test_noise_has_the_strength_that_was_asked() -> None:
    """On a constant slice: the spread of a view is at most noise_hu, and half of it on average."""
    flat = np.full((40, 40), 40, np.int16)
    recipe = PLAIN | {"noise_hu": 20.0, "views": 200, "window": FixedWindow(40, 1000)}
    spread_hu = [float(view.std()) * 1000 for view in views_of(0, flat, **recipe)]
    assert max(spread_hu) < 21
    assert np.mean(spread_hu) == pytest.approx(10, abs=1.5)


def test_gain_and_offset_have_the_strength_that_was_asked() -> None:
    middle = np.full((40, 40), 40, np.int16)
    shifts = [float(view.mean()) - 0.5 for view in views_of(0, middle, **PLAIN | {"offset": 0.1, "views": 200})]
    assert -0.1 <= min(shifts) < -0.08
    assert 0.08 < max(shifts) <= 0.1
    edge = np.full((40, 40), 140, np.int16)  # grey 0.75
    gains = [(float(view.mean()) - 0.5) / 0.25 for view in views_of(0, edge, **PLAIN | {"gain": 0.2, "views": 200})]
    assert 0.799 < min(gains) < 0.82
    assert 1.18 < max(gains) < 1.201


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"crop_scal": [0.1, 1]}, ["crop_scal", "crop_scale"]),
        ({"crop_scale": [0.5, 1.5]}, ["crop_scale", "1.5"]),
        ({"crop_scale": [0.8, 0.2]}, ["crop_scale"]),
        ({"crop_scale": 0.5}, ["crop_scale"]),
        ({"crop_ratio": [0, 1]}, ["crop_ratio"]),
        ({"flip_probability": 1.5}, ["flip_probability"]),
        ({"blur_sigma_px": [0, 1]}, ["blur_sigma_px"]),
        ({"noise_hu": -1}, ["noise_hu"]),
        ({"size": 0}, ["size"]),
        ({"size": "large"}, ["size", "large"]),
        ({"views": 0}, ["views"]),
        ({"std": 0}, ["std"]),
        ({"window": {"policy": "randm"}}, ["randm", "random"]),
        ({"window": {"policy": "random", "naems": []}}, ["naems", "names"]),
    ],
)
def test_mistakes_in_settings(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        SimclrViews.from_settings(settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
