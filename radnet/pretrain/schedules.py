"""Values that change with the step."""

import math


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
