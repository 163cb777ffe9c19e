"""Two ranks compute what one computes on the same global batch: gradients, centres, running statistics."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from radnet.pretrain.mae import MAE
from radnet.pretrain.method import Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.sync_batch_norm import synchronise_batch_norm
from tests.pretrain.methods_for_tests import random_views, small_method
from tests.pretrain.ranks_for_tests import on_ranks

CASES = [("simclr", "residual"), ("simclr", "mobilenet"), ("dino", "efficientnet"), ("dino", "vit"), ("mae", "vit")]
BATCH = 16
MOMENT = Moment(5, 5, 10)


def _give_masks(method: Method, own: slice) -> None:
    """The masks of the global batch, so that both computations hide the same patches."""
    if isinstance(method, MAE):
        patches = (method.views.size // method.patch) ** 2
        order = torch.rand(BATCH, patches, generator=torch.Generator().manual_seed(1)).argsort(dim=1)[own]
        method.draw_order = lambda batch, device: order  # type: ignore[method-assign]


def _computed(name: str, family: str, rank: int | None) -> dict[str, dict[str, torch.Tensor]]:
    """Gradients before and buffers after one step without an update; `rank` None is the single process."""
    torch.set_num_threads(1)
    # larger views: the norms of a convolutional network then have many values, and rounding does not grow as fast
    method = small_method(name, family, **({"views": {"size": 64}} if name == "simclr" else {}))
    synchronise_batch_norm(method)
    own = slice(0, BATCH) if rank is None else slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    _give_masks(method, own)
    model: nn.Module = method if rank is None else DistributedDataParallel(method)
    method.before_step(MOMENT)
    values = model([view[own] for view in random_views(method, BATCH)])
    values["loss"].backward()
    method.before_update(MOMENT)
    gradients = {key: value.grad for key, value in method.named_parameters() if value.grad is not None}
    method.after_step(MOMENT)
    return {"gradients": gradients, "buffers": method.state_dict(), "loss": {"loss": values["loss"].detach()}}


def _norm(tensors: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([value.double().square().sum() for value in tensors.values()]).sum().sqrt())


@pytest.mark.parametrize(("name", "family"), CASES)
def test_gradients_and_buffers_are_those_of_one_rank(name: str, family: str, tmp_path: Path) -> None:
    alone = _computed(name, family, None)
    ranks: list[Any] = on_ranks(2, lambda rank: _computed(name, family, rank), tmp_path)
    assert sum(float(one["loss"]["loss"]) for one in ranks) / 2 == pytest.approx(float(alone["loss"]["loss"]), rel=1e-5)
    scale = _norm(alone["gradients"])
    for one in ranks:
        assert one["gradients"].keys() == alone["gradients"].keys()
        apart = {key: value - alone["gradients"][key] for key, value in one["gradients"].items()}
        assert _norm(apart) <= 1e-5 * scale
        for key, buffer in alone["buffers"].items():
            assert torch.allclose(one["buffers"][key], buffer, rtol=1e-4, atol=1e-6), key
