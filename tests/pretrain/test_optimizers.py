import pytest
import torch
from torch import nn

from radnet.configs import compose, validated
from radnet.errors import UsageError
from radnet.pretrain.optimizers import DECAYED, build_optimizer
from radnet.pretrain.settings import PretrainSettings
from radnet.transfer.lars import LARS


def _settings(*overrides: str) -> PretrainSettings:
    return validated(PretrainSettings, compose("pretrain", ["data=x", *overrides]), "the settings")


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD), ("lars", LARS)])
def test_each_is_built_with_its_groups(name: str, kind: type) -> None:
    own = _settings(f"optimizer.name={name}", "optimizer.betas=[0.9,0.95]", "optimizer.momentum=0.8").optimizer
    net = nn.Linear(2, 2)
    groups = [{"params": [net.weight], "weight_decay": 0.1}, {"params": [net.bias], "weight_decay": 0.0}]
    optimizer = build_optimizer(groups, own)
    assert type(optimizer) is kind
    assert [group[DECAYED] for group in optimizer.param_groups] == [True, False]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    known = optimizer.param_groups[0]
    assert known["betas"] == (0.9, 0.95) if name == "adamw" else known["momentum"] == 0.8


@pytest.mark.parametrize(
    ("rule", "batch", "peak"),
    [("none", 4096, 1.2), ("linear", 512, 2.4), ("sqrt", 4096, 0.075 * 64), ("sqrt", 256, 1.2)],
)
def test_the_learning_rate_follows_the_batch_as_asked(rule: str, batch: int, peak: float) -> None:
    """0.075 sqrt(B), the rule of SimCLR's appendix, is 1.2 for 256 slices."""
    settings = _settings("optimizer.lr=1.2", f"optimizer.lr_scale={rule}", f"batch_size={batch}")
    assert settings.peak_lr == pytest.approx(peak)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.name=lars", "optimizer.weight_decay=0"], "LARS scales exactly the tensors that are decayed"),
        (["optimizer.betas=[0.9,1.0]"], "betas"),
        (["optimizer.weight_decay=0", "schedule.final_weight_decay=0.4"], "final_weight_decay goes on from"),
    ],
)
def test_what_cannot_work_is_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _settings(*overrides)
