import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pictures

from radnet.views import RECIPES, EvaluationView, MultiWindow, SimclrViews, ViewRecipe
from radnet.views.preview import Shown, choose, draw
from tests.views.test_recipes import COLOUR, IMAGES, SMALL


def rows_of(*kinds: str) -> list[Shown]:
    return [Shown(IMAGES[kind], f"thorax, row {row}", (0, 0, row)) for row, kind in enumerate(kinds)]


def pixels(png: bytes) -> np.ndarray:
    with Pictures.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


@pytest.mark.parametrize("recipe", [*SMALL.values(), *COLOUR.values(), RECIPES["multicrop"]()], ids=repr)
def test_every_recipe_is_drawn_for_every_kind_of_image(recipe: ViewRecipe) -> None:
    one, all_of_them = draw(rows_of("ct"), recipe), draw(rows_of(*IMAGES), recipe)
    assert pixels(all_of_them).shape[1] == pixels(one).shape[1]
    assert pixels(all_of_them).shape[0] > 3 * pixels(one).shape[0]
    assert draw(rows_of("ct"), recipe) == one


def test_what_is_drawn_is_the_view_that_the_stream_makes() -> None:
    recipe = SimclrViews(size=200, window=MultiWindow(("lung",)))
    sheet = pixels(draw(rows_of("ct"), recipe)).astype(float)
    for view in recipe(IMAGES["ct"], np.random.default_rng((0, 0, 0))):
        expected = np.round((view[0] * 0.5 + 0.5) * 255)
        places = [
            (y, x)
            for y in range(sheet.shape[0] - 200)
            for x in range(sheet.shape[1] - 200)
            if sheet[y, x, 0] == expected[0, 0] and np.array_equal(sheet[y, x : x + 200, 0], expected[0])
        ]
        assert any(np.array_equal(sheet[y : y + 200, x : x + 200, 1], expected) for y, x in places)


def test_other_epochs_draw_other_views() -> None:
    first, second = (draw([Shown(IMAGES["ct"], "thorax", (0, epoch, 0))], SimclrViews(size=32)) for epoch in (0, 1))
    assert not np.array_equal(pixels(first), pixels(second))
    assert draw(rows_of("ct"), EvaluationView(size=32)) == draw(rows_of("ct"), EvaluationView(size=32))


def test_slices_are_chosen_from_every_region_and_the_middle_of_their_series() -> None:
    index = pd.DataFrame(
        {"series_key": ["a"] * 40 + ["b"] * 40 + ["c"] * 8, "body_region": ["thorax"] * 80 + ["head_neck"] * 8}
    )
    chosen = choose(index, 6, seed=0)
    assert chosen == choose(index, 6, seed=0)
    assert chosen != choose(index, 6, seed=1)
    assert [index["body_region"][row] for row in chosen] == ["head_neck", "thorax"] * 3
    assert {index["series_key"][row] for row in chosen} == {"a", "b", "c"}
    assert all(10 <= row < 30 or 50 <= row < 70 or 82 <= row < 86 for row in chosen)
    assert sorted(choose(index, 1000, seed=0)) == list(range(88))
