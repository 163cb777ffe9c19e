"""LARS: every layer learns at the same pace relative to the size of its weights (arXiv 1708.03888).

torch has none. lightly's is right and asks the device for every norm on the host, hundreds of waits a step on a GPU;
this one stays on the device.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim.optimizer import Optimizer


class LARS(Optimizer):
    """SGD with momentum whose gradient is scaled per tensor by a trust ratio.

    For a tensor w with gradient g in a decayed group (equation 6 of the paper, SimCLR's exclusions):

        d = g + decay * w,  d *= trust * |w| / (|g| + decay * |w|)    where |w| > 0 and |g| > 0
        v = momentum * v + d,  w -= lr * v

    A tensor whose norm, or whose gradient's norm, is zero gets d = g + decay * w as it is: without this guard a
    zero-initialised tensor would have a ratio of 0 and never move. Groups without decay (norms, biases, tokens,
    positions) are plain SGD.

    Args:
        params: Tensors or groups.
        lr: Learning rate.
        momentum: Momentum of the velocity v.
        weight_decay: Of groups that do not say.
        trust_coefficient: `trust` above.
        eps: Added to the denominator.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update; `closure` computes the loss again, as in torch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(weights, group)
        return loss

    def _update(self, weights: list[torch.Tensor], group: dict[str, Any]) -> None:
        updates: Any = [weight.grad for weight in weights]
        decay = group["weight_decay"]
        if decay > 0:
            ratios: Any = _trust_ratios(weights, updates, decay, group["trust_coefficient"], group["eps"])
            updates = torch._foreach_add(updates, weights, alpha=decay)
            torch._foreach_mul_(updates, ratios)
        velocities = []
        for weight in weights:
            state = self.state[weight]
            if "velocity" not in state:
                state["velocity"] = torch.zeros_like(weight)
            velocities.append(state["velocity"])
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, updates)
        torch._foreach_add_(weights, velocities, alpha=-group["lr"])


def _trust_ratios(
    weights: list[torch.Tensor], gradients: list[torch.Tensor], decay: float, trust: float, eps: float
) -> list[torch.Tensor]:
    """One 0-dimensional ratio a tensor, on its device, 1 where a norm is zero."""
    size = torch.stack(torch._foreach_norm(weights))
    slope = torch.stack(torch._foreach_norm(gradients))
    ratio = trust * size / (slope + decay * size + eps)
    return list(torch.where((size > 0) & (slope > 0), ratio, torch.ones_like(ratio)).unbind())
