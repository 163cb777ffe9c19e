"""A teacher that follows its student by exponential moving average."""

import math

import torch
from torch import nn


def cosine_momentum(progress: float, *, start: float, end: float = 1.0) -> float:
    """Momentum that rises from `start` to `end` along half a cosine (arXiv 2006.07733, section 3.2).

    Args:
        progress: Share of the run that is done, 0…1.
        start: Momentum of the first step.
        end: Momentum at the end of the run.
    """
    return end - (end - start) * (1 + math.cos(math.pi * progress)) / 2


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Set teacher = momentum * teacher + (1 - momentum) * student, for all parameters.

    Buffers are the teacher's own: it runs its norms on the images that it sees, so its running statistics belong to
    its own weights.

    Args:
        teacher: Changed in place.
        student: Has the same parameters in the same order.
        momentum: Share of the teacher that stays.
    """
    own, others = ([parameter.detach() for parameter in module.parameters()] for module in (teacher, student))
    torch._foreach_lerp_(own, others, 1 - momentum)
