"""Floor 3: int16 HU slices become float views. A recipe a purpose, a stated window in every recipe."""

from radnet.views.evaluation import EvaluationView
from radnet.views.simclr import SimclrViews
from radnet.views.window import FixedWindow, MinMaxWindow, MultiWindow, RandomWindow, WindowPolicy, window_policy

__all__ = [
    "EvaluationView",
    "FixedWindow",
    "MinMaxWindow",
    "MultiWindow",
    "RandomWindow",
    "SimclrViews",
    "WindowPolicy",
    "window_policy",
]
