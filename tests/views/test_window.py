import math

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.views import FixedWindow, MinMaxWindow, MultiWindow, RandomWindow, WindowPolicy, window_policy
from radnet.views.window import CLINICAL_WINDOWS, apply_window, describe_window

UNUSED = np.random.default_rng(0)
EXTREMES = np.array([[-32768, -3024, -1024], [0, 3071, 32767]], dtype=np.int16)
POLICIES = [
    FixedWindow(),
    FixedWindow(-600, 1500),
    RandomWindow(),
    RandomWindow(("lung",), 0.0, 1.0),
    MultiWindow(),
    MultiWindow(("brain", "full")),
    MinMaxWindow(),
]


def grey_of(hu: int, center: float, width: float) -> float:
    """Slow and obvious."""
    low, high = center - width / 2, center + width / 2
    if hu <= low:
        return 0.0
    return 1.0 if hu >= high else (hu - low) / (high - low)


@pytest.mark.parametrize(("center", "width"), [*CLINICAL_WINDOWS.values(), (0, 1), (-1000, 49), (1024, 4096)])
def test_every_hu_in_a_window(center: float, width: float) -> None:
    hu = np.arange(-4000, 4000, dtype=np.int16).reshape(80, 100)
    grey = apply_window(hu, center, width)
    assert grey.dtype == np.float32
    expected = np.array([grey_of(int(value), center, width) for value in hu.ravel()]).reshape(hu.shape)
    assert np.allclose(grey, expected, rtol=0, atol=2e-7)
    assert (grey[expected == 0] == 0).all()
    assert (grey[expected == 1] == 1).all()


def test_a_window_leaves_its_input_alone() -> None:
    for hu in (EXTREMES.copy(), EXTREMES.astype(np.float32)):
        before = hu.copy()
        apply_window(hu, 40, 400)
        assert np.array_equal(hu, before)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_every_policy_keeps_its_contract(policy: WindowPolicy) -> None:
    for hu in (EXTREMES, EXTREMES.astype(np.float32), np.full((5, 7), -1024, np.int16)):
        grey = policy(hu, np.random.default_rng(1))
        assert isinstance(policy, WindowPolicy)
        assert grey.shape == (policy.channels, *hu.shape)
        assert grey.dtype == np.float32
        assert np.isfinite(grey).all()
        assert 0 <= grey.min() <= grey.max() <= 1
    assert window_policy(describe_window(policy)) == policy


def test_minmax_of_an_image_and_of_a_constant_one() -> None:
    assert np.allclose(MinMaxWindow()(np.array([[-1000, 0], [250, 1000]], np.int16), UNUSED), [[[0, 0.5], [0.625, 1]]])
    assert not MinMaxWindow()(np.full((4, 4), 700, np.int16), UNUSED).any()
    full = MinMaxWindow()(EXTREMES, UNUSED)
    assert (full.min(), full.max()) == (0, 1)


def test_channels_of_a_multi_window_are_the_windows() -> None:
    grey = MultiWindow(("lung", "brain"))(EXTREMES, UNUSED)
    assert np.array_equal(grey[0], apply_window(EXTREMES, -600, 1500))
    assert np.array_equal(grey[1], apply_window(EXTREMES, 40, 80))


def test_a_random_window_is_a_function_of_its_generator() -> None:
    window = RandomWindow()
    hu = np.random.default_rng(0).integers(-1024, 3071, (16, 16)).astype(np.int16)
    assert np.array_equal(window(hu, np.random.default_rng(5)), window(hu, np.random.default_rng(5)))
    views = {window(hu, np.random.default_rng(seed)).tobytes() for seed in range(20)}
    assert len(views) == 20


def test_random_windows_stay_around_the_clinical_ones() -> None:
    window = RandomWindow(("soft_tissue", "lung"), center_jitter=0.1, width_jitter=1.4)
    generator = np.random.default_rng(0)
    drawn = [window.draw(generator) for _ in range(2000)]
    soft = [(center, width) for center, width in drawn if width < 700]
    assert 0.45 < len(soft) / len(drawn) < 0.55
    for center, width in drawn:
        near = (40, 400) if width < 700 else (-600, 1500)
        assert near[1] / 1.4 <= width <= near[1] * 1.4
        assert abs(center - near[0]) <= 0.1 * width
    widths = np.array([width for _, width in soft])
    assert widths.min() < 300 < 530 < widths.max()
    assert abs(np.log(widths / 400).mean()) < 0.03  # log-uniform: as often narrower as wider
    assert math.isclose(RandomWindow(("bone",), 0.0, 1.0).draw(generator)[1], 1800)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": "fixd"}, ["fixd", "fixed"]),
        ({}, ["Unknown window policy", "fixed, minmax, multi, random"]),
        ({"policy": "fixed", "centre": 40}, ["centre", "center"]),
        ({"policy": "fixed", "width": 0}, ["width is positive"]),
        ({"policy": "fixed", "width": "wide"}, ["width", "wide", "number"]),
        ({"policy": "random", "names": ["lungs"]}, ["lungs", "lung"]),
        ({"policy": "random", "names": "lung"}, ["names"]),
        ({"policy": "random", "names": []}, ["one or more"]),
        ({"policy": "random", "width_jitter": 0.5}, ["at least 1"]),
        ({"policy": "random", "center_jitter": -0.5}, ["negative"]),
        ({"policy": "multi", "names": ["heart"]}, ["heart", "soft_tissue"]),
        ({"policy": "minmax", "width": 3}, ["width"]),
    ],
)
def test_mistakes_in_settings(settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        window_policy(settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
