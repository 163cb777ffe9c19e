"""Optimizers by name. Built last, when every layer is in its final form."""

from typing import Any

import torch

from radnet.pretrain.settings import OptimizerSettings


def build_optimizer(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer for the parameter groups of a method; the learning rate is set before every step.

    Args:
        groups: From `Method.parameter_groups`.
        settings: `optimizer` in the config.
    """
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.lr)
