import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.views import EvaluationView
from radnet.views.noisy import NoisyView

HU = np.random.default_rng(0).integers(-200, 300, (64, 64)).astype(np.int16)
PLAIN = {"size": 64, "mean": (0.0,), "std": (1.0,)}


def _noise(kind: str, std: float, seed: int = 0) -> np.ndarray:
    (noisy,) = NoisyView(**PLAIN, noise=kind, noise_std=std)(HU, np.random.default_rng(seed))
    (clean,) = EvaluationView(**PLAIN)(HU)
    return noisy - clean


def test_gaussian_noise_has_its_standard_deviation_on_grey_values_and_is_not_cut_off() -> None:
    noise = _noise("gaussian", 0.05)
    assert noise.std() == pytest.approx(0.05, rel=0.05)
    assert abs(noise.mean()) < 0.005
    (noisy,) = NoisyView(**PLAIN, noise_std=0.05)(np.full((64, 64), -1024, np.int16), np.random.default_rng(0))
    assert noisy.min() < 0


def test_rician_noise_lifts_black_and_is_that_of_two_parts() -> None:
    black = np.full((64, 64), -1024, np.int16)
    (noisy,) = NoisyView(**PLAIN, noise="rician", noise_std=0.05)(black, np.random.default_rng(0))
    assert noisy.min() >= 0
    assert noisy.mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh, where there is no signal


def test_the_generator_decides_the_noise() -> None:
    assert np.array_equal(_noise("gaussian", 0.01, 3), _noise("gaussian", 0.01, 3))
    assert not np.array_equal(_noise("gaussian", 0.01, 3), _noise("gaussian", 0.01, 4))


def test_three_channels_of_one_window_see_the_same_noise_before_their_normalisation() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    (view,) = NoisyView(size=64, mean=mean, std=std, noise_std=0.1)(HU, np.random.default_rng(1))
    grey = [channel * s + m for channel, m, s in zip(view, mean, std, strict=True)]
    assert np.allclose(grey[0], grey[1], atol=1e-5)
    assert np.allclose(grey[0], grey[2], atol=1e-5)


@pytest.mark.parametrize("settings", [{"noise": "salt"}, {"noise_std": 0.0}, {"noise_std": 1.5}])
def test_noise_that_makes_no_sense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="noisy view"):
        NoisyView(**PLAIN, **settings)  # type: ignore[arg-type]
