"""The recipes by name. A new recipe is one file here, one YAML in configs/views/, and one line below."""

from collections.abc import Mapping
from typing import Any

from radnet.errors import UsageError, did_you_mean
from radnet.views.evaluation import EvaluationView
from radnet.views.mae import MaeViews
from radnet.views.multicrop import MultiCropViews
from radnet.views.recipe import ViewRecipe
from radnet.views.reference_study import ReferenceStudyViews
from radnet.views.simclr import SimclrViews

RECIPES: dict[str, type[ViewRecipe]] = {
    "simclr": SimclrViews,
    "mae": MaeViews,
    "multicrop": MultiCropViews,
    "reference_study": ReferenceStudyViews,
    "evaluation": EvaluationView,
}


def recipe_from_settings(settings: Mapping[str, Any]) -> ViewRecipe:
    """The recipe that `configs/views/NAME.yaml` describes: its `name`, and the settings of that recipe.

    Raises:
        UsageError: Unknown recipe, or an unknown or wrong setting.
    """
    values = dict(settings)
    name = str(values.pop("name", None))
    if name not in RECIPES:
        raise UsageError("Unknown recipe of views", seen=name, fix=did_you_mean(name, RECIPES))
    return RECIPES[name].from_settings(values)
