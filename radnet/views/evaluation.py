"""The one view that a frozen network sees: no randomness, identical for every model of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from radnet.views.geometry import pad_to_square, resize
from radnet.views.settings import recipe_of, require
from radnet.views.window import FixedWindow, RandomWindow, WindowPolicy, describe_window, window_policy

WHERE = "the evaluation view"


@dataclass(frozen=True)
class EvaluationView:
    """Pad to a square, resize, window, normalise.

    Attributes:
        size: Side of the view in pixels.
        window: How HU become grey values; not a random one.
        mean: Subtracted from the grey values, one a channel of the result.
        std: Divides the grey values after that, one a channel of the result. Its length is the number of channels:
            a one-channel window is repeated for a three-channel model.

    Raises:
        UsageError: The settings contradict each other.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    size: int = 224
    window: WindowPolicy = field(default_factory=FixedWindow)
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        require(self.size >= 1, "size is at least 1", self.size, WHERE, "For example size=224")
        require(
            len(self.mean) == len(self.std) and self.window.channels in (1, len(self.mean)),
            f"a window of {self.window.channels} channels needs as many means and deviations",
            (self.mean, self.std),
            WHERE,
            "Give one mean and one std a channel, or another window",
        )
        require(min(self.std, default=0) > 0, "std is positive", self.std, WHERE, "For example std=[0.5]")
        require(
            not isinstance(self.window, RandomWindow),
            "the window is the same for every slice, not random",
            describe_window(self.window)["policy"],
            WHERE,
            "Use the policy fixed, multi or minmax",
        )

    def __call__(self, hu: NDArray[np.int16], generator: np.random.Generator | None = None) -> list[NDArray[Any]]:
        """The view of one slice.

        Args:
            hu: int16, (Y, X).
            generator: Not used; there so that the stream can call this like any other recipe.

        Returns:
            One array, float32, (C, size, size).
        """
        grey = self.window(resize(pad_to_square(hu), self.size), generator or np.random.default_rng(0))
        mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in (self.mean, self.std))
        return [(grey - mean) / std]

    def describe(self) -> dict[str, Any]:
        """Settings as JSON values; `from_settings` turns them back."""
        return {
            "size": self.size,
            "window": describe_window(self.window),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "EvaluationView":
        """The view that `describe` described: nothing is left to defaults, which may change.

        Raises:
            UsageError: A missing, unknown or wrong setting.
        """
        missing = [known.name for known in fields(cls) if known.name not in settings]
        require(not missing, "a setting is missing", missing, WHERE, "Give size, window, mean and std")
        return recipe_of(cls, {**settings, "window": window_policy(settings["window"])}, WHERE)
