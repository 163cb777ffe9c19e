"""The training loop: batches in, steps out. Nothing here knows which method it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from radnet.pretrain.arrival import Arrival, Arrived
from radnet.pretrain.memory import explained_out_of_memory
from radnet.pretrain.method import Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.processes import Processes
from radnet.pretrain.report import Report
from radnet.pretrain.schedules import Schedules
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.skipped import SkippedBatches
from radnet.pretrain.stepper import Stepper
from radnet.pretrain.stopping import StopRequest
from radnet.shards import Stream


@dataclass
class TrainingState:
    """Where a run stands; `step` and `slices_seen` count what is done.

    Attributes:
        method: The method, in its final form and on its device.
        optimizer: Its optimizer, built after that.
        scaler: The loss scale of fp16; disabled otherwise.
        stream: This rank's batches.
        skipped: Counts of steps that were left out.
        step: Steps done, skipped ones counted.
        slices_seen: Slices shown on all ranks, repeats counted.
    """

    method: Method
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    stream: Stream
    skipped: SkippedBatches
    step: int = 0
    slices_seen: int = 0


def train(
    state: TrainingState,
    settings: PretrainSettings,
    processes: Processes,
    *,
    report: Report,
    stop: StopRequest,
    checkpoint: Callable[[TrainingState], None],
) -> bool:
    """Run from `state` to the end of the last epoch, or until some rank is asked to stop.

    Args:
        state: Fresh, or from a checkpoint; changed in place.
        settings: The run's settings.
        processes: This process's place.
        report: Told of every step.
        stop: Whether this process was asked to stop.
        checkpoint: Called on every rank after every `checkpoint_every_steps` steps, when stopped, and at the end.

    Returns:
        Whether the run came to its end.

    Raises:
        RadnetError: Too many steps in a row were not finite, memory ran out, or a sample cannot be read.
    """
    method, stream = state.method, state.stream
    total = settings.epochs * len(stream)
    schedules = Schedules(
        settings.peak_lr,
        settings.schedule.final_lr,
        settings.schedule.warmup_epochs,
        settings.optimizer.weight_decay,
        settings.optimizer.weight_decay
        if settings.schedule.final_weight_decay is None
        else settings.schedule.final_weight_decay,
    )
    stepper = Stepper(method, state.optimizer, state.scaler, settings, processes)
    arrival = Arrival(stream, processes.device, channels_last=settings.channels_last)
    coming = arrival.take() if state.step < total else None
    is_due = False
    while coming is not None:
        batch = coming
        waited_s = arrival.waited_s()
        moment = Moment(state.step, len(stream), total)
        scalars = schedules.apply(state.optimizer, moment)
        _seed_step(settings.seed, processes.rank, state.step)
        scalars |= method.before_step(moment)
        with explained_out_of_memory(settings):
            stepper.accumulate_gradients(batch.views)
        batch.views = []
        coming = _next(arrival, stop) if state.step + 1 < total else None
        with explained_out_of_memory(settings):
            outcome = stepper.update(moment, stop=stop.by is not None)
        state.step += 1
        slices = len(batch.rows) * processes.world_size
        state.slices_seen += slices
        if outcome.is_bad:
            state.skipped.skip(state.step, batch, stepper.values, processes)
        elif outcome.is_overflow:
            state.skipped.overflows += 1
        else:
            state.skipped.good()
            method.after_step(moment)
        report.step(
            moment,
            batch.epoch,
            stepper.values,
            scalars,
            features=stepper.features,
            waited_s=waited_s,
            slices=slices,
            done=not outcome.is_bad and not outcome.is_overflow,
        )
        is_due |= outcome.is_stop or state.step % settings.checkpoint_every_steps == 0
        # weights that give a loss of NaN must not become the newest checkpoint
        if (is_due and not state.skipped.in_a_row) or state.step == total:
            checkpoint(state)
            is_due = False
        # after steps that were left out it goes on to the next good one, for the sake of the checkpoint
        is_held = state.skipped.in_a_row > 0 and outcome.is_stop and _all_have(coming, processes)
        if outcome.is_stop and state.step < total and not is_held:
            return False
    return True


def _next(arrival: Arrival, stop: StopRequest) -> Arrived | None:
    """The next batch; none when a signal to all processes has ended the loader's workers, too."""
    try:
        return arrival.take()
    except RuntimeError:
        if stop.by is None:
            raise
        return None


def _all_have(coming: Arrived | None, processes: Processes) -> bool:
    """Whether no rank lacks its next batch."""
    missing = torch.tensor([coming is None], dtype=torch.int32, device=processes.device)
    return not bool(processes.greatest(missing)[0])


def _seed_step(seed: int, rank: int, step: int) -> None:
    """Make dropout and the like a function of (seed, rank, step), so that resuming needs no random state."""
    torch.manual_seed(((seed * 1_000_003 + rank) * 1_000_003 + step) % 2**63)
