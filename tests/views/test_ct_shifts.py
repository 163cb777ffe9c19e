import numpy as np
import pytest

from radnet.views.ct_shifts import correlated_noise, low_dose, slab_weights, smoother_kernel, thick_slice

GENERATOR = np.random.default_rng
HOW = {"full_dose_noise_hu": 12.0, "peak_per_mm": 0.3, "spacing_mm": (0.8, 0.8)}


def test_a_quarter_of_the_dose_adds_the_noise_that_doubles_the_standard_deviation() -> None:
    hu = np.full((256, 250), 40, np.int16)
    noise = low_dose(hu, GENERATOR(0), dose=0.25, **HOW).astype(float) - 40
    assert noise.std() == pytest.approx(12 * np.sqrt(3), rel=0.05)
    assert np.hypot(noise.std(), 12) == pytest.approx(24, rel=0.05)


def test_the_noise_has_no_power_at_zero_and_most_of_it_at_the_peak() -> None:
    power = np.mean(
        [
            np.abs(np.fft.rfft2(correlated_noise((128, 128), GENERATOR(seed), peak_per_mm=0.3, spacing_mm=(0.8, 0.8))))
            ** 2
            for seed in range(20)
        ],
        axis=0,
    )
    row = power[0]
    frequencies = np.fft.rfftfreq(128, 0.8)
    smooth = np.convolve(row, np.ones(5) / 5, mode="same")
    assert row[0] < 1e-9 * row.max()
    assert frequencies[smooth.argmax()] == pytest.approx(0.3, abs=0.08)
    assert smooth[-3] < 0.6 * smooth.max()


def test_the_noise_is_finer_where_pixels_are_larger() -> None:
    """The spectrum is one in mm: with larger pixels neighbours are less alike."""
    fine, coarse = (
        correlated_noise((256, 256), GENERATOR(0), peak_per_mm=0.3, spacing_mm=(mm, mm)) for mm in (0.4, 1.5)
    )
    alike = [float((noise[:, 1:] * noise[:, :-1]).mean()) for noise in (fine, coarse)]
    assert alike[0] > 0.6
    assert alike[1] < 0.3


def test_air_stays_air() -> None:
    hu = np.full((64, 64), -1024, np.int16)
    hu[:4] = -2000
    noisy = low_dose(hu, GENERATOR(0), dose=0.1, **HOW)
    assert noisy[4:].min() >= -1024
    assert noisy.dtype == np.int16


def test_a_blur_is_measured_in_mm() -> None:
    point = np.zeros((65, 65), np.int16)
    point[32, 32] = 20000
    blurred = smoother_kernel(point, sigma_mm=2.0, spacing_mm=(1.0, 2.0)).astype(float)
    at = np.arange(65) - 32
    sigmas = [np.sqrt((blurred.sum(axis) * at**2).sum() / blurred.sum()) for axis in (1, 0)]
    assert sigmas[0] == pytest.approx(2.0, rel=0.1)
    assert sigmas[1] == pytest.approx(1.0, rel=0.1)


def test_a_thick_slice_is_the_mean_over_a_box() -> None:
    offsets = np.array([-3.0, 0.0, 3.0])
    assert np.allclose(slab_weights(offsets, spacing_mm=3, thickness_mm=5), [0.2, 0.6, 0.2])
    assert np.allclose(slab_weights(offsets, spacing_mm=3, thickness_mm=2), [0, 1, 0])
    assert np.allclose(slab_weights(offsets[:2], spacing_mm=3, thickness_mm=9), [0.5, 0.5])
    slices = [np.full((2, 2), value, np.int16) for value in (0, 10, 20)]
    assert np.array_equal(thick_slice(slices, np.array([0.2, 0.6, 0.2])), np.full((2, 2), 10))
