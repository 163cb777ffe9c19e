"""What every recipe is: an image and a generator in, float views out.

Randomness comes from the generator that is given and from nowhere else; the stream seeds it with (seed, epoch, row).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from radnet.views.pixels import Image
from radnet.views.settings import recipe_of
from radnet.views.window import WindowPolicy, describe_window, window_policy

View = NDArray[np.floating[Any]]
"""float32, (C, H, W)."""


class ViewRecipe(ABC):
    """Base of the recipes, each a frozen dataclass of its settings.

    `shapes` and `write` let a caller own the memory (a loader worker fills shared memory without a copy); calling the
    recipe allocates it.
    """

    where: ClassVar[str]
    """What the settings are of, for messages: "the SimCLR views"."""

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(C, H, W) of every view, in order; the same for every image."""

    @abstractmethod
    def write(self, image: Image, generator: np.random.Generator, out: Sequence[View]) -> None:
        """Make the views of one image in arrays that the caller owns.

        Args:
            image: int16 HU or uint16 (Y, X), uint8 (Y, X) or RGB (Y, X, 3); see `radnet.views.pixels`. Not changed.
            generator: Source of all randomness.
            out: float32, C-contiguous, of `shapes`; every value is overwritten.

        Raises:
            RadnetError: The image has another dtype or shape.
        """

    def __call__(self, image: Image, generator: np.random.Generator) -> list[View]:
        """Views of one image in new arrays; see `write`."""
        out: list[View] = [np.empty(shape, dtype=np.float32) for shape in self.shapes]
        self.write(image, generator, out)
        return out

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """The recipe that settings describe; those left out keep their defaults.

        Raises:
            UsageError: An unknown or wrong setting.
        """
        values = dict(settings)
        if "window" in values and not isinstance(values["window"], WindowPolicy):
            values["window"] = window_policy(values["window"])
        return recipe_of(cls, values, cls.where)

    def describe(self) -> dict[str, Any]:
        """Settings as JSON values; `from_settings` turns them back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        return plain | ({"window": describe_window(values["window"])} if "window" in values else {})
