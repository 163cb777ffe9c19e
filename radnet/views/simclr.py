"""Two views of one slice for contrastive learning: SimCLR (arXiv 2002.05709), made for CT.

Colour jitter and grey scale have no meaning on CT; their place is taken by a random window, a random gain and
offset, and noise. Flips keep left-right anatomy unless asked for, because laterality is information.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from radnet.views.geometry import blur, pad_to_square, random_resized_crop, rotate
from radnet.views.noise import standard_noise
from radnet.views.settings import recipe_of, require
from radnet.views.window import RandomWindow, WindowPolicy, window_policy

WHERE = "the SimCLR views"


@dataclass(frozen=True)
class SimclrViews:
    """Recipe of the views.

    Attributes:
        size: Side of a view in pixels.
        window: How HU become grey values.
        crop_scale: Range of the crop's share of the slice's area.
        crop_ratio: Range of the crop's width over height.
        flip_probability: Probability of a left-right flip.
        rotate_degrees: Greatest rotation either way; 0 leaves it out.
        blur_probability: Probability of a Gaussian blur.
        blur_sigma_px: Range of its standard deviation in pixels of the view.
        noise_hu: Greatest standard deviation of the added Gaussian noise in HU; 0 leaves it out.
        gain: Greatest relative change of contrast of the grey values.
        offset: Greatest shift of the grey values.
        mean: Subtracted from the grey values.
        std: Divides the grey values after that.
        views: Number of views.

    Raises:
        UsageError: A value makes no sense.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    size: int = 224
    window: WindowPolicy = field(default_factory=RandomWindow)
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    flip_probability: float = 0.5
    rotate_degrees: float = 0.0
    blur_probability: float = 0.5
    blur_sigma_px: tuple[float, float] = (0.1, 1.0)
    noise_hu: float = 20.0
    gain: float = 0.2
    offset: float = 0.1
    mean: float = 0.5
    std: float = 0.5
    views: int = 2

    def __post_init__(self) -> None:
        for name in ("size", "views"):
            value = getattr(self, name)
            require(value >= 1, f"{name} is at least 1", value, WHERE, f"For example {name}=2")
        ranges = (
            ("crop_scale", self.crop_scale, 1.0),
            ("crop_ratio", self.crop_ratio, np.inf),
            ("blur_sigma_px", self.blur_sigma_px, np.inf),
        )
        for name, (low, high), limit in ranges:
            good = 0 < low <= high <= limit
            within = "above 0" if limit == np.inf else f"above 0 and up to {limit:g}"
            require(good, f"{name} is a range {within}", (low, high), WHERE, f"For example {name}=[0.5,1.0]")
        for name, limit in (
            ("flip_probability", 1.0),
            ("blur_probability", 1.0),
            ("rotate_degrees", 180.0),
            ("noise_hu", np.inf),
            ("gain", 1.0),
            ("offset", 1.0),
        ):
            value = getattr(self, name)
            require(0 <= value <= limit, f"{name} lies between 0 and {limit:g}", value, WHERE, f"For example {name}=0")
        require(self.std > 0, "std is positive", self.std, WHERE, "For example std=0.5")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "SimclrViews":
        """The recipe that `method.views` of a config describes.

        Raises:
            UsageError: An unknown or wrong setting.
        """
        values = dict(settings)
        if "window" in values:
            values["window"] = window_policy(values["window"])
        return recipe_of(cls, values, WHERE)

    @property
    def channels(self) -> int:
        """Channels of a view."""
        return self.window.channels

    def __call__(self, hu: NDArray[np.int16], generator: np.random.Generator) -> list[NDArray[np.floating[Any]]]:
        """Views of one slice.

        Args:
            hu: int16, (Y, X).
            generator: Source of all randomness.

        Returns:
            `views` arrays, float32, (C, size, size), between (0 - mean) / std and (1 - mean) / std.
        """
        square = pad_to_square(hu)
        return [self._view(square, generator) for _ in range(self.views)]

    def _view(self, hu: NDArray[np.int16], generator: np.random.Generator) -> NDArray[np.floating[Any]]:
        view = random_resized_crop(hu, self.size, self.crop_scale, self.crop_ratio, generator)
        if self.rotate_degrees:
            view = rotate(view, float(generator.uniform(-self.rotate_degrees, self.rotate_degrees)))
        if generator.random() < self.flip_probability:
            view = np.ascontiguousarray(view[:, ::-1])
        if generator.random() < self.blur_probability:
            view = blur(view, float(generator.uniform(*self.blur_sigma_px)))
        real: NDArray[Any] = view
        if self.noise_hu:
            sigma = np.float32(generator.uniform(0, self.noise_hu))
            real = sigma * standard_noise(view.shape, generator)
            real += view
        gain = 1 + generator.uniform(-self.gain, self.gain)
        shift = generator.uniform(-self.offset, self.offset)
        # (grey - 0.5) * gain + 0.5 + shift, clipped and normalised, in place: it is half of the cost otherwise
        grey = self.window(real, generator) * np.float32(gain)
        grey += np.float32(0.5 - 0.5 * gain + shift)
        np.clip(grey, 0, 1, out=grey)
        grey -= np.float32(self.mean)
        grey /= np.float32(self.std)
        return grey
