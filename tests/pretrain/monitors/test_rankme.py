"""RankMe and the deviation of embeddings against slow references, and on features whose answer is known."""

import math

import numpy as np
import pytest
import torch

from radnet.pretrain.monitors.rankme import NewestFeatures, embedding_std
from radnet.transfer.rankme import rankme


def _reference(features: np.ndarray) -> float:
    """Equations 1 and 2 of arXiv 2210.02885, by a singular value decomposition in float64."""
    sigma = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    entropy = 0.0
    for value in sigma:
        share = value / np.abs(sigma).sum() + 1e-7
        entropy -= share * math.log(share)
    return math.exp(entropy)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (16, 16), (300, 64)])
@pytest.mark.parametrize("decay", [0.0, 0.3, 2.0])
def test_rankme_is_the_papers(shape: tuple[int, int], decay: float) -> None:
    generator = np.random.default_rng(3)
    features = (generator.normal(size=shape) * np.exp(-decay * np.arange(shape[1]))).astype(np.float32)
    assert rankme(torch.from_numpy(features)) == pytest.approx(_reference(features), rel=1e-4)


def test_rankme_of_features_with_a_known_rank() -> None:
    assert rankme(torch.eye(32)) == pytest.approx(32, rel=1e-3)
    assert rankme(torch.ones(500, 64)) == pytest.approx(1, abs=1e-2)
    assert rankme(torch.zeros(8, 4)) == 0
    assert math.isnan(rankme(torch.tensor([[1.0, float("nan")], [0.0, 1.0]])))


def test_rankme_of_a_collapsed_network_with_a_trace_of_noise_is_small() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.ones(512, 64) + 1e-4 * torch.randn(512, 64, generator=generator)
    assert rankme(features) == pytest.approx(_reference(features.numpy()), rel=1e-4)
    assert rankme(features) < 1.2


def test_the_deviation_is_one_on_the_sphere_and_zero_at_a_point() -> None:
    generator = torch.Generator().manual_seed(0)
    assert float(embedding_std(torch.randn(4000, 32, generator=generator))) == pytest.approx(1, abs=0.02)
    assert float(embedding_std(torch.ones(64, 32))) == pytest.approx(0, abs=1e-6)
    unit = torch.nn.functional.normalize(torch.randn(50, 8, generator=generator) + 0.5, dim=1).double().numpy()
    deviation = np.mean([np.sqrt(np.mean((unit[:, d] - unit[:, d].mean()) ** 2)) for d in range(8)]) * math.sqrt(8)
    assert float(embedding_std(torch.from_numpy(unit))) == pytest.approx(deviation, rel=1e-5)


def test_the_newest_rows_are_kept_as_copies() -> None:
    newest = NewestFeatures(5)
    batch = torch.arange(6.0).reshape(3, 2)
    for number in range(4):
        newest.add(batch + 100 * number)
    assert newest.newest()[:, 0].tolist() == [202, 204, 300, 302, 304]
    held = NewestFeatures(5)
    held.add(batch)
    batch += 1  # a compiled model writes its next result over this one
    assert held.newest()[0, 0] == 0
    assert len(held) == 3
    held.clear()
    assert len(held) == 0
