"""Optimizers by name. Built last, when every layer is in its final form."""

from typing import Any

import torch

from radnet.pretrain.settings import OptimizerSettings
from radnet.transfer.lars import LARS

DECAYED = "decayed"
"""Key of a parameter group that says whether weight decay (and LARS's trust ratio) is for it."""


def build_optimizer(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer for the parameter groups of a method; the schedules set its values before every step.

    Args:
        groups: From `Method.parameter_groups`.
        settings: `optimizer` in the config.
    """
    marked = [{**group, DECAYED: group["weight_decay"] > 0} for group in groups]
    if settings.name == "sgd":
        return torch.optim.SGD(marked, lr=settings.lr, momentum=settings.momentum)
    if settings.name == "lars":
        return LARS(marked, lr=settings.lr, momentum=settings.momentum, trust_coefficient=settings.trust_coefficient)
    return torch.optim.AdamW(marked, lr=settings.lr, betas=settings.betas)
