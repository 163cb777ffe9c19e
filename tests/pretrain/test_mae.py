import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from radnet.configs import compose
from radnet.errors import UsageError
from radnet.pretrain.mae import MAE
from radnet.pretrain.patches import (
    gather_tokens,
    masked_loss,
    mean_picture_loss,
    normalised,
    patch_pixels,
    sine_cosine_positions,
)
from radnet.pretrain.registry import build_method
from tests.pretrain.methods_for_tests import random_views, small_method, small_settings


def _mae(family: str = "vit", **changes: object) -> MAE:
    method = small_method("mae", family, **changes)
    assert isinstance(method, MAE)
    return method


def _pixels(image: NDArray[np.float64], patch: int, number: int) -> NDArray[np.float64]:
    """Patch `number` of an image (C, H, W), as (P * P * C) values with channels last."""
    row, column = divmod(number, image.shape[2] // patch)
    cut = image[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
    return np.moveaxis(cut, 0, -1).reshape(-1)


def _slow_loss(
    images: NDArray[np.float64], predicted: NDArray[np.float64], hidden: NDArray[np.int64], patch: int
) -> float:
    """Section 3 of arXiv 2111.06377, a hidden patch at a time, float64."""
    errors = []
    for image, own, numbers in zip(images, predicted, hidden, strict=True):
        for guess, number in zip(own, numbers, strict=True):
            target = _pixels(image, patch, int(number))
            target = (target - target.mean()) / math.sqrt(target.var() + 1e-6)
            errors.append(np.mean((guess - target) ** 2))
    return float(np.mean(errors))


def test_the_loss_is_that_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, 24, 24, generator=generator)
    hidden = torch.rand(3, 9, generator=generator).argsort(dim=1)[:, :6]
    predicted = torch.randn(3, 6, 8 * 8 * 2, generator=generator)
    target = normalised(patch_pixels(images, 8).gather(1, hidden[:, :, None].expand(-1, -1, 128)))
    expected = _slow_loss(images.double().numpy(), predicted.double().numpy(), hidden.numpy(), 8)
    assert float(masked_loss(predicted, target)) == pytest.approx(expected, rel=1e-6)


def test_the_methods_loss_looks_at_hidden_patches_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole forward pass, with the decoder's predictions caught, against the slow reference."""
    method = _mae()
    (images,) = random_views(method, 4)
    caught: dict[str, torch.Tensor] = {}

    def catch(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        caught["predicted"], caught["order"] = output.detach(), inputs[1]

    method.decoder.register_forward_hook(catch)
    loss = method([images])["loss"]
    hidden = caught["order"][:, method.visible :]
    assert (method.visible, hidden.shape[1]) == (4, 12)  # a quarter of 16 patches
    expected = _slow_loss(images.double().numpy(), caught["predicted"].double().numpy(), hidden.numpy(), 8)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("family", ["vit", "vit averaged"])
def test_the_encoder_is_the_vit_itself_where_all_patches_are_visible(family: str) -> None:
    method = _mae(family).eval()
    (images,) = random_views(method, 4)
    everything = torch.arange(16).expand(4, -1)
    with torch.inference_mode():
        encoded = method.encode(images, everything)
        assert torch.allclose(encoded, method.backbone.forward_features(images), atol=1e-6)
        assert torch.allclose(method.backbone.forward_head(encoded), method.backbone(images), atol=1e-6)


def test_hidden_patches_have_no_influence_on_what_is_predicted() -> None:
    method = _mae().eval()
    (images,) = random_views(method, 2)
    order = method.draw_order(2, images.device)
    changed = images.clone()
    for image, numbers in zip(changed, order[:, method.visible :], strict=True):
        for number in numbers.tolist():
            row, column = divmod(number, 4)
            image[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] += 5
    with torch.inference_mode():
        first, second = (
            method.decoder(method.encode(batch, order[:, : method.visible]), order) for batch in (images, changed)
        )
    assert torch.equal(first, second)


def test_predictions_belong_to_the_places_of_their_patches() -> None:
    """Another order of the same visible and hidden patches gives the same predictions in that order."""
    method = _mae().eval()
    (images,) = random_views(method, 2)
    order = method.draw_order(2, images.device)
    turned = torch.cat([order[:, : method.visible].flip(1), order[:, method.visible :].flip(1)], dim=1)
    with torch.inference_mode():
        first, second = (
            method.decoder(method.encode(images, numbers[:, : method.visible]), numbers) for numbers in (order, turned)
        )
    assert torch.allclose(first, second.flip(1), atol=1e-5)


def test_masks_are_a_function_of_torchs_seed_and_differ_between_slices() -> None:
    method = _mae()
    torch.manual_seed(3)
    first = method.draw_order(50, torch.device("cpu"))
    torch.manual_seed(3)
    assert torch.equal(first, method.draw_order(50, torch.device("cpu")))
    assert len({tuple(row) for row in first[:, : method.visible].sort(dim=1).values.tolist()}) > 40
    assert torch.equal(first.sort(dim=1).values, torch.arange(16).expand(50, -1))


def test_what_the_mean_picture_costs_is_the_loss_of_a_network_that_gives_it_to_all() -> None:
    generator = torch.Generator().manual_seed(0)
    population = torch.rand(4000, 1, 16, 16, generator=generator) + torch.rand(16, 16, generator=generator)
    targets = patch_pixels(population, 8)
    hidden = torch.rand(4000, 4, generator=generator).argsort(dim=1)[:, :3]
    same = targets.mean(dim=0).expand_as(targets)
    truth = float(masked_loss(gather_tokens(same, hidden), gather_tokens(targets, hidden)))
    for batch in (2, 8):  # small batches too, on the average
        costs = [
            float(mean_picture_loss(targets[at : at + batch], hidden[at : at + batch])) for at in range(0, 4000, batch)
        ]
        assert np.mean(costs) == pytest.approx(truth, rel=0.01)


def test_a_method_tells_what_the_mean_picture_of_its_batch_costs() -> None:
    method = _mae()
    (images,) = random_views(method, 8)
    assert method.landmarks(8) == {"collapse": 1.0}
    assert 0.9 < float(method([images])["mean_picture"]) < 1.1  # noise, normalised
    plain = _mae(normalise_targets=False)
    assert plain.landmarks(8) == {}
    same = images[:1].expand_as(images)
    assert float(plain([same])["mean_picture"]) == pytest.approx(0, abs=1e-9)
    assert float(plain([same])["loss"].detach()) > 0.1
    assert "mean_picture" not in plain([images[:1]])


def test_positions_are_sines_and_cosines_of_row_and_column() -> None:
    positions = sine_cosine_positions(16, 3)
    assert positions.shape == (9, 16)
    for number in range(9):
        row, column = divmod(number, 3)
        for half, where in ((positions[number, :8], row), (positions[number, 8:], column)):
            for frequency in range(4):
                angle = where / 10000 ** (frequency / 4)
                assert float(half[frequency]) == pytest.approx(math.sin(angle), abs=1e-6)
                assert float(half[4 + frequency]) == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize("family", ["vit", "vit averaged"])
def test_positions_of_the_vit_are_fixed_and_tokens_have_none(family: str) -> None:
    vit = _mae(family).backbone
    assert vit.pos_embed is not None
    assert not vit.pos_embed.requires_grad
    assert torch.equal(vit.pos_embed[0, -16:], sine_cosine_positions(48, 4))
    assert not vit.pos_embed[0, :-16].any()


def test_its_views_are_one_crop_of_a_slice() -> None:
    method = build_method(
        compose("pretrain", ["data=x", "method=mae", "method.views.size=64"])["method"],
        "vit_tiny_patch16_224",
        seed=0,
    )
    views = method.views(np.arange(1600, dtype=np.int16).reshape(40, 40), np.random.default_rng(0))
    assert [view.shape for view in views] == [(1, 64, 64)]


@pytest.mark.parametrize(
    ("changes", "backbone", "arguments", "words"),
    [
        ({}, "resnet10t", {}, "plain vision transformers .*average-pooled"),
        ({}, "resnet18", {"patch_size": 8, "embed_dim": 96}, "plain vision transformers"),
        ({}, "vit_tiny_patch16_224", {"patches": 8}, "correct backbone_arguments; ~backbone_arguments.NAME"),
        ({}, "convnext_atto", {}, "plain vision transformers"),
        ({}, "deit_tiny_distilled_patch16_224", {}, "plain vision transformers"),
        ({}, "vit_tiny_patch16_224", {"global_pool": "map"}, "attention pooling"),
        ({}, "vit_tiny_patch16_224", {"pos_embed": "none"}, "positions"),
        ({}, "vit_tiny_patch16_224", {"patch_drop_rate": 0.5}, "patch_drop_rate"),
        ({"views": {"size": 40}}, "vit_tiny_patch16_224", {}, "For example 32 px|For example 48 px"),
        ({"views": {"size": 16}}, "vit_tiny_patch16_224", {}, "Of 1 patches"),
        ({"views": {"views": 2}}, "vit_tiny_patch16_224", {}, "one view"),
        ({"views": {"name": "simclr", "views": 2}}, "vit_tiny_patch16_224", {}, "one view"),
        ({"mask_ratio": 1.0}, "vit_tiny_patch16_224", {}, "mask_ratio"),
        ({"decoder_heads": 3}, "vit_tiny_patch16_224", {}, "decoder_heads"),
        ({}, "vit_tiny_patch61_224", {}, "Did you mean"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    changes: dict[str, object], backbone: str, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        build_method(small_settings("mae", **changes), backbone, seed=0, backbone_arguments=arguments)
