"""One random view: crop, flip, rotation and blur, then noise and grey values in one pass.

16-bit images become float32 at the crop, so that nothing is rounded on the way and one piece of memory, the caller's,
serves every step. Pictures stay on 8 bits until their grey values.

Shape legend: Y rows, X columns, S side of the view, C channels.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.views.draws import uniform
from radnet.views.geometry import blur, flip, random_crop, resize, rotate
from radnet.views.noise import standard_noise
from radnet.views.pixels import Image, black, noise_unit
from radnet.views.settings import require
from radnet.views.window import WindowPolicy


@dataclass(frozen=True)
class ViewSteps:
    """The steps of one view, in their order; `SimclrViews` tells what each setting means."""

    size: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    rotate_degrees: float
    flip_probability: float
    blur_probability: float
    blur_sigma_px: tuple[float, float]
    noise_hu: float
    gain: float
    offset: float
    gamma: float
    mean: float
    std: float

    def check(self, where: str) -> None:
        """Refuse values that make no sense.

        Raises:
            UsageError: With the setting, its value and an example.
        """
        require(self.size >= 1, "size is at least 1", self.size, where, "For example size=224")
        check_range("crop_scale", self.crop_scale, 1.0, where)
        check_range("crop_ratio", self.crop_ratio, np.inf, where)
        check_range("blur_sigma_px", self.blur_sigma_px, np.inf, where)
        for name, limit in (
            ("flip_probability", 1.0),
            ("blur_probability", 1.0),
            ("rotate_degrees", 180.0),
            ("noise_hu", np.inf),
            ("gain", 1.0),
            ("offset", 1.0),
        ):
            value = getattr(self, name)
            require(0 <= value <= limit, f"{name} lies between 0 and {limit:g}", value, where, f"For example {name}=0")
        require(self.gamma >= 1, "gamma is at least 1; 1 leaves it out", self.gamma, where, "For example gamma=1.5")
        require(self.std > 0, "std is positive", self.std, where, "For example std=0.5")

    def write(
        self,
        image: Image,
        whole: Image,
        window: WindowPolicy,
        own: tuple[float, float] | None,
        generator: np.random.Generator,
        out: NDArray[Any],
    ) -> None:
        """Make one view.

        Args:
            image: (Y, X), or uint8 (Y, X, 3) for three channels.
            whole: The same before any padding: what a window of the image's own values looks at.
            window: How HU become grey values.
            own: The image's own levels, which replace the window; None for CT. See `pixels.own_levels`.
            generator: Source of all randomness.
            out: float32, (C, S, S), overwritten.
        """
        crop = random_crop(image, self.crop_scale, self.crop_ratio, generator)
        room = None
        if image.dtype != np.uint8:
            crop, room = crop.astype(np.float32), out[0]
        view = resize(crop, self.size, room)
        if self.rotate_degrees:
            view = rotate(view, uniform(generator, -self.rotate_degrees, self.rotate_degrees), black(whole))
        if generator.random() < self.flip_probability:
            view = flip(view, view)
        if generator.random() < self.blur_probability:
            view = blur(view, uniform(generator, *self.blur_sigma_px), view)
        noise, sigma = None, 0.0
        if self.noise_hu:
            sigma = uniform(generator, 0, self.noise_hu) * noise_unit(own)
            noise = standard_noise(view.shape, generator)
        gain = 1 + uniform(generator, -self.gain, self.gain)
        shift = uniform(generator, -self.offset, self.offset)
        gamma = self.gamma ** uniform(generator, -1, 1) if self.gamma != 1 else 1.0
        levels = window.levels(whole, generator) if own is None else (own,)
        planes = [view] if view.ndim == 2 else cv2.split(view)
        noises: list[Any] = [noise] if noise is None or noise.ndim == 2 else list(cv2.split(noise))
        channels = max(len(planes), len(levels))
        for channel in reversed(range(channels)):  # the first one's memory may hold the view itself
            to_grey(
                planes[channel % len(planes)],
                noises[channel % len(noises)],
                sigma,
                levels[channel % len(levels)],
                Tone(gain, shift, gamma, self.mean, self.std),
                out[channel],
            )
        out[channels:] = out[:1]


@dataclass(frozen=True)
class Tone:
    """What happens to grey values in [0, 1]: gamma, then gain about 0.5 and offset, then normalisation."""

    gain: float = 1.0
    offset: float = 0.0
    gamma: float = 1.0
    mean: float = 0.0
    std: float = 1.0


def to_grey(
    view: NDArray[Any],
    noise: NDArray[np.float32] | None,
    sigma: float,
    level: tuple[float, float],
    tone: Tone,
    out: NDArray[np.float32],
) -> None:
    """Noise, window, tone and normalisation of one channel: one multiply-add and one cut.

    In full: x = view + sigma * noise; grey = cut((x - low) / width); grey = cut((grey^gamma - 0.5) * gain + 0.5 +
    offset); out = (grey - mean) / std, where cut is to [0, 1]. Without gamma every step is affine or a cut, and the
    gain is not negative, so all of them are one line y = a * x + c between the values that the two cuts leave.

    Args:
        view: float32 or uint8, (S, S); may be `out`.
        noise: float32, (S, S), or None.
        sigma: Standard deviation of the noise in pixel values.
        level: (low, width) in pixel values.
        tone: See `Tone`.
        out: float32, (S, S), C-contiguous, overwritten.
    """
    low, width = level
    lift = 0.5 - 0.5 * tone.gain + tone.offset
    bottom, top = (_normalised(min(max(grey, 0.0), 1.0), tone) for grey in (lift, tone.gain + lift))
    if tone.gamma == 1:
        slope = tone.gain / (width * tone.std)
        _affine(view, noise, sigma, slope, _normalised(lift, tone) - low * slope, out)
    else:
        _affine(view, noise, sigma, 1 / width, -low / width, out)
        np.clip(out, 0, 1, out=out)
        np.power(out, np.float32(tone.gamma), out=out)
        out *= np.float32(tone.gain / tone.std)
        out += np.float32(_normalised(lift, tone))
    np.clip(out, np.float32(bottom), np.float32(top), out=out)


def _normalised(grey: float, tone: Tone) -> float:
    return (grey - tone.mean) / tone.std


def _affine(
    view: NDArray[Any],
    noise: NDArray[np.float32] | None,
    sigma: float,
    slope: float,
    constant: float,
    out: NDArray[np.float32],
) -> None:
    """Set out = slope * (view + sigma * noise) + constant, in one pass of OpenCV."""
    other, weight = (view, 0.0) if noise is None else (noise, slope * sigma)
    made = cv2.addWeighted(view, slope, other, weight, constant, dst=out, dtype=cv2.CV_32F)
    if made is not out:  # OpenCV took memory of its own
        out[...] = made


def check_range(name: str, pair: tuple[float, float], limit: float, where: str) -> None:
    """Refuse a range that is empty, not positive, or beyond `limit`.

    Raises:
        UsageError: See `require`.
    """
    low, high = pair
    within = "above 0" if limit == np.inf else f"above 0 and up to {limit:g}"
    require(0 < low <= high <= limit, f"{name} is a range {within}", pair, where, f"For example {name}=[0.5,1.0]")


def check_percentiles(pair: tuple[float, float], where: str) -> None:
    """Refuse percentiles that are none.

    Raises:
        UsageError: See `require`.
    """
    good = 0 <= pair[0] < pair[1] <= 100
    require(good, "uint16_percentiles rise within 0 and 100", pair, where, "For example uint16_percentiles=[0.5,99.5]")


def check_colour(colour: bool, window: WindowPolicy, where: str) -> None:
    """Refuse colour beside a window of several channels, which are not red, green and blue.

    Raises:
        UsageError: See `require`.
    """
    good = not colour or window.channels in (1, 3)
    require(good, "colour needs a window of one or three channels", window.channels, where, "Use colour=false")
