"""Two views of one slice for contrastive learning: SimCLR (arXiv 2002.05709), made for CT.

Colour jitter and grey scale have no meaning on CT; their place is taken by a random window, a random gain and
offset, and noise. A slice is flipped from left to right only, never upside down; `flip_probability=0` leaves that out
where laterality is information.
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
class SimclrViews(ViewRecipe):
    """Two views of a slice that shall attract each other: SimCLR on CT.

    Attributes:
        size: Side of a view in pixels.
        window: How HU become grey values; images of other dtypes have their own levels (`radnet.views.pixels`).
        crop_scale: Range of the crop's share of the slice's area.
        crop_ratio: Range of the crop's width over height.
        flip_probability: Probability of a left-right flip.
        rotate_degrees: Greatest rotation either way; 0 leaves it out.
        blur_probability: Probability of a Gaussian blur.
        blur_sigma_px: Range of its standard deviation in pixels of the view.
        noise_hu: Greatest standard deviation of the added Gaussian noise in HU; 0 leaves it out. On other images it
            is the same share of their range as of a window of 400 HU.
        gain: Greatest relative change of contrast of the grey values.
        offset: Greatest shift of the grey values.
        mean: Subtracted from the grey values.
        std: Divides the grey values after that.
        views: Number of views.
        gamma: Greatest exponent of the grey values, drawn log-uniformly from 1/gamma to gamma; 1 leaves it out.
        colour: Three channels: RGB pictures keep their colours, everything grey is repeated.
        uint16_percentiles: Percentiles of a uint16 image that become 0 and 1; [0, 100] is its minimum and maximum.

    Raises:
        UsageError: A value makes no sense.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)
    where: ClassVar[str] = "the SimCLR views"

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
    gamma: float = 1.0
    colour: bool = False
    uint16_percentiles: tuple[float, float] = (0.5, 99.5)

    def __post_init__(self) -> None:
        require(self.views >= 1, "views is at least 1", self.views, self.where, "For example views=2")
        self.steps.check(self.where)
        check_percentiles(self.uint16_percentiles, self.where)
        check_colour(self.colour, self.window, self.where)

    @cached_property
    def steps(self) -> ViewSteps:
        """The steps of each view."""
        return ViewSteps(
            size=self.size,
            crop_scale=self.crop_scale,
            crop_ratio=self.crop_ratio,
            rotate_degrees=self.rotate_degrees,
            flip_probability=self.flip_probability,
            blur_probability=self.blur_probability,
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
        """See `ViewRecipe`."""
        return ((self.channels, self.size, self.size),) * self.views

    def write(self, image: Image, generator: np.random.Generator, out: Sequence[View]) -> None:
        """See `ViewRecipe`; values lie between (0 - mean) / std and (1 - mean) / std."""
        seen = checked(image, self.channels)
        own = own_levels(seen, self.uint16_percentiles)
        # CT is padded with air to a square, so that a crop's share of the area means the same for every slice; other
        # images have no such outside and are cropped as they are
        source = pad_to_square(seen) if own is None else seen
        for view in out:
            self.steps.write(source, seen, self.window, own, generator, view)
