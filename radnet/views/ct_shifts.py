"""What another protocol of the scanner would have made of a CT slice: dose, kernel, slice thickness.

They act on Hounsfield units at the size that is stored, before any window, and take lengths in mm.

Shape legend: Y rows, X columns, Z slices.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.views.pixels import AIR_HU

LARGEST_HU = 32767


def low_dose(
    hu: NDArray[np.int16],
    generator: np.random.Generator,
    *,
    dose: float,
    full_dose_noise_hu: float,
    peak_per_mm: float,
    spacing_mm: tuple[float, float],
) -> NDArray[np.int16]:
    """A slice with the noise that a share of the dose would have added.

    Quantum noise has a variance inversely proportional to the dose, so a share d of it adds a standard deviation of
    s sqrt(1/d - 1) to a scan whose own is s. It is not white: reconstruction filters projections with a ramp and a
    kernel, so its power rises with the spatial frequency f from zero and falls beyond a peak. Here it is
    proportional to f exp(-f^2 / (2 p^2)), whose peak is at p (Boedeker et al. 2007, "Application of the noise power
    spectrum in modern diagnostic MDCT", Phys Med Biol 52, show such spectra: soft-tissue kernels peak at about
    0.3 / mm). Streaks and the dependence on the patient's diameter are left out.

    Args:
        hu: int16 (Y, X).
        generator: Draws the noise.
        dose: Share of the dose, between 0 and 1.
        full_dose_noise_hu: Standard deviation that the scan is taken to have.
        peak_per_mm: Frequency of the largest power, cycles a mm.
        spacing_mm: Distance of rows and of columns.

    Returns:
        int16 (Y, X); nothing lies below air (-1024 HU) that did not before.
    """
    std_hu = full_dose_noise_hu * math.sqrt(1 / dose - 1)
    noise = correlated_noise(hu.shape, generator, peak_per_mm=peak_per_mm, spacing_mm=spacing_mm)
    floor = np.minimum(hu, AIR_HU)
    return np.clip(np.rint(hu + std_hu * noise), floor, LARGEST_HU).astype(np.int16)


def correlated_noise(
    shape: tuple[int, ...], generator: np.random.Generator, *, peak_per_mm: float, spacing_mm: tuple[float, float]
) -> NDArray[np.float64]:
    """Noise of standard deviation 1 with the spectrum of `low_dose`, float64 of `shape` (Y, X)."""
    rows, columns = shape
    f_rows = np.fft.fftfreq(rows, spacing_mm[0])[:, None]
    f_columns = np.fft.rfftfreq(columns, spacing_mm[1])[None]
    power = _power(np.hypot(f_rows, f_columns), peak_per_mm)
    # the other half of the plane mirrors this one: inner columns count twice in the mean
    twice = np.full(f_columns.shape[1], 2.0)
    twice[0] = 1.0
    if columns % 2 == 0:
        twice[-1] = 1.0
    mean_power = float((power * twice).sum() / (rows * columns))
    if mean_power == 0:  # an image of one pixel has no frequency but zero
        return np.zeros(shape)
    white = np.fft.rfft2(generator.standard_normal(shape))
    return np.fft.irfft2(white * np.sqrt(power / mean_power), s=shape)


def _power(per_mm: NDArray[np.float64], peak_per_mm: float) -> NDArray[np.float64]:
    """Noise power at a frequency, up to a factor."""
    return np.asarray(per_mm * np.exp(-((per_mm / peak_per_mm) ** 2) / 2))


def smoother_kernel(hu: NDArray[np.int16], *, sigma_mm: float, spacing_mm: tuple[float, float]) -> NDArray[np.int16]:
    """A slice as a smoother reconstruction kernel shows it: blurred by a Gaussian.

    Args:
        hu: int16 (Y, X).
        sigma_mm: Standard deviation of the blur.
        spacing_mm: Distance of rows and of columns.
    """
    sigma_rows, sigma_columns = (sigma_mm / mm for mm in spacing_mm)
    blurred = cv2.GaussianBlur(hu, (0, 0), sigmaX=sigma_columns, sigmaY=sigma_rows, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.int16)


def slab_weights(offsets_mm: NDArray[np.float64], *, spacing_mm: float, thickness_mm: float) -> NDArray[np.float64]:
    """How much each slice has of a thicker slice, a box profile around the middle one.

    Args:
        offsets_mm: Distance of each slice from the middle one, float64 (Z,).
        spacing_mm: Distance of neighbouring slices, of which each is taken to be as thick as that.
        thickness_mm: Thickness of the box.

    Returns:
        float64 (Z,), the sum is 1. Slices that are not there (the end of a scan) leave their share to the others.
    """
    low = np.maximum(offsets_mm - spacing_mm / 2, -thickness_mm / 2)
    high = np.minimum(offsets_mm + spacing_mm / 2, thickness_mm / 2)
    share = np.clip(high - low, 0, None)
    return np.asarray(share / share.sum())


def thick_slice(slices: Sequence[NDArray[np.int16]], weights: NDArray[np.float64]) -> NDArray[np.int16]:
    """The weighted mean of some slices.

    Args:
        slices: int16 (Y, X), all of one shape.
        weights: float64, one a slice, with the sum 1.
    """
    total = np.zeros(slices[0].shape)
    for hu, weight in zip(slices, weights, strict=True):
        total += weight * hu
    return np.rint(total).astype(np.int16)
