from itertools import pairwise

import pytest
import torch
from torch import nn

from radnet.pretrain.moment import Moment
from radnet.pretrain.optimizers import DECAYED
from radnet.pretrain.schedules import Schedules, warmup_cosine


def test_it_climbs_to_the_peak_and_ends_at_the_final_value() -> None:
    values = [warmup_cosine(step, total=100, warmup=10, peak=2.0, final=0.5) for step in range(101)]
    assert values[0] == pytest.approx(0.2)
    assert values[9] == values[10] == pytest.approx(2.0)
    assert values[55] == pytest.approx((2.0 + 0.5) / 2)
    assert values[100] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(values[10:]))


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert warmup_cosine(0, total=10, warmup=0, peak=1.0) == 1.0


def test_learning_rate_and_weight_decay_are_set_and_spared_groups_stay_spared() -> None:
    weight, bias = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD(
        [
            {"params": [weight], "weight_decay": 0.04, DECAYED: True},
            {"params": [bias], "weight_decay": 0.0, DECAYED: False},
        ],
        lr=1.0,
    )
    schedules = Schedules(peak_lr=2.0, final_lr=0.5, warmup_epochs=1, weight_decay=0.04, final_weight_decay=0.4)
    seen = [schedules.apply(optimizer, Moment(step, 10, 100)) for step in range(100)]
    assert [group["lr"] for group in optimizer.param_groups] == [seen[-1]["lr"]] * 2
    assert optimizer.param_groups[0]["weight_decay"] == seen[-1]["weight_decay"]
    assert optimizer.param_groups[1]["weight_decay"] == 0.0
    assert seen[0]["lr"] == pytest.approx(0.2)
    assert seen[10]["lr"] == pytest.approx(2.0)
    assert seen[0]["weight_decay"] == pytest.approx(0.04)
    assert seen[50]["weight_decay"] == pytest.approx(0.22)
    assert all(later["weight_decay"] > earlier["weight_decay"] for earlier, later in pairwise(seen))
