"""The one view that a frozen network sees: no randomness, identical for every model of a comparison."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.views.geometry import pad_to_square, resize
from radnet.views.window import FixedWindow, WindowPolicy, describe_window, window_policy


@dataclass(frozen=True)
class EvaluationView:
    """Pad to a square, resize, window, normalise.

    Attributes:
        size: Side of the view in pixels.
        window: How HU become grey values; not a random one.
        mean: Subtracted from the grey values, one a channel of the result.
        std: Divides the grey values after that, one a channel of the result. Its length is the number of channels:
            a one-channel window is repeated for a three-channel model.
    """

    size: int = 224
    window: WindowPolicy = field(default_factory=FixedWindow)
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or self.window.channels not in (1, len(self.mean)):
            raise ValueError(
                f"{len(self.mean)} means, {len(self.std)} deviations and a window of {self.window.channels} channels"
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
        grey = np.broadcast_to(grey, (len(self.mean), *grey.shape[1:]))
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
    def from_settings(cls, settings: dict[str, Any]) -> "EvaluationView":
        """The view that `describe` described."""
        return cls(
            size=int(settings["size"]),
            window=window_policy(dict(settings["window"])),
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
        )
