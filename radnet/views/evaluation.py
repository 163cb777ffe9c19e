"""The one view that a frozen network sees: no randomness, identical for every model of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from radnet.views.geometry import pad_to_square, resize
from radnet.views.pixels import Image, checked, own_levels
from radnet.views.recipe import View, ViewRecipe
from radnet.views.settings import recipe_of, require
from radnet.views.window import FixedWindow, RandomWindow, WindowPolicy, apply_levels, window_policy

UINT16_PERCENTILES = (0.5, 99.5)
"""What of a uint16 image becomes 0 and 1: a marker of lead or one hot pixel must not darken the rest."""


@dataclass(frozen=True)
class EvaluationView(ViewRecipe):
    """One view without chance: pad to a square, resize, window, normalise.

    Every image is padded, pictures too (with black): ImageNet's centre crop would cut what a diagnosis may hang on.
    What a pixel means follows from its dtype, see `radnet.views.pixels`.

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
    where: ClassVar[str] = "the evaluation view"

    size: int = 224
    window: WindowPolicy = field(default_factory=FixedWindow)
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        require(self.size >= 1, "size is at least 1", self.size, self.where, "For example size=224")
        require(
            len(self.mean) == len(self.std) and self.window.channels in (1, len(self.mean)),
            f"a window of {self.window.channels} channels needs as many means and deviations",
            (self.mean, self.std),
            self.where,
            "Give one mean and one std a channel, or another window",
        )
        require(min(self.std, default=0) > 0, "std is positive", self.std, self.where, "For example std=[0.5]")
        require(
            not isinstance(self.window, RandomWindow),
            "the window is the same for every slice, not random",
            "random",
            self.where,
            "Use the policy fixed, multi or minmax",
        )

    @property
    def channels(self) -> int:
        """Channels of the view."""
        return len(self.mean)

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """See `ViewRecipe`: one view."""
        return ((self.channels, self.size, self.size),)

    def write(self, image: Image, generator: np.random.Generator, out: Sequence[View]) -> None:
        """See `ViewRecipe`; the generator is not used."""
        mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in (self.mean, self.std))
        np.divide(self.grey(image, generator) - mean, std, out=out[0])

    def grey(self, image: Image, generator: np.random.Generator) -> NDArray[np.float32]:
        """The view before its normalisation, in [0, 1].

        Args:
            image: As for `write`.
            generator: Not used here.

        Returns:
            float32, (1, size, size) where one plane serves every channel, else (C, size, size).
        """
        seen = checked(image, self.channels)
        own = own_levels(seen, UINT16_PERCENTILES)
        levels = self.window.levels(seen, generator) if own is None else (own,)
        small = resize(pad_to_square(seen), self.size)
        if small.ndim == 3:
            return np.concatenate([apply_levels(plane, levels) for plane in cv2.split(small)])
        return apply_levels(small, levels)

    def __call__(self, image: Image, generator: np.random.Generator | None = None) -> list[View]:
        """The view of one image.

        Args:
            image: int16 HU or uint16 (Y, X), uint8 (Y, X) or RGB (Y, X, 3).
            generator: Not used; there so that the stream can call this like any other recipe.

        Returns:
            One array, float32, (C, size, size).
        """
        return super().__call__(image, generator or np.random.default_rng(0))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "EvaluationView":
        """The view that `describe` described: nothing is left to defaults, which may change.

        Raises:
            UsageError: A missing, unknown or wrong setting.
        """
        missing = [known.name for known in fields(cls) if known.name not in settings]
        require(not missing, "a setting is missing", missing, cls.where, "Give size, window, mean and std")
        return recipe_of(cls, {**settings, "window": window_policy(settings["window"])}, cls.where)
