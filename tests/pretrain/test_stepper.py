"""One step, on a method so plain that what it must do can be computed by hand."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from radnet.configs import compose, validated
from radnet.errors import UsageError
from radnet.pretrain.final_form import checkpoint_activations
from radnet.pretrain.memory import explained_out_of_memory
from radnet.pretrain.method import FEATURES, Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.processes import Processes
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.stepper import Outcome, Stepper
from tests.pretrain.methods_for_tests import random_views, small_method

ALONE = Processes(0, 1, torch.device("cpu"))
NOW = Moment(0, 10, 10)


class Plain(Method):
    """Mean squared output of one layer, and a buffer that every batch changes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(4, 2)
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, views: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        features = self.backbone(views[0])
        self.seen = self.seen + views[0].mean(0)  # in another tensor, as lightly's centre does it
        return {"loss": features.float().square().mean(), FEATURES: features.detach().float()}


def _settings(*overrides: str) -> PretrainSettings:
    return validated(
        PretrainSettings, compose("pretrain", ["data=x", "optimizer.name=sgd", *overrides]), "the settings"
    )


def _stepper(method: Method, *overrides: str, lr: float = 0.1) -> tuple[Stepper, torch.optim.Optimizer]:
    settings = _settings(*overrides)
    optimizer = torch.optim.SGD(method.parameters(), lr=lr)
    scaler = torch.amp.GradScaler("cpu", enabled=settings.precision == "fp16", init_scale=2.0**10)
    return Stepper(method, optimizer, scaler, settings, ALONE), optimizer


def _step(stepper: Stepper, batch: torch.Tensor) -> Outcome:
    stepper.accumulate_gradients([batch])
    return stepper.update(NOW, stop=False)


def _batch(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pieces", [2, 4])
def test_micro_batches_give_the_gradients_of_the_whole_batch(pieces: int) -> None:
    one, several = Plain(), Plain()
    (first, _), (second, _) = _stepper(one), _stepper(several, f"accumulate={pieces}")
    assert _step(first, _batch()) == _step(second, _batch()) == Outcome(False, False, False)
    torch.testing.assert_close(several.backbone.weight, one.backbone.weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(second.values["loss"], first.values["loss"])
    assert second.features is not None
    assert second.features.shape == (8 // pieces, 2)


def test_gradients_are_clipped_to_the_norm_asked_for() -> None:
    method = Plain()
    before = [one.detach().clone() for one in method.parameters()]
    stepper, _ = _stepper(method, "optimizer.clip_norm=0.01", lr=1.0)
    _step(stepper, _batch())
    moved = torch.cat([(a.detach() - b).flatten() for a, b in zip(method.parameters(), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(0.01, rel=1e-3)
    assert float(stepper.values["gradient_norm"]) > 0.01


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_batch_that_is_not_finite_leaves_no_trace(precision: str) -> None:
    clean, met = Plain(), Plain()
    (first, _), (second, _) = _stepper(clean, f"precision={precision}"), _stepper(met, f"precision={precision}")
    _step(first, _batch(0))
    _step(first, _batch(1))
    assert not _step(second, _batch(0)).is_bad
    assert _step(second, _batch(2) * float("nan")).is_bad
    assert not _step(second, _batch(1)).is_bad
    assert all(torch.equal(a, b) for a, b in zip(clean.state_dict().values(), met.state_dict().values(), strict=True))


def test_gradients_that_are_not_finite_count_although_the_loss_is() -> None:
    method = Plain()
    before = method.backbone.weight.detach().clone()
    method.backbone.weight.register_hook(lambda gradient: gradient * float("inf"))
    stepper, _ = _stepper(method)
    assert _step(stepper, _batch()).is_bad
    assert torch.isfinite(stepper.values["loss"])
    assert torch.equal(method.backbone.weight, before)


def test_fp16_lowers_its_scale_where_gradients_overflow_and_goes_on() -> None:
    method = Plain()
    settings = _settings("precision=fp16")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    stepper = Stepper(method, torch.optim.SGD(method.parameters(), lr=0.1), scaler, settings, ALONE)
    before = method.backbone.weight.detach().clone()
    outcomes = [_step(stepper, _batch()) for _ in range(40)]
    assert outcomes[0] == Outcome(is_bad=False, is_overflow=True, is_stop=False)
    assert not any(outcome.is_bad for outcome in outcomes)
    assert outcomes[-1] == Outcome(False, False, False)
    assert not torch.equal(method.backbone.weight, before)
    assert scaler.get_scale() < 2.0**40


def test_half_precisions_train_in_half_and_keep_weights_in_full() -> None:
    for precision, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        method, seen = Plain(), []
        method.backbone.register_forward_hook(lambda *given, seen=seen: seen.append(given[2].dtype))
        stepper, _ = _stepper(method, f"precision={precision}")
        _step(stepper, _batch())
        assert seen == [dtype]
        assert stepper.values["loss"].dtype == method.backbone.weight.dtype == torch.float32


@pytest.mark.parametrize(("name", "family"), [("simclr", "residual"), ("mae", "vit")])
def test_activation_checkpointing_gives_the_same_gradients(name: str, family: str) -> None:
    found = []
    for asked in (False, True):
        method = small_method(name, family)
        if asked:
            checkpoint_activations(method.trained_backbone, "x")
        torch.manual_seed(0)
        method(random_views(method, 4))["loss"].backward()
        found.append([one.grad for one in method.parameters() if one.grad is not None])
    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_a_backbone_that_cannot_checkpoint_activations_is_refused() -> None:
    with pytest.raises(UsageError, match="activation_checkpointing=false"):
        checkpoint_activations(nn.Linear(2, 2), "linear")


def test_out_of_memory_names_the_knobs_that_are_left() -> None:
    from radnet.errors import RadnetError

    with pytest.raises(RadnetError) as caught, explained_out_of_memory(_settings("precision=bf16", "accumulate=2")):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    for word in ("accumulate=4", "activation_checkpointing=true", "batch_size=128", "method.views.size"):
        assert word in str(caught.value)
    assert "precision=bf16" not in str(caught.value)
    with pytest.raises(RadnetError, match="Out of memory"), explained_out_of_memory(_settings()):
        torch.empty(1 << 60)  # the CPU's own refusal
    with pytest.raises(RuntimeError, match="something else"), explained_out_of_memory(_settings()):
        raise RuntimeError("something else")
