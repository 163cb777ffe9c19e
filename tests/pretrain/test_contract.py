"""What every method promises, on every family of backbones that it takes."""

import copy
import shutil
from pathlib import Path

import pytest
import timm
import torch

from radnet.configs import names_in
from radnet.models import Provenance, export_backbone
from radnet.pretrain.method import FEATURES, Method
from radnet.pretrain.registry import METHODS
from radnet.views import EvaluationView
from tests.pretrain.methods_for_tests import BACKBONES, CASES, ONE_FAMILY, do_step, random_views, small_method

BATCH = 8
every_case = pytest.mark.parametrize(("name", "family"), CASES)
few_cases = pytest.mark.parametrize(("name", "family"), ONE_FAMILY)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _sgd(method: Method) -> torch.optim.Optimizer:
    return torch.optim.SGD(method.parameter_groups(0.01), lr=0.1, momentum=0.9)


def test_every_method_has_its_config_and_its_cases() -> None:
    assert set(METHODS) == set(names_in("method")) == {name for name, _ in CASES} == {name for name, _ in ONE_FAMILY}


@every_case
def test_every_trainable_tensor_moves(name: str, family: str) -> None:
    method = small_method(name, family)
    before = {key: value.detach().clone() for key, value in method.named_parameters()}
    # no decay, which moves everything; and Adam, because behind a scale of 1e-6 gradients are small, not absent
    optimizer = torch.optim.Adam(method.parameter_groups(0.0), lr=0.01)
    for step in range(3):  # layers behind a zero-initialised scale get their first gradient in the second step
        do_step(method, optimizer, random_views(method, BATCH, seed=step), step)
    still = [key for key, value in method.named_parameters() if value.requires_grad and torch.equal(value, before[key])]
    assert still == []
    assert all(value.isfinite().all() for value in method.state_dict().values())


@every_case
def test_gradients_reach_the_trained_backbone_and_nothing_that_is_frozen(name: str, family: str) -> None:
    method = small_method(name, family)
    method(random_views(method, BATCH))["loss"].backward()
    for key, value in method.named_parameters():
        assert (value.grad is not None) == value.requires_grad, key
    assert any(value.grad is not None for value in method.trained_backbone.parameters())


@every_case
def test_values_are_scalars_and_features_are_the_exported_backbones(name: str, family: str) -> None:
    method = small_method(name, family)
    views = random_views(method, BATCH)
    values = method(views)
    features = values.pop(FEATURES)
    width = method.backbone(views[0]).shape[1]
    assert (tuple(features.shape), features.dtype, features.requires_grad) == ((BATCH, width), torch.float32, False)
    assert values["loss"].requires_grad
    for value in values.values():
        assert (value.ndim, value.dtype) == (0, torch.float32)
        assert value.isfinite()
    assert set(method.landmarks(256)) <= {"chance", "collapse", "floor"}


@every_case
def test_bf16_is_near_fp32_and_the_loss_stays_in_float32(name: str, family: str) -> None:
    method = small_method(name, family)
    views = random_views(method, BATCH)
    torch.manual_seed(0)
    exact = float(copy.deepcopy(method)(views)["loss"].detach())
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(views)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(exact, rel=0.03)
    assert all(value.grad.isfinite().all() for value in method.parameters() if value.grad is not None)


@every_case
def test_a_loaded_state_continues_to_the_bit(name: str, family: str) -> None:
    method = small_method(name, family)
    optimizer = _sgd(method)
    do_step(method, optimizer, random_views(method, BATCH), 0)
    other = small_method(name, family, seed=7)
    other_optimizer = _sgd(other)
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    other_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in (1, 2):
        views = random_views(method, BATCH, seed=step)
        assert do_step(other, other_optimizer, views, step) == do_step(method, optimizer, views, step)
    first, second = method.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@every_case
def test_timm_reloads_the_export_with_the_same_features(name: str, family: str, tmp_path: Path) -> None:
    method = small_method(name, family)
    do_step(method, _sgd(method), random_views(method, BATCH), 0)
    view = EvaluationView(size=method.views.size, mean=(0.5,), std=(0.5,))
    out = export_backbone(
        method.backbone, tmp_path / "export", architecture=BACKBONES[family][0], view=view, provenance=Provenance(name)
    )
    loaded = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=0).eval()
    assert type(loaded) is type(method.backbone)
    picture = random_views(method, BATCH, seed=5)[0]
    with torch.inference_mode():
        assert torch.equal(loaded(picture), method.backbone.eval()(picture))


@few_cases
def test_checkpointed_activations_give_the_same_gradients(name: str, family: str) -> None:
    plain, frugal = small_method(name, family), small_method(name, family)
    frugal.trained_backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    for method in (plain, frugal):
        torch.manual_seed(0)
        method(random_views(method, BATCH))["loss"].backward()
    for (key, one), other in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        assert one.grad is None or torch.allclose(one.grad, other.grad, rtol=1e-5, atol=1e-7), key  # type: ignore[arg-type]


def _compiled_agrees(name: str, family: str, backend: str) -> None:
    method = small_method(name, family)
    expected = copy.deepcopy(method)
    keys = list(method.state_dict())
    method.compile_backbone(backend=backend)
    assert list(method.state_dict()) == keys
    # steps so small that the rounding of one does not grow in the next
    optimizers = [torch.optim.SGD(one.parameter_groups(0.01), lr=1e-4) for one in (expected, method)]
    for step in range(2):
        views = random_views(method, BATCH, seed=step)
        eager, compiled = (
            do_step(one, optimizer, views, step) for one, optimizer in zip((expected, method), optimizers, strict=True)
        )
        assert compiled == pytest.approx(eager, rel=1e-5)


@pytest.mark.parametrize("name", ["simclr", "dino"])
def test_traced_by_dynamo_a_network_with_batch_norms_gives_the_same_loss(name: str) -> None:
    _compiled_agrees(name, "residual", "eager")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_by_inductor_it_gives_the_same_loss() -> None:
    _compiled_agrees("dino", "vit", "inductor")  # the largest graph; it takes half a minute a method


@pytest.mark.parametrize("name", METHODS)
def test_forward_and_backward_are_captured_whole(name: str) -> None:
    """All that a compiler gets to see, without the minutes in which it makes machine code of it."""
    _compiled_agrees(name, "vit", "aot_eager")
