import json

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.views import EvaluationView, FixedWindow, MinMaxWindow, MultiWindow, RandomWindow
from radnet.views.window import apply_window

HU = np.random.default_rng(0).integers(-1024, 3071, (50, 40)).astype(np.int16)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def test_one_channel_at_native_size_is_the_normalised_window() -> None:
    square = HU[:40]
    (view,) = EvaluationView(size=40, window=FixedWindow(40, 400), mean=(0.3,), std=(0.7,))(square)
    assert view.shape == (1, 40, 40)
    assert view.dtype == np.float32
    assert np.allclose(view[0], (apply_window(square, 40, 400) - 0.3) / 0.7, atol=1e-6)


def test_three_channels_from_one_window() -> None:
    (one,) = EvaluationView(size=24, mean=(0.0,), std=(1.0,))(HU)
    (three,) = EvaluationView(size=24, **IMAGENET)(HU)
    assert three.shape == (3, 24, 24)
    assert three.dtype == np.float32
    for channel, mean, std in zip(three, *IMAGENET.values(), strict=True):
        assert np.allclose(channel, (one[0] - mean) / std, atol=1e-6)


def test_three_channels_from_three_windows() -> None:
    (three,) = EvaluationView(size=40, window=MultiWindow(), mean=(0,) * 3, std=(1,) * 3)(HU[:40])
    for channel, (center, width) in zip(three, [(40, 400), (-600, 1500), (400, 1800)], strict=True):
        assert np.array_equal(channel, apply_window(HU[:40], center, width))


def test_the_view_does_not_depend_on_a_generator() -> None:
    view = EvaluationView(size=32)
    assert np.array_equal(view(HU)[0], view(HU, np.random.default_rng(9))[0])


def test_a_narrow_slice_is_padded_not_stretched() -> None:
    """Ten rows of soft tissue in a slice that is four times as wide as high: a quarter of the view's height."""
    hu = np.full((10, 40), 240, np.int16)
    (view,) = EvaluationView(size=40, mean=(0.0,), std=(1.0,))(hu)
    assert np.array_equal(np.flatnonzero(view[0].max(axis=1)), np.arange(15, 25))


@pytest.mark.parametrize(
    "view",
    [
        EvaluationView(),
        EvaluationView(size=96, window=FixedWindow(-600, 1500), **IMAGENET),
        EvaluationView(window=MultiWindow(("brain", "lung")), mean=(0.5, 0.4), std=(1.0, 2.0)),
        EvaluationView(window=MinMaxWindow()),
    ],
    ids=repr,
)
def test_settings_go_through_json(view: EvaluationView) -> None:
    back = EvaluationView.from_settings(json.loads(json.dumps(view.describe())))
    assert back == view
    assert np.array_equal(back(HU)[0], view(HU)[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sise": 3}, ["sise", "size"]),
        ({"size": "big"}, ["size", "big"]),
        ({"size": 0}, ["at least 1"]),
        ({"window": {"policy": "fixt"}}, ["fixt", "fixed"]),
        ({"window": "fixed"}, ["window"]),
        ({"window": {"policy": "random"}}, ["random"]),
        ({"window": {"policy": "multi"}}, ["3 channels"]),
        ({"mean": [0.5, 0.5]}, ["mean"]),
        ({"std": [0.0]}, ["positive"]),
        ({"mean": [], "std": []}, ["std"]),
    ],
)
def test_mistakes_in_settings(settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        EvaluationView.from_settings(EvaluationView().describe() | settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_nothing_is_left_to_defaults() -> None:
    with pytest.raises(UsageError, match="window"):
        EvaluationView.from_settings({"size": 224, "mean": [0.5], "std": [0.5]})


def test_a_random_window_is_no_evaluation() -> None:
    with pytest.raises(UsageError, match="not random"):
        EvaluationView(window=RandomWindow())
