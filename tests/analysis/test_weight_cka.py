"""The study's CKA of weights, step by step as the study takes them."""

import numpy as np
import pytest
import torch
from torch import nn

from radnet.analysis.weight_cka import feature_reuse, first_layers, uniqueness, weight_rows
from radnet.errors import RadnetError


def study_steps(x: torch.Tensor, y: torch.Tensor) -> float:
    """RBF kernels with the median of nonzero squared distances as squared bandwidth, centred by H on both sides."""
    kernels = []
    for rows in (x, y):
        distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        kernel = torch.exp(-0.5 * distances / torch.median(distances[distances != 0]))
        h = torch.eye(len(rows), dtype=rows.dtype) - 1 / len(rows)
        kernels.append(h @ kernel @ h)
    k, m = kernels
    return float((k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt())


def as_study(weight: torch.Tensor) -> torch.Tensor:
    return weight.moveaxis(1, -1).flatten(end_dim=-2)


def test_feature_reuse_and_uniqueness_are_the_studys() -> None:
    torch.manual_seed(0)
    before = torch.randn(16, 3, 3, 3, dtype=torch.float64)
    after = before + 0.2 * torch.randn_like(before)
    x, y = (weight_rows(weight.numpy()) for weight in (before, after))
    assert np.array_equal(x, as_study(before).numpy())
    assert feature_reuse(x, x) == pytest.approx(1)
    assert feature_reuse(x, y) == pytest.approx(study_steps(as_study(before), as_study(after)), abs=1e-9)
    parts = as_study(before).chunk(8)
    expected = [1 - study_steps(parts[i], parts[j]) for i in range(8) for j in range(i + 1, 8)]
    assert uniqueness(x) == pytest.approx((np.mean(expected), np.std(expected)), abs=1e-9)


def test_layers_that_do_not_divide_are_refused() -> None:
    with pytest.raises(RadnetError, match="8 equal parts"):
        uniqueness(np.ones((9, 3)))
    assert np.isnan(feature_reuse(np.ones((8, 3)), np.eye(8)[:, :3]))


def test_the_first_convolutions_are_taken_and_linear_layers_where_there_are_too_few() -> None:
    cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(2, 2), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1))
    assert {name: rows.shape for name, rows in first_layers(cnn).items()} == {"0": (36, 1), "1": (36, 4), "3": (8, 4)}
    transformer = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 4))
    assert list(first_layers(transformer)) == ["0", "1", "2"]
