import math

import numpy as np
import pytest
import torch

from radnet.configs import compose
from radnet.errors import UsageError
from radnet.pretrain.registry import build_method
from radnet.pretrain.simclr import SimCLR

SMALL = {"hidden_dim": 16, "output_dim": 8}


def _settings(**views: object) -> dict[str, object]:
    settings = compose("pretrain", ["data=x"])["method"]
    return {**settings, **SMALL, "views": {**settings["views"], "size": 32, **views}}


def _method(backbone: str = "resnet10t", **views: object) -> SimCLR:
    method = build_method(_settings(**views), backbone, seed=0)
    assert isinstance(method, SimCLR)
    return method


def _slow_nt_xent(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Equation 1 of arXiv 2002.05709, term by term, float64."""
    z = np.concatenate([first, second]).astype(np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    n = len(first)
    total = 0.0
    for i in range(2 * n):
        positive = (i + n) % (2 * n)
        others = sum(math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(float(z[i] @ z[positive]) / temperature) / others)
    return total / (2 * n)


def test_the_loss_is_nt_xent() -> None:
    method = _method()
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(6, 8, generator=generator) for _ in range(2))
    expected = _slow_nt_xent(first.numpy(), second.numpy(), method.loss.temperature)
    assert float(method.loss(first, second)) == pytest.approx(expected, rel=1e-6)


def test_parameters_stand_in_exactly_one_group_and_norms_are_spared() -> None:
    method = _method()
    decayed, spared = method.parameter_groups(0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    ids = [id(parameter) for group in (decayed, spared) for parameter in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert all(parameter.ndim == 1 for parameter in spared["params"])


def test_positions_and_tokens_of_a_vit_are_not_decayed() -> None:
    method = build_method(_settings(), "vit_tiny_patch16_224", seed=0, backbone_arguments={"img_size": 32})
    spared = {id(parameter) for parameter in method.parameter_groups(0.1)[1]["params"]}
    assert id(method.backbone.pos_embed) in spared
    assert id(method.backbone.cls_token) in spared


def test_the_same_seed_gives_the_same_initial_weights() -> None:
    first, second, other = (build_method(_settings(), "resnet10t", seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_several_windows_are_several_channels() -> None:
    method = _method(window={"policy": "multi", "names": ["brain", "bone"]})
    views = method.views(np.zeros((40, 40), dtype=np.int16), np.random.default_rng(0))
    assert [view.shape for view in views] == [(2, 32, 32)] * 2
    assert method([torch.from_numpy(np.stack([view] * 4)) for view in views])["loss"].ndim == 0


def test_the_reference_studys_views_go_through_simclr() -> None:
    settings = compose("pretrain", ["data=x", "views@method.views=reference_study", "method.views.size=32"])["method"]
    method = build_method({**settings, **SMALL}, "resnet10t", seed=0)
    views = method.views(np.arange(1600, dtype=np.int16).reshape(40, 40), np.random.default_rng(0))
    assert [view.shape for view in views] == [(1, 32, 32)] * 2
    assert (method.views.mean, method.views.std) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperatur": 0.1}, "Did you mean temperature"),
        ({"temperature": -1}, "temperature"),
        ({"name": "simcrl"}, "Did you mean simclr"),
        ({"views": {"sizes": 32}}, "Did you mean size"),
        ({"views": {"window": {"policy": "fixd"}}}, "Did you mean fixed"),
        ({"views": {"name": "multicrop"}}, "two views of one size"),
        ({"views": {"name": "simcrl"}}, "Did you mean simclr"),
    ],
)
def test_wrong_settings_are_explained(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_method({**_settings(), **change}, "resnet10t", seed=0)


def test_the_landmarks_are_the_losses_of_chance_and_of_perfect_views() -> None:
    method = _method()
    method.loss.temperature = 0.5
    marks = method.landmarks(512)
    assert marks["floor"] == pytest.approx(math.log(1 + 1022 * math.exp(-2)))  # the reference study's 4.937
    same = torch.ones(512, 8)
    assert float(method.loss(same, same)) == pytest.approx(marks["chance"], rel=1e-6)
    apart = torch.eye(512)
    assert float(method.loss(apart, apart)) == pytest.approx(marks["floor"], rel=1e-6)


def test_an_image_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="For example 32 px"):
        build_method(_settings(size=36), "vit_tiny_patch16_224", seed=0)
