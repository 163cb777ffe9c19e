"""Who watches a run: what the loop tells about every step, and what it asks back for the log.

The loop is fast because it does not look. It hands over tensors that still lie on their device, and the observer
decides when a look is worth the wait of `.item()`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from radnet.pretrain.method import Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.processes import Processes
from radnet.pretrain.settings import PretrainSettings


@dataclass(frozen=True)
class RunDescription:
    """A run that is about to start or to go on.

    Attributes:
        settings: Its settings, the method's resolved.
        method: The method itself, on its device; its weights move while the run goes on.
        out: The run directory; `log.jsonl` in it has a line every `settings.log_every_steps` steps.
        processes: This process's place; `is_main` writes files and speaks.
        landmarks: `Method.landmarks` for this batch size.
        steps_per_epoch: Optimizer steps an epoch.
        total_steps: Optimizer steps of the whole run.
        first_step: Steps done before this start; 0 for a fresh run.
    """

    settings: PretrainSettings
    method: Method
    out: Path
    processes: Processes
    landmarks: dict[str, float]
    steps_per_epoch: int
    total_steps: int
    first_step: int


@dataclass(frozen=True)
class StepSeen:
    """One step that was just done, as this rank saw it. No tensor was synchronised.

    Attributes:
        moment: The step; `moment.step` steps were done before it.
        epoch: Number of the epoch, from 0.
        values: Detached scalars of `Method.forward` on the device ("loss", …), the mean over micro-batches, of this
            rank alone.
        scalars: Numbers that the host knows ("lr", "weight_decay", what `Method.before_step` returned).
        features: Detached float32 (B, D) of the last micro-batch of this rank; None when the method gives none.
        waited_s: Seconds that this rank waited for its batches.
        step_s: Seconds from the end of the step before to the end of this one as the host sees them, waiting included.
            On CUDA single values say when work was queued; only sums over many steps are the time that passed.
        slices: Slices of this step on all ranks together.
        is_logged: Whether a line of the log is written for this step; the same on every rank.
    """

    moment: Moment
    epoch: int
    values: Mapping[str, torch.Tensor]
    scalars: Mapping[str, float]
    features: torch.Tensor | None
    waited_s: float
    step_s: float
    slices: int
    is_logged: bool


class Observer(Protocol):
    """Watches a run. Every method is called on every rank, in the same order, unless it says otherwise.

    An observer may use collective operations, if whether it does is a function of the moment alone. It must not draw
    from torch's global generator, change the mode or a tensor of the method, or leave gradients behind: a run gives
    the same losses with and without it.
    """

    def start(self, run: RunDescription) -> None:
        """Called once, after a checkpoint was loaded and before the first step."""

    def step(self, seen: StepSeen) -> dict[str, float]:
        """Called after every step that was done (not for skipped ones).

        Returns:
            Numbers by name for the line of this step; those of rank 0 are written. Where `seen.is_logged` is false
            there is no line and they are lost: what is to be told later belongs into `state_dict` until then.
        """

    def logged(self, line: Mapping[str, float]) -> None:
        """Called on rank 0 with every line right after it went to `log.jsonl`."""

    def checkpoint(self, moment: Moment) -> None:
        """Called after a checkpoint was taken; `moment.step` steps are done and in it."""

    def finish(self) -> None:
        """Called once after the last step and the last checkpoint; not when the run stops before its end."""

    def close(self) -> None:
        """Called at the very end, however the run ended: close files. It must not raise or wait for other ranks."""

    def state_dict(self) -> dict[str, Any]:
        """What rank 0 puts into a checkpoint: numbers, texts, lists, dictionaries and CPU tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Called before `start` with what a checkpoint holds; {} when it was written with another observer."""


class NoObserver:
    """Watches nothing."""

    def start(self, run: RunDescription) -> None:
        """See `Observer`."""

    def step(self, seen: StepSeen) -> dict[str, float]:
        """See `Observer`."""
        return {}

    def logged(self, line: Mapping[str, float]) -> None:
        """See `Observer`."""

    def checkpoint(self, moment: Moment) -> None:
        """See `Observer`."""

    def finish(self) -> None:
        """See `Observer`."""

    def close(self) -> None:
        """See `Observer`."""

    def state_dict(self) -> dict[str, Any]:
        """See `Observer`."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Observer`."""
