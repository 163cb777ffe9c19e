import copy
from pathlib import Path

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import distributed, nn

from radnet.pretrain.sync_batch_norm import synchronise_batch_norm
from tests.pretrain.ranks_for_tests import on_ranks

ROWS = 12
CUT = 5  # the ranks see 5 and 7 rows


def _input(*shape: int) -> torch.Tensor:
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(0)) * 3 + 100


def _half(rank: int) -> slice:
    return slice(0, CUT) if rank == 0 else slice(CUT, ROWS)


NORMS = {
    "1d": (lambda: nn.BatchNorm1d(4), (4,)),
    "2d": (lambda: nn.BatchNorm2d(4), (4, 3, 3)),
    "cumulative": (lambda: nn.BatchNorm2d(4, momentum=None), (4, 3, 3)),
    "not affine": (lambda: nn.BatchNorm2d(4, affine=False), (4, 3, 3)),
    "with activation": (lambda: BatchNormAct2d(4, act_layer="silu"), (4, 3, 3)),
}


@pytest.mark.parametrize("kind", NORMS)
def test_it_is_the_batch_norm_of_the_whole_batch(kind: str, tmp_path: Path) -> None:
    make, shape = NORMS[kind]
    torch.manual_seed(0)
    network = nn.Sequential(make())
    for value in network.parameters():
        nn.init.normal_(value)
    values = _input(*shape)
    weights = torch.arange(float(values.numel())).view_as(values).cos()

    def passed(model: nn.Module, own: slice) -> dict[str, torch.Tensor]:
        rows = values[own].clone().requires_grad_()
        out = model(rows)
        (out * weights[own]).sum().backward()
        gradients = {f"{key} gradient": value.grad for key, value in model.named_parameters()}
        return {"out": out.detach(), "input": rows.grad, **gradients, **model.state_dict()}  # type: ignore[dict-item]

    def work(rank: int) -> dict[str, torch.Tensor]:
        model = copy.deepcopy(network)
        synchronise_batch_norm(model)
        return passed(model, _half(rank))

    first, second = on_ranks(2, work, tmp_path)
    expected = passed(network, slice(None))
    assert first.keys() == expected.keys()
    for key, value in expected.items():
        if key in ("out", "input"):
            found = torch.cat([first[key], second[key]])
        elif key.endswith("gradient"):
            found = first[key] + second[key]
        else:
            found = second[key]
        assert torch.allclose(found, value, rtol=1e-4, atol=1e-4), key


def test_names_activations_and_evaluation_stay(tmp_path: Path) -> None:
    network = timm.create_model("test_efficientnet", num_classes=0, in_chans=1)
    picture = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = copy.deepcopy(network).eval()(picture).detach()

    def work(rank: int) -> dict[str, object]:
        before = {key: id(value) for key, value in network.state_dict(keep_vars=True).items()}
        synchronise_batch_norm(network)
        after = {key: id(value) for key, value in network.state_dict(keep_vars=True).items()}
        plain = [key for key, module in network.named_modules() if type(module) in (nn.BatchNorm2d, BatchNormAct2d)]
        return {"same": before == after, "plain": plain, "out": network.eval()(picture).detach()}

    for result in on_ranks(2, work, tmp_path):
        assert result["same"]
        assert result["plain"] == []
        assert torch.equal(result["out"], expected)


def test_one_rank_keeps_its_layers() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2))
    synchronise_batch_norm(network)
    assert type(network[0]) is nn.BatchNorm1d


def test_with_nccl_timms_layers_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversion alone, which needs no GPU."""
    network = nn.Sequential(
        timm.create_model("test_efficientnet", num_classes=0, in_chans=1), nn.BatchNorm1d(256)
    ).eval()
    picture = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    expected, keys = network(picture), list(network.state_dict())
    for name, value in {"is_initialized": True, "get_world_size": 2, "get_backend": "nccl"}.items():
        monkeypatch.setattr(distributed, name, lambda value=value: value)
    synchronise_batch_norm(network)
    assert list(network.state_dict()) == keys
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert all(isinstance(module, nn.SyncBatchNorm) for module in norms)
    assert torch.equal(network(picture), expected)
