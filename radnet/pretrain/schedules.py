"""Values that change with the step. Temperatures and momenta of teachers are the methods' own (`before_step`)."""

import math
from dataclasses import dataclass

import torch

from radnet.pretrain.moment import Moment
from radnet.pretrain.optimizers import DECAYED


def warmup_cosine(step: int, *, total: int, warmup: int, peak: float, final: float = 0.0) -> float:
    """Linear from 0 to `peak` over `warmup` steps, then half a cosine down to `final` (arXiv 1608.03983).

    Args:
        step: Step about to be done, from 0.
        total: Number of steps of the run.
        warmup: Steps of the linear part.
        peak: Highest value.
        final: Value after the last step.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    return final + (peak - final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


@dataclass(frozen=True)
class Schedules:
    """What the optimizer's groups are set to before every step.

    Attributes:
        peak_lr: Learning rate after warm-up.
        final_lr: Learning rate after the last step.
        warmup_epochs: Epochs of the linear warm-up.
        weight_decay: Weight decay of decayed groups at the start.
        final_weight_decay: Weight decay after the last step, reached along half a cosine (arXiv 2104.14294).
    """

    peak_lr: float
    final_lr: float
    warmup_epochs: float
    weight_decay: float
    final_weight_decay: float

    def apply(self, optimizer: torch.optim.Optimizer, moment: Moment) -> dict[str, float]:
        """Set learning rate and weight decay for the step at hand.

        Returns:
            The values by name, for the log.
        """
        warmup = round(self.warmup_epochs * moment.steps_per_epoch)
        total = moment.total_steps
        lr = warmup_cosine(moment.step, total=total, warmup=warmup, peak=self.peak_lr, final=self.final_lr)
        decay = warmup_cosine(moment.step, total=total, warmup=0, peak=self.weight_decay, final=self.final_weight_decay)
        for group in optimizer.param_groups:
            group["lr"] = lr
            if group[DECAYED]:
                group["weight_decay"] = decay
        return {"lr": lr, "weight_decay": decay}
