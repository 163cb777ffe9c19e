"""Where a run stands: what every schedule is a function of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """One optimizer step of a run.

    Attributes:
        step: Optimizer steps done before this one.
        steps_per_epoch: Optimizer steps an epoch.
        total_steps: Optimizer steps of the whole run.
    """

    step: int
    steps_per_epoch: int
    total_steps: int

    @property
    def epoch(self) -> float:
        """Epochs done, with the fraction of the current one."""
        return self.step / self.steps_per_epoch

    @property
    def progress(self) -> float:
        """Share of the run that is done: 0 before the first step, below 1 before the last."""
        return self.step / self.total_steps
