"""Whole views against the slow references, draw by draw, and what sets one recipe apart from another."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from radnet.views import EvaluationView, FixedWindow, MultiCropViews, RandomWindow, ReferenceStudyViews, SimclrViews
from radnet.views.noise import standard_noise
from radnet.views.one_view import ViewSteps
from radnet.views.pixels import AIR_HU
from tests.views import references

DRAW = np.random.default_rng(0)
HU = np.round(references.blur(DRAW.integers(-1024, 3071, (40, 34)), 1.5, 4)).astype(np.int16)
MR = DRAW.integers(0, 900, (30, 44)).astype(np.uint16)


def slow_view(
    image: np.ndarray, recipe: Any, steps: ViewSteps, own: tuple[float, float] | None, generator: np.random.Generator
) -> np.ndarray:
    """One view by the book, with the draws in their documented order."""
    top, left, height, width = references.crop_box(image.shape, steps.crop_scale, steps.crop_ratio, generator)
    view = references.resize(image[top : top + height, left : left + width], steps.size)
    if generator.random() < steps.flip_probability:
        view = references.flip(view)
    if generator.random() < steps.blur_probability:
        sigma_px = generator.uniform(*steps.blur_sigma_px)
        view = references.blur(view, sigma_px, max(round(sigma_px * 8 + 1) | 1, 1) // 2)
    unit = 1.0 if own is None else own[1] / 400
    if steps.noise_hu:
        sigma = generator.uniform(0, steps.noise_hu) * unit
        view = view + sigma * standard_noise(view.shape, generator)
    gain, offset = 1 + generator.uniform(-steps.gain, steps.gain), generator.uniform(-steps.offset, steps.offset)
    gamma = steps.gamma ** generator.uniform(-1, 1) if steps.gamma != 1 else 1.0
    low, wide = recipe.window.levels(image, generator)[0] if own is None else own
    return (references.toned(references.windowed(view, low, wide), gamma, gain, offset) - steps.mean) / steps.std


@pytest.mark.parametrize("window", [FixedWindow(400, 3000), RandomWindow(("bone", "full"))], ids=repr)
@pytest.mark.parametrize("gamma", [1.0, 1.6])
def test_a_simclr_view_is_its_steps(window: Any, gamma: float) -> None:
    recipe = SimclrViews(size=20, window=window, gamma=gamma, blur_sigma_px=(0.5, 1.0))
    for seed in range(12):
        slow, fast = np.random.default_rng(seed), recipe(HU, np.random.default_rng(seed))
        square = references.pad(HU, AIR_HU)
        for view in fast:
            expected = slow_view(square, recipe, recipe.steps, None, slow)
            # one HU where a value was rounded the other way, in a window of 1300 HU or more
            assert np.abs(view[0] - expected).max() <= 2 * 1.2 * 1.5 / 1300 * (1 if gamma == 1 else 30)
            assert np.median(np.abs(view[0] - expected)) <= 1e-5


def test_a_view_of_arbitrary_units_is_its_steps() -> None:
    recipe = SimclrViews(size=20, uint16_percentiles=(0, 100), blur_probability=0.0)
    for seed in range(12):
        slow, fast = np.random.default_rng(seed), recipe(MR, np.random.default_rng(seed))
        for view in fast:
            expected = slow_view(MR, recipe, recipe.steps, (float(MR.min()), float(np.ptp(MR))), slow)
            assert np.abs(view[0] - expected).max() <= 2 * 1.2 * 1.5 / 800
            assert np.median(np.abs(view[0] - expected)) <= 1e-5


def test_multi_crop_is_its_views_one_after_the_other() -> None:
    recipe = MultiCropViews(size=20, local_size=9, local_views=3, window=FixedWindow(400, 3000), blur_sigma_px=(1, 1))
    blurs = [steps.blur_probability for steps in recipe.steps]
    assert blurs == [1.0, 0.1, 0.5, 0.5, 0.5]
    assert [steps.crop_scale for steps in recipe.steps] == [(0.4, 1.0)] * 2 + [(0.05, 0.4)] * 3
    for seed in range(8):
        slow = np.random.default_rng(seed)
        for steps, view in zip(recipe.steps, recipe(HU, np.random.default_rng(seed)), strict=True):
            expected = slow_view(references.pad(HU, AIR_HU), recipe, steps, None, slow)
            assert view.shape == (1, steps.size, steps.size)
            assert np.abs(view[0] - expected).max() <= 2 * 1.2 * 1.5 / 3000


def test_multi_crop_of_the_paper() -> None:
    assert MultiCropViews().shapes == ((1, 224, 224),) * 2 + ((1, 96, 96),) * 8


def test_how_often_multi_crop_blurs() -> None:
    """A blur of a large standard deviation leaves nothing of a chessboard."""
    board = np.where(np.indices((32, 32)).sum(axis=0) % 2, 1000, -1000).astype(np.int16)
    plain: dict[str, Any] = {"noise_hu": 0, "gain": 0, "offset": 0, "mean": 0, "std": 1, "flip_probability": 0}
    recipe = MultiCropViews(
        size=32, local_size=32, local_views=2, global_scale=(1, 1), local_scale=(1, 1), crop_ratio=(1, 1),
        window=FixedWindow(0, 2000), blur_sigma_px=(3, 3), **plain,
    )  # fmt: skip
    blurred = [[view.std() < 0.2 for view in recipe(board, np.random.default_rng(seed))] for seed in range(300)]
    first, second, *local = np.mean(blurred, axis=0)
    assert first == 1.0
    assert 0.05 < second < 0.16
    assert all(0.42 < share < 0.58 for share in local)


def test_the_reference_study_is_its_steps() -> None:
    recipe = ReferenceStudyViews(size=20)
    low, width = float(HU.min()), float(np.ptp(HU))
    jittered = 0
    for seed in range(20):
        slow, (view, _) = np.random.default_rng(seed), recipe(HU, np.random.default_rng(seed))
        top, left, height, wide = references.crop_box((40, 40), (0.08, 1.0), (0.75, 4 / 3), slow)
        square = references.pad(HU, AIR_HU)
        crop = np.round(references.resize(square[top : top + height, left : left + wide], 20))
        if slow.random() < 0.5:
            crop = references.flip(crop)
        grey = references.windowed(crop, low, width)
        jitter, order = slow.random() < 0.8, slow.permutation(4).tolist()
        brightness, contrast = slow.uniform(0.2, 1.8), slow.uniform(0.2, 1.8)
        if jitter:
            jittered += 1
            for step in sorted((0, 1), key=order.index):
                if step == 0:
                    grey = references.cut(brightness * grey)
                else:
                    grey = references.cut(contrast * grey + (1 - contrast) * grey.mean())
        assert np.abs(view[0] - grey).max() <= 1.8 * 1.8 * 1.01 / width
        assert np.median(np.abs(view[0] - grey)) <= 1e-5
    assert 10 <= jittered < 20


def test_minmax_is_of_the_whole_slice_without_padding() -> None:
    hu = np.full((20, 30), 100, np.int16)
    hu[0, 0], hu[0, 1] = -200, 1800
    (view,) = EvaluationView(size=30, window=ReferenceStudyViews().window, mean=(0.0,), std=(1.0,))(hu)
    assert view[0, 15, 15] == pytest.approx(0.15)
    assert (view[0, 0] == 0).all()
    corner = np.full((64, 64), 100, np.int16)
    corner[0, 0], corner[-1, -1] = -200, 1800
    still: dict[str, Any] = {"jitter_probability": 0.0, "crop_scale": (0.1, 0.1)}
    views = [view for s in range(10) for view in ReferenceStudyViews(size=8, **still)(corner, np.random.default_rng(s))]
    assert sum(np.allclose(view, 0.15) for view in views) >= 15


def test_hue_turns_colours_and_leaves_grey() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 255
    picture[0, 0], picture[0, 1] = (0, 0, 0), (255, 255, 255)
    only_hue = ReferenceStudyViews(
        size=32, colour=True, jitter_probability=1, brightness=0, contrast=0, saturation=0, hue=0.5,
        grey_probability=0, crop_scale=(1, 1), crop_ratio=(1, 1),
    )  # fmt: skip
    hues = set()
    for seed in range(20):
        view = only_hue(picture, np.random.default_rng(seed))[0]
        colour = view[:, 20, 20]
        assert colour.max() == pytest.approx(1, abs=1e-3)
        assert colour.min() == pytest.approx(0, abs=1e-3)
        hues.add(int(cv2.cvtColor(colour.reshape(1, 1, 3), cv2.COLOR_RGB2HSV)[0, 0, 0]))
        white = view[:, 0, 1] if view[:, 0, 1].min() > 0.9 else view[:, 0, -2]
        assert np.allclose(white, 1, atol=1e-3)
    assert len(hues) > 15


def test_levels_of_arbitrary_units_ignore_a_few_hot_pixels() -> None:
    image = np.random.default_rng(0).integers(1000, 2000, (256, 256)).astype(np.uint16)
    image[:2, :10] = 65535
    (robust,) = EvaluationView(size=256, mean=(0.0,), std=(1.0,))(image)
    assert 0.4 < robust[0, 100:].mean() < 0.6
    still: dict[str, Any] = {"noise_hu": 0, "gain": 0, "offset": 0, "mean": 0, "std": 1, "blur_probability": 0}
    plain = SimclrViews(size=32, uint16_percentiles=(0, 100), **still)(image, np.random.default_rng(0))[0]
    assert plain.max() < 0.05


def test_noise_is_a_share_of_the_range_of_an_image() -> None:
    """20 HU are a twentieth of a soft-tissue window, and so of any other range."""
    still: dict[str, Any] = {"gain": 0, "offset": 0, "mean": 0, "std": 1, "blur_probability": 0, "noise_hu": 20}
    recipe = SimclrViews(size=64, views=600, window=FixedWindow(40, 400), **still)
    ct, picture = np.full((64, 64), 40, np.int16), np.full((64, 64), 128, np.uint8)
    units = np.full((64, 64), 30000, np.uint16)
    units[0, :32], units[1, :32] = 0, 60000
    arbitrary = replace(recipe, crop_scale=(1, 1), uint16_percentiles=(0.0, 100.0))
    for made in (recipe(ct, np.random.default_rng(0)), recipe(picture, np.random.default_rng(0))):
        assert np.mean([view.std() for view in made]) == pytest.approx(0.025, rel=0.1)
    spread = [view[0, 10:].std() for view in arbitrary(units, np.random.default_rng(0))]
    assert np.mean(spread) == pytest.approx(0.025, rel=0.1)


def test_pictures_are_cropped_without_padding_and_evaluated_with_it() -> None:
    picture = np.full((20, 60), 255, np.uint8)
    still: dict[str, Any] = {"noise_hu": 0, "gain": 0, "offset": 0, "mean": 0, "std": 1}
    for seed in range(10):
        assert (SimclrViews(size=16, **still)(picture, np.random.default_rng(seed))[0] == 1).all()
    (view,) = EvaluationView(size=60, mean=(0.0,), std=(1.0,))(picture)
    assert np.array_equal(np.flatnonzero(view[0].max(axis=1)), np.arange(20, 40))


def test_gamma_keeps_black_and_white_and_moves_the_middle() -> None:
    still: dict[str, Any] = {"noise_hu": 0, "gain": 0, "offset": 0, "mean": 0, "std": 1, "blur_probability": 0}
    recipe = SimclrViews(size=8, views=200, gamma=2.0, window=FixedWindow(0, 100), **still)
    for hu, grey in ((-51, 0.0), (51, 1.0)):
        assert all((view == grey).all() for view in recipe(np.full((9, 9), hu, np.int16), np.random.default_rng(0)))
    middle = [float(view.mean()) for view in recipe(np.zeros((9, 9), np.int16), np.random.default_rng(0))]
    assert 0.25 <= min(middle) < 0.27
    assert 0.69 < max(middle) <= 0.7072
    assert np.median(middle) == pytest.approx(0.5, abs=0.04)
