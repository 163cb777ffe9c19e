"""Floor 3: slices and pictures become float views. A recipe a purpose, a stated window in every recipe."""

from radnet.views.evaluation import EvaluationView
from radnet.views.mae import MaeViews
from radnet.views.multicrop import MultiCropViews
from radnet.views.recipe import ViewRecipe
from radnet.views.recipes import RECIPES, recipe_from_settings
from radnet.views.reference_study import ReferenceStudyViews
from radnet.views.simclr import SimclrViews
from radnet.views.window import FixedWindow, MinMaxWindow, MultiWindow, RandomWindow, WindowPolicy, window_policy

__all__ = [
    "RECIPES",
    "EvaluationView",
    "FixedWindow",
    "MaeViews",
    "MinMaxWindow",
    "MultiCropViews",
    "MultiWindow",
    "RandomWindow",
    "ReferenceStudyViews",
    "SimclrViews",
    "ViewRecipe",
    "WindowPolicy",
    "recipe_from_settings",
    "window_policy",
]
