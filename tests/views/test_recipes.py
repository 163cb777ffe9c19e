"""What every recipe promises, for every recipe."""

import json
import pickle
import random
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from radnet.configs import compose, names_in
from radnet.errors import RadnetError, UsageError
from radnet.views import (
    RECIPES,
    EvaluationView,
    MaeViews,
    MultiCropViews,
    ReferenceStudyViews,
    SimclrViews,
    ViewRecipe,
    recipe_from_settings,
)

DRAW = np.random.default_rng(0)
IMAGES = {
    "ct": DRAW.integers(-1024, 3071, (50, 40)).astype(np.int16),
    "mr": DRAW.integers(0, 900, (33, 47)).astype(np.uint16),
    "radiograph": DRAW.integers(0, 255, (60, 52)).astype(np.uint8),
    "photograph": DRAW.integers(0, 255, (45, 64, 3)).astype(np.uint8),
}
SMALL: dict[str, ViewRecipe] = {
    "simclr": SimclrViews(size=24, rotate_degrees=10, gamma=1.5),
    "mae": MaeViews(size=24, rotate_degrees=10, gamma=1.5),
    "multicrop": MultiCropViews(size=24, local_size=12, rotate_degrees=10, gamma=1.5),
    "reference_study": ReferenceStudyViews(size=24),
    "evaluation": EvaluationView(size=24),
}
COLOUR: dict[str, ViewRecipe] = {
    "simclr": SimclrViews(size=24, colour=True),
    "mae": MaeViews(size=24, colour=True),
    "multicrop": MultiCropViews(size=24, local_size=12, colour=True),
    "reference_study": ReferenceStudyViews(size=24, colour=True),
    "evaluation": EvaluationView(size=24, mean=(0.5,) * 3, std=(0.5,) * 3),
}
RANDOM = [name for name in RECIPES if name != "evaluation"]


def views_of(recipe: ViewRecipe, image: np.ndarray, *seed: int) -> list[np.ndarray]:
    return recipe(image, np.random.default_rng(seed or (0, 0, 0)))


def test_every_recipe_is_tested_and_has_its_config() -> None:
    assert set(SMALL) == set(COLOUR) == set(RECIPES) == set(names_in("views"))


@pytest.mark.parametrize("name", RECIPES)
def test_the_committed_config_is_the_recipe_with_its_defaults(name: str) -> None:
    settings = compose("preview", [f"views={name}"])["views"]
    assert settings["name"] == name
    recipe = recipe_from_settings(settings)
    kind = RECIPES[name]
    assert type(recipe) is kind
    ratio = {} if name == "evaluation" else {"crop_ratio": (0.75, 1.3333)}
    assert recipe == replace(kind(), **ratio)  # type: ignore[type-var]


@pytest.mark.parametrize("name", names_in("window"))
def test_every_window_fits_into_a_recipe(name: str) -> None:
    recipe = recipe_from_settings(compose("preview", [f"window@views.window={name}"])["views"])
    assert recipe.describe()["window"]["policy"] == name


def test_a_method_takes_its_recipe_from_the_group() -> None:
    composed = compose("pretrain", ["data=x", "method.views.size=96", "window@method.views.window=fixed"])
    recipe = recipe_from_settings(composed["method"]["views"])
    assert isinstance(recipe, SimclrViews)
    assert (recipe.size, recipe.window.channels) == (96, 1)


@pytest.mark.parametrize("recipes", [SMALL, COLOUR], ids=["one channel", "three channels"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_kind_of_image_stacks_in_one_batch(name: str, recipes: dict[str, ViewRecipe]) -> None:
    recipe = recipes[name]
    for image in IMAGES.values():
        before = image.copy()
        image.flags.writeable = False
        views = views_of(recipe, image)
        assert tuple(view.shape for view in views) == recipe.shapes
        assert np.array_equal(image, before)
        low, high = ((grey - recipe.mean) / recipe.std for grey in (0.0, 1.0)) if name != "evaluation" else (-1, 1)
        for view in views:
            assert view.dtype == np.float32
            assert np.isfinite(view).all()
            assert low <= view.min() <= view.max() <= high


@pytest.mark.parametrize("name", RECIPES)
def test_grey_is_repeated_and_colours_are_kept(name: str) -> None:
    for kind, image in IMAGES.items():
        for view in views_of(replace(COLOUR[name], **({} if name == "evaluation" else quiet(name))), image):  # type: ignore[type-var]
            assert np.array_equal(view[0], view[1]) == (kind != "photograph")


def quiet(name: str) -> dict[str, Any]:
    """Settings without grey scale."""
    return {"grey_probability": 0.0, "jitter_probability": 0.0} if name == "reference_study" else {}


def test_one_channel_sees_the_luma() -> None:
    (grey,) = EvaluationView(size=64, mean=(0.0,), std=(1.0,))(np.ascontiguousarray(IMAGES["photograph"][:, :45]))
    (red, green, blue) = EvaluationView(size=64, mean=(0.0,) * 3, std=(1.0,) * 3)(
        np.ascontiguousarray(IMAGES["photograph"][:, :45])
    )[0]
    assert np.abs(grey[0] - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 1.5 / 255


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("kind", IMAGES)
def test_views_are_a_function_of_seed_epoch_and_row(name: str, kind: str) -> None:
    recipe, image = SMALL[name], IMAGES[kind]
    first = [view.tobytes() for view in views_of(recipe, image, 3, 1, 7)]
    assert first == [view.tobytes() for view in views_of(recipe, image, 3, 1, 7)]
    assert first == [view.tobytes() for view in views_of(pickle.loads(pickle.dumps(recipe)), image, 3, 1, 7)]  # noqa: S301 - our own bytes
    assert len(set(first)) == len(first)
    for other in ((4, 1, 7), (3, 2, 7), (3, 1, 8)):
        assert not set(first) & {view.tobytes() for view in views_of(recipe, image, *other)}


@pytest.mark.parametrize("name", RECIPES)
def test_global_generators_have_no_influence_and_are_not_touched(name: str) -> None:
    made = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state is what is tested
        torch.manual_seed(seed)
        cv2.setRNGSeed(seed)
        states = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
        made.append([view.tobytes() for image in IMAGES.values() for view in views_of(SMALL[name], image)])
        assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
        drawn = cv2.randu(np.zeros(4, np.float32), 0, 1)
        cv2.setRNGSeed(seed)
        assert np.array_equal(drawn, cv2.randu(np.zeros(4, np.float32), 0, 1))
    assert made[0] == made[1]


@pytest.mark.parametrize("recipes", [SMALL, COLOUR], ids=["one channel", "three channels"])
@pytest.mark.parametrize("name", RECIPES)
def test_writing_into_memory_of_the_caller_is_the_same(name: str, recipes: dict[str, ViewRecipe]) -> None:
    recipe = recipes[name]
    block = np.full((2, sum(int(np.prod(shape)) for shape in recipe.shapes)), np.nan, np.float32)
    for image in IMAGES.values():
        out, start = [], 0
        for shape in recipe.shapes:
            out.append(block[1, start : start + int(np.prod(shape))].reshape(shape))
            start += int(np.prod(shape))
        recipe.write(image, np.random.default_rng([0, 0, 0]), out)
        assert all(np.array_equal(a, b) for a, b in zip(out, views_of(recipe, image), strict=True))
        assert not np.isnan(block[1]).any()
        assert np.isnan(block[0]).all()


@pytest.mark.parametrize("name", RECIPES)
def test_settings_go_through_json(name: str) -> None:
    recipe = SMALL[name]
    assert recipe_from_settings({"name": name, **json.loads(json.dumps(recipe.describe()))}) == recipe


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.int16), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.int16)],
    ids=lambda image: f"{image.dtype} {image.shape}",
)
def test_other_arrays_are_refused(name: str, image: np.ndarray) -> None:
    with pytest.raises(RadnetError, match=f"{image.dtype}"):
        views_of(SMALL[name], image)


@pytest.mark.parametrize("name", RECIPES)
def test_constant_and_tiny_images(name: str) -> None:
    for dtype in (np.int16, np.uint16, np.uint8):
        for shape in ((1, 1), (1, 9), (30, 30)):
            for view in views_of(SMALL[name], np.full(shape, 5, dtype)):
                assert np.isfinite(view).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["Unknown recipe", "simclr"]),
        ({"name": "simcrl"}, ["simcrl", "Did you mean simclr"]),
        ({"name": "multicrop", "local_sise": 3}, ["local_sise", "local_size"]),
        ({"name": "multicrop", "local_scale": [0.4, 0.05]}, ["crop_scale", "range"]),
        ({"name": "multicrop", "global_blur_probabilities": []}, ["global view"]),
        ({"name": "multicrop", "global_blur_probabilities": [1.0, 2.0]}, ["blur_probability"]),
        ({"name": "multicrop", "local_views": -1}, ["local_views"]),
        ({"name": "simclr", "gamma": 0.5}, ["gamma"]),
        ({"name": "simclr", "uint16_percentiles": [99, 1]}, ["uint16_percentiles"]),
        ({"name": "simclr", "colour": True, "window": {"policy": "multi", "names": ["lung", "bone"]}}, ["colour"]),
        ({"name": "reference_study", "brightness": 2}, ["brightness"]),
        ({"name": "reference_study", "hue": 0.6}, ["hue"]),
        ({"name": "reference_study", "window": {"policy": "multi"}}, ["one channel"]),
    ],
)
def test_mistakes_in_settings(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        recipe_from_settings(settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)
