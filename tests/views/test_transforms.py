"""Every transform against its slow reference."""

import math

import numpy as np
import pytest

from radnet.views.draws import uniform
from radnet.views.geometry import blur, flip, pad_to_square, random_resized_crop, resize, rotate
from radnet.views.one_view import Tone, to_grey
from radnet.views.pixels import AIR_HU, black
from radnet.views.reference_study import blend, luma
from radnet.views.window import CLINICAL_WINDOWS, FixedWindow, MinMaxWindow, MultiWindow, RandomWindow
from tests.views import references

DRAW = np.random.default_rng(0)
HU = DRAW.integers(-1024, 3071, (23, 17)).astype(np.int16)
UNITS = DRAW.integers(0, 4095, (19, 26)).astype(np.uint16)
PICTURE = DRAW.integers(0, 256, (21, 18)).astype(np.uint8)
IMAGES = [pytest.param(image, id=str(image.dtype)) for image in (HU, UNITS, PICTURE)]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("size", [7, 16, 18, 31])
def test_resize(image: np.ndarray, size: int) -> None:
    allowed = 1.0 if image.dtype == np.uint8 else 0.51  # rounding; OpenCV blends 8-bit pictures in fixed point
    assert np.abs(resize(image, size) - references.resize(image, size)).max() <= allowed


@pytest.mark.parametrize("image", IMAGES)
def test_padding(image: np.ndarray) -> None:
    assert np.array_equal(pad_to_square(image), references.pad(image, black(image)))


def test_what_lies_outside() -> None:
    assert (black(HU), black(UNITS + np.uint16(7)), black(PICTURE)) == (AIR_HU, int(UNITS.min()) + 7, 0)


@pytest.mark.parametrize("image", IMAGES)
def test_flip(image: np.ndarray) -> None:
    assert np.array_equal(flip(image), references.flip(image))


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("degrees", [-31.0, 4.0, 90.0, 180.0])
def test_rotate(image: np.ndarray, degrees: float) -> None:
    smooth = np.round(references.blur(image, 2.0, 5)).astype(image.dtype)
    outside = int(smooth.mean())
    expected = references.rotate(smooth, degrees, outside)
    steepest = max(np.abs(np.diff(smooth.astype(float), axis=axis)).max() for axis in (0, 1))
    # OpenCV may look on a grid of 1/32 pixel
    assert np.abs(rotate(smooth, degrees, outside) - expected).max() <= 0.51 + 2 * steepest / 32


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("sigma_px", [0.3, 1.0, 2.0])
def test_blur(image: np.ndarray, sigma_px: float) -> None:
    reach = max(round(sigma_px * (3 if image.dtype == np.uint8 else 4) * 2 + 1) | 1, 1) // 2  # OpenCV's length
    expected = references.blur(image, sigma_px, reach)
    # rounding; weights are fixed-point numbers for unsigned images
    allowed = {"int16": 0.51, "uint16": 1.0, "uint8": 1.5}[str(image.dtype)]
    assert np.abs(blur(image, sigma_px) - expected).max() <= allowed


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("size", [6, 29])
def test_random_resized_crop(image: np.ndarray, size: int) -> None:
    for seed in range(8):
        settings = ((0.1, 0.9), (0.5, 2.0))
        made = random_resized_crop(image, size, *settings, np.random.default_rng(seed))
        top, left, height, width = references.crop_box(image.shape, *settings, np.random.default_rng(seed))
        part = image[top : top + height, left : left + width]
        allowed = 1.0 if image.dtype == np.uint8 else 0.51
        assert np.abs(made - references.resize(part, size)).max() <= allowed


def test_uniform_is_numpys_to_the_bit() -> None:
    ours, numpys = np.random.default_rng(3), np.random.default_rng(3)
    for low, high in ((0.2, 1.0), (-0.1, 0.1), (0, 20.0), (math.log(0.75), math.log(4 / 3))) * 200:
        assert uniform(ours, low, high) == numpys.uniform(low, high)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("level", [(-160.0, 400.0), (0.0, 80.0), (-1350.0, 1500.0), (0.0, np.inf)])
@pytest.mark.parametrize(
    "tone",
    [
        Tone(),
        Tone(gain=1.2, offset=-0.1, mean=0.5, std=0.5),
        Tone(gain=0.0, offset=0.3),
        Tone(gain=2.0, offset=0.6, mean=0.2, std=0.3),
        Tone(gamma=1.7),
        Tone(gamma=0.6, gain=0.8, offset=0.05, mean=0.5, std=0.5),
    ],
    ids=repr,
)
@pytest.mark.parametrize("sigma", [0.0, 35.0])
def test_noise_window_gamma_gain_and_offset(
    image: np.ndarray, level: tuple[float, float], tone: Tone, sigma: float
) -> None:
    noise = np.random.default_rng(1).standard_normal(image.shape).astype(np.float32)
    out = np.full(image.shape, np.nan, np.float32)
    to_grey(image, noise if sigma else None, sigma, level, tone, out)
    grey = references.windowed(image.astype(float) + sigma * noise, *level)
    expected = (references.toned(grey, tone.gamma, tone.gain, tone.offset) - tone.mean) / tone.std
    # below the window's lower edge, gamma < 1 is steep: a rounding of 1e-6 grows
    assert np.abs(out - expected).max() <= (1e-3 if tone.gamma < 1 else 2e-5)


@pytest.mark.parametrize(
    "policy", [FixedWindow(-600, 1500), RandomWindow(), MultiWindow(("brain", "lung")), MinMaxWindow()], ids=repr
)
def test_window_policies(policy: FixedWindow | RandomWindow | MultiWindow | MinMaxWindow) -> None:
    levels = policy.levels(HU, np.random.default_rng(5))
    if isinstance(policy, FixedWindow):
        edges = [(-1350.0, 150.0)]
    elif isinstance(policy, RandomWindow):
        center, width = policy.draw(np.random.default_rng(5))
        edges = [(center - width / 2, center + width / 2)]
    elif isinstance(policy, MultiWindow):
        pairs = [CLINICAL_WINDOWS["brain"], CLINICAL_WINDOWS["lung"]]
        edges = [(center - width / 2, center + width / 2) for center, width in pairs]
    else:
        edges = [(float(HU.min()), float(HU.max()))]
    assert np.allclose([(low, low + width) for low, width in levels], edges)
    made = policy(HU, np.random.default_rng(5))
    for channel, (low, high) in zip(made, edges, strict=True):
        assert np.abs(channel - references.windowed(HU, low, high - low)).max() <= 2e-6


def test_jitter_of_the_reference_study() -> None:
    grey = np.random.default_rng(0).random((3, 5, 6)).astype(np.float32)
    weights = (0.2989, 0.587, 0.114)
    expected = np.array([[sum(w * grey[c, y, x] for c, w in enumerate(weights)) for x in range(6)] for y in range(5)])
    assert np.abs(luma(grey)[0] - expected).max() <= 1e-6
    for factor in (0.2, 1.0, 1.8):
        assert np.abs(blend(grey, 0.0, factor)[1] - references.cut(factor * grey[1])).max() <= 1e-6
        mixed = references.cut(factor * grey[1] + (1 - factor) * 0.4)
        assert np.abs(blend(grey, 0.4, factor)[1] - mixed).max() <= 1e-6
