"""Recipes that a loader worker can import."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PixelsAndChance:
    """The slice itself, and four random numbers: a batch shows at once whether pixels or randomness differ."""

    def __call__(self, hu: NDArray[np.int16], generator: np.random.Generator) -> list[NDArray[np.float64]]:
        return [hu[None].astype(np.float64), generator.random((1, 2, 2))]


@dataclass(frozen=True)
class Failing:
    """A recipe with a mistake."""

    def __call__(self, hu: NDArray[np.int16], generator: np.random.Generator) -> list[NDArray[np.float64]]:
        raise ZeroDivisionError("a mistake in a recipe")
