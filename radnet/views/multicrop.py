"""Multi-crop for DINO (arXiv 2104.14294, section 3 and appendix C): two large views and several small ones.

Deviations from the paper, all because CT has no colours:

- colour jitter and grey scale: a random window, gain and offset, and noise, as in `SimclrViews`
- solarisation (0.2 of second global views): left out. It turns bone darker than air, and the order of grey values is
  the one thing that CT guarantees. The nearest that keeps the order is the random window, which cuts all values above
  its upper edge to one.
- resizing: area averaging and bilinear in place of bicubic, which makes edges that no scanner made
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import ConfigDict

from radnet.views.geometry import pad_to_square
from radnet.views.one_view import ViewSteps, check_colour, check_percentiles
from radnet.views.pixels import Image, checked, own_levels
from radnet.views.recipe import View, ViewRecipe
from radnet.views.settings import require
from radnet.views.window import RandomWindow, WindowPolicy


@dataclass(frozen=True)
class MultiCropViews(ViewRecipe):
    """Two global views, then local ones, of two sizes: DINO on CT.

    Attributes:
        size: Side of a global view in pixels.
        global_scale: Range of its crop's share of the slice's area.
        global_blur_probabilities: Probability of its blur, one a global view: their number is the number of views.
        local_views: Number of local views.
        local_size: Side of a local view in pixels.
        local_scale: Range of its crop's share of the slice's area.
        local_blur_probability: Probability of its blur.
        window, crop_ratio, flip_probability, rotate_degrees, blur_sigma_px, noise_hu, gain, offset, gamma, mean, std,
            colour, uint16_percentiles: Of every view, see `SimclrViews`.

    Raises:
        UsageError: A value makes no sense.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)
    where: ClassVar[str] = "the multi-crop views"

    size: int = 224
    global_scale: tuple[float, float] = (0.4, 1.0)
    global_blur_probabilities: tuple[float, ...] = (1.0, 0.1)
    local_views: int = 8
    local_size: int = 96
    local_scale: tuple[float, float] = (0.05, 0.4)
    local_blur_probability: float = 0.5
    window: WindowPolicy = field(default_factory=RandomWindow)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    flip_probability: float = 0.5
    rotate_degrees: float = 0.0
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    noise_hu: float = 20.0
    gain: float = 0.2
    offset: float = 0.1
    gamma: float = 1.0
    mean: float = 0.5
    std: float = 0.5
    colour: bool = False
    uint16_percentiles: tuple[float, float] = (0.5, 99.5)

    def __post_init__(self) -> None:
        good = len(self.global_blur_probabilities) >= 1
        require(good, "there is at least one global view", 0, self.where, "global_blur_probabilities=[1.0,0.1]")
        require(self.local_views >= 0, "local_views is not negative", self.local_views, self.where, "local_views=8")
        for steps in self.steps:
            steps.check(self.where)
        check_percentiles(self.uint16_percentiles, self.where)
        check_colour(self.colour, self.window, self.where)

    @cached_property
    def steps(self) -> tuple[ViewSteps, ...]:
        """The steps of each view."""
        large = [self._steps(self.size, self.global_scale, chance) for chance in self.global_blur_probabilities]
        small = self._steps(self.local_size, self.local_scale, self.local_blur_probability)
        return (*large, *(small,) * self.local_views)

    def _steps(self, size: int, scale: tuple[float, float], blur_probability: float) -> ViewSteps:
        return ViewSteps(
            size=size,
            crop_scale=scale,
            crop_ratio=self.crop_ratio,
            rotate_degrees=self.rotate_degrees,
            flip_probability=self.flip_probability,
            blur_probability=blur_probability,
            blur_sigma_px=self.blur_sigma_px,
            noise_hu=self.noise_hu,
            gain=self.gain,
            offset=self.offset,
            gamma=self.gamma,
            mean=self.mean,
            std=self.std,
        )

    @property
    def channels(self) -> int:
        """Channels of a view."""
        return 3 if self.colour else self.window.channels

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """See `ViewRecipe`; global views first."""
        return tuple((self.channels, steps.size, steps.size) for steps in self.steps)

    def write(self, image: Image, generator: np.random.Generator, out: Sequence[View]) -> None:
        """See `ViewRecipe`."""
        seen = checked(image, self.channels)
        own = own_levels(seen, self.uint16_percentiles)
        source = pad_to_square(seen) if own is None else seen  # as in SimclrViews
        for steps, view in zip(self.steps, out, strict=True):
            steps.write(source, seen, self.window, own, generator, view)
