"""The augmentations of the reference study (arXiv 2306.17555), rebuilt from its published settings.

What it did, on tensors of three channels at 256 px: every image scaled from its own minimum to its own maximum; a
random resized crop of 0.08 to 1 of the area; a left-right flip (0.5); with probability 0.8 a colour jitter of
brightness, contrast and saturation by up to 0.8 and hue by up to 0.2, in random order; grey scale (0.2). No blur, no
noise, no normalisation. CT slices were grey repeated three times, on which saturation, hue and grey scale do nothing.

Deviations, each on purpose:

- It drew the parameters once a minibatch, so all slices of a batch were cropped and jittered alike. Here they are
  drawn for every view.
- One channel unless `colour` is set: three equal ones cost three times the memory and hold no more.
- Crops are resized from integers with area averaging or bilinear; it used bilinear, which aliases when it shrinks.
- A crop that would leave the image is cut; it drew up to ten times and then took the centre.
- Slices that are not square are padded with air; minimum and maximum are of the slice without it.
- A constant image becomes 0; it divided by 0 and put another image in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from radnet.views.draws import uniform
from radnet.views.geometry import flip, pad_to_square, random_resized_crop
from radnet.views.one_view import check_range
from radnet.views.pixels import Image, checked
from radnet.views.recipe import View, ViewRecipe
from radnet.views.settings import require
from radnet.views.window import MinMaxWindow, WindowPolicy, apply_levels

_LUMA = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the grey picture, as torchvision takes them."""


@dataclass(frozen=True)
class ReferenceStudyViews(ViewRecipe):
    """Two views as the reference study made them, drawn for every view.

    Attributes:
        size: Side of a view in pixels.
        window: How HU become grey values; the study's own is minmax. Images of every other dtype are scaled from
            their minimum to their maximum in any case.
        crop_scale: Range of the crop's share of the slice's area.
        crop_ratio: Range of the crop's width over height.
        flip_probability: Probability of a left-right flip.
        jitter_probability: Probability of the jitter as a whole.
        brightness: Grey values are multiplied by 1 - brightness to 1 + brightness.
        contrast: Their distance from the view's mean is multiplied by 1 - contrast to 1 + contrast.
        saturation: The distance of a colour from its grey likewise; nothing on grey.
        hue: Greatest turn of the colours either way, 0.5 is half a circle; nothing on grey.
        grey_probability: Probability that a coloured view becomes grey.
        mean: Subtracted from the grey values.
        std: Divides the grey values after that.
        views: Number of views.
        colour: Three channels: RGB pictures keep their colours, everything grey is repeated.

    Raises:
        UsageError: A value makes no sense.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)
    where: ClassVar[str] = "the reference study's views"

    size: int = 256
    window: WindowPolicy = field(default_factory=MinMaxWindow)
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    flip_probability: float = 0.5
    jitter_probability: float = 0.8
    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    grey_probability: float = 0.2
    mean: float = 0.0
    std: float = 1.0
    views: int = 2
    colour: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "views"):
            value = getattr(self, name)
            require(value >= 1, f"{name} is at least 1", value, self.where, f"For example {name}=2")
        check_range("crop_scale", self.crop_scale, 1.0, self.where)
        check_range("crop_ratio", self.crop_ratio, np.inf, self.where)
        names = ("flip_probability", "jitter_probability", "brightness", "contrast", "saturation", "grey_probability")
        for name, limit in (*((name, 1.0) for name in names), ("hue", 0.5)):
            value = getattr(self, name)
            good = 0 <= value <= limit
            require(good, f"{name} lies between 0 and {limit:g}", value, self.where, f"For example {name}=0")
        require(self.std > 0, "std is positive", self.std, self.where, "For example std=1")
        single = self.window.channels == 1
        require(single, "the window has one channel", self.window.channels, self.where, "Use the policy minmax")

    @property
    def channels(self) -> int:
        """Channels of a view."""
        return 3 if self.colour else 1

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """See `ViewRecipe`."""
        return ((self.channels, self.size, self.size),) * self.views

    def write(self, image: Image, generator: np.random.Generator, out: Sequence[View]) -> None:
        """See `ViewRecipe`; values lie between (0 - mean) / std and (1 - mean) / std."""
        seen = checked(image, self.channels)
        window = self.window if seen.dtype == np.int16 else MinMaxWindow()
        source = pad_to_square(seen) if seen.dtype == np.int16 else seen
        for view in out:
            crop = random_resized_crop(source, self.size, self.crop_scale, self.crop_ratio, generator)
            if generator.random() < self.flip_probability:
                crop = flip(crop)
            # the levels are of the whole image; taking them after the crop saves scaling what is cut away
            level = window.levels(seen, generator)[0]
            planes = [crop] if crop.ndim == 2 else cv2.split(crop)
            grey = np.concatenate([apply_levels(plane, (level,)) for plane in planes])
            view[...] = (self._jittered(grey, generator) - np.float32(self.mean)) / np.float32(self.std)

    def _jittered(self, grey: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """Jitter and grey scale of (1 or 3, S, S) in [0, 1]; the draws are the same in number for either."""
        jitter = generator.random() < self.jitter_probability
        order = generator.permutation(4)
        ranges = (self.brightness, self.contrast, self.saturation)
        factors = [uniform(generator, 1 - width, 1 + width) for width in ranges]
        turn = uniform(generator, -self.hue, self.hue)
        to_grey = generator.random() < self.grey_probability
        for step in order if jitter else ():
            if step == 0:
                grey = blend(grey, 0.0, factors[0])
            elif step == 1:
                grey = blend(grey, float(luma(grey).mean()), factors[1])
            elif len(grey) == 3:
                grey = blend(grey, luma(grey), factors[2]) if step == 2 else turn_hue(grey, turn)
        return np.broadcast_to(luma(grey), grey.shape) if to_grey and len(grey) == 3 else grey


def luma(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1 or 3, S, S) -> (1, S, S): the grey picture of a coloured one."""
    return grey if len(grey) == 1 else np.tensordot(_LUMA, grey, axes=1)[None]


def blend(grey: NDArray[np.float32], other: Any, factor: float) -> NDArray[np.float32]:
    """Mix: factor * grey + (1 - factor) * other, cut to [0, 1]."""
    mixed = np.float32(factor) * grey + np.float32(1 - factor) * np.asarray(other, dtype=np.float32)
    return np.clip(mixed, 0, 1, out=mixed)


def turn_hue(colours: NDArray[np.float32], turn: float) -> NDArray[np.float32]:
    """Turn the hue of (3, S, S) RGB in [0, 1] by `turn` of a circle."""
    picture = cv2.cvtColor(np.ascontiguousarray(colours.transpose(1, 2, 0)), cv2.COLOR_RGB2HSV)
    picture[..., 0] = (picture[..., 0] + 360 * turn) % 360
    turned: NDArray[Any] = np.asarray(cv2.cvtColor(picture, cv2.COLOR_HSV2RGB), dtype=np.float32)
    return np.ascontiguousarray(turned.transpose(2, 0, 1))
