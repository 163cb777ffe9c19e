import numpy as np
import pytest

from radnet.views.noise import BANK_VALUES, standard_noise


@pytest.mark.parametrize("shape", [(1, 1), (64, 48), (224, 224), (BANK_VALUES // 2 + 1,)])
def test_noise_is_a_function_of_its_generator(shape: tuple[int, ...]) -> None:
    first, again, other = (standard_noise(shape, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == shape
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_is_standard_normal() -> None:
    generator = np.random.default_rng(0)
    pieces = np.stack([standard_noise((96, 96), generator) for _ in range(50)])
    assert abs(pieces.mean()) < 0.02
    assert abs(pieces.std() - 1) < 0.02
    for sigmas, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (np.abs(pieces) < sigmas).mean() == pytest.approx(share, abs=0.004)


def test_pieces_have_nothing_in_common() -> None:
    generator = np.random.default_rng(0)
    pieces = np.stack([standard_noise((224, 224), generator).ravel() for _ in range(20)])
    between = np.corrcoef(pieces) - np.eye(20)
    assert np.abs(between).max() < 0.03


def test_the_bank_cannot_be_changed_by_a_recipe() -> None:
    with pytest.raises(ValueError, match="read-only"):
        standard_noise((8, 8), np.random.default_rng(0))[0, 0] = 1
