"""What a run says while it goes: the lines of the log, and the words beside the progress bar."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from radnet.console import Meter
from radnet.pretrain.log import RunLog
from radnet.pretrain.moment import Moment
from radnet.pretrain.monitors.report import note
from radnet.pretrain.observer import Observer, StepSeen
from radnet.pretrain.processes import Processes
from radnet.pretrain.skipped import SkippedBatches


@dataclass
class Report:
    """Collects what the steps tell and writes a line every few of them.

    Attributes:
        log: `log.jsonl`, written by rank 0.
        observer: Told of every step and of every line.
        meter: Progress, a unit a step.
        skipped: Counts of steps that were left out.
        processes: This process's place.
        every_steps: Steps a line.
        check: Raises what went wrong beside the loop, such as a checkpoint that could not be written.
    """

    log: RunLog
    observer: Observer
    meter: Meter
    skipped: SkippedBatches
    processes: Processes
    every_steps: int
    check: Callable[[], None]
    _slices: int = 0
    _waited_s: float = 0.0
    _since_s: float = field(default_factory=time.monotonic)
    _step_s: float = field(default_factory=time.monotonic)

    def step(
        self,
        moment: Moment,
        epoch: int,
        values: Mapping[str, torch.Tensor],
        scalars: Mapping[str, float],
        *,
        features: torch.Tensor | None,
        waited_s: float,
        slices: int,
        done: bool,
    ) -> None:
        """Take note of one step; every rank calls it for every step.

        Args:
            moment: The step.
            epoch: Number of its epoch.
            values: Detached scalars on the device.
            scalars: Numbers that the host knows.
            features: See `StepSeen`.
            waited_s: Seconds without a batch.
            slices: Slices of the step on all ranks.
            done: Whether the weights were updated; a step that was left out has no line.
        """
        self.check()
        now_s = time.monotonic()
        step_s, self._step_s = now_s - self._step_s, now_s
        self._waited_s, self._slices = self._waited_s + waited_s, self._slices + slices
        number = moment.step + 1
        is_logged = done and (number % self.every_steps == 0 or number == moment.total_steps)
        if done:
            seen = StepSeen(moment, epoch, values, scalars, features, waited_s, step_s, slices, is_logged)
            watched = self.observer.step(seen)
            if is_logged:
                self._write(moment, epoch, values, scalars, watched)
        self.meter.advance()

    def _write(
        self,
        moment: Moment,
        epoch: int,
        values: Mapping[str, torch.Tensor],
        scalars: Mapping[str, float],
        watched: Mapping[str, float],
    ) -> None:
        numbers = self.processes.mean(torch.stack([value.float() for value in values.values()])).tolist()
        if self.processes.is_main:
            spent_s = max(time.monotonic() - self._since_s, 1e-9)
            rate, share = self._slices / spent_s, self._waited_s / spent_s
            line: dict[str, float] = {"step": moment.step + 1, "epoch": epoch, **scalars}
            line |= dict(zip(values, numbers, strict=True))
            line |= {"slices_per_s": rate, "waiting_share": share, **self._counts(), **watched}
            self.log.write(line)
            self.observer.logged(line)
            self.meter.note = note(line, epochs=moment.total_steps // moment.steps_per_epoch)
            if self.skipped.total:
                self.meter.note += f", {self.skipped.total} steps skipped"
        self._waited_s, self._slices, self._since_s = 0.0, 0, time.monotonic()

    def _counts(self) -> dict[str, float]:
        counts = {"skipped_steps": self.skipped.total, "scale_overflows": self.skipped.overflows}
        return {name: count for name, count in counts.items() if count}
