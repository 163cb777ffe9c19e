"""The training loop: batches in, steps out. Nothing here knows which method it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from radnet.console import Meter
from radnet.errors import RadnetError
from radnet.pretrain.log import RunLog
from radnet.pretrain.method import FEATURES, Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.processes import Processes
from radnet.pretrain.schedules import warmup_cosine
from radnet.pretrain.settings import PretrainSettings
from radnet.shards import Stream


@dataclass
class TrainingState:
    """Where a run stands; `step` and `slices_seen` count what is done.

    Attributes:
        method: The method, on its device.
        optimizer: Its optimizer, built after the method took its final form.
        stream: This rank's batches.
        step: Steps done.
        slices_seen: Slices shown on all ranks, repeats counted.
    """

    method: Method
    optimizer: torch.optim.Optimizer
    stream: Stream
    step: int = 0
    slices_seen: int = 0


def train(
    state: TrainingState,
    settings: PretrainSettings,
    processes: Processes,
    *,
    log: RunLog,
    meter: Meter,
    checkpoint: Callable[[TrainingState], None],
) -> None:
    """Run from `state` to the end of the last epoch.

    Args:
        state: Fresh, or from a checkpoint; changed in place.
        settings: The run's settings.
        processes: This process's place.
        log: Where rank 0 writes its lines.
        meter: Progress, a unit a step.
        checkpoint: Called on rank 0 after every `checkpoint_every_steps` steps and at the end.

    Raises:
        RadnetError: The loss is not finite.
    """
    device, total = processes.device, settings.epochs * len(state.stream)
    warmup = round(settings.schedule.warmup_epochs * len(state.stream))
    model: nn.Module = state.method
    if processes.world_size > 1:
        model = DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
    model.train()
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")
    waited_s, since_s, since_slices = 0.0, time.monotonic(), state.slices_seen
    while state.step < total:
        asked_s = time.monotonic()
        for batch in state.stream:
            waited_s += time.monotonic() - asked_s
            lr = warmup_cosine(
                state.step, total=total, warmup=warmup, peak=settings.optimizer.lr, final=settings.schedule.final_lr
            )
            for group in state.optimizer.param_groups:
                group["lr"] = lr
            _seed_step(settings.seed, processes.rank, state.step)
            moment = Moment(state.step, len(state.stream), total)
            state.method.before_step(moment)
            views = [_to_device(view, device, settings.channels_last) for view in batch.views]
            with autocast:
                values = model(views)
            values.pop(FEATURES, None)
            loss = values["loss"]
            if not torch.isfinite(loss):
                raise RadnetError(
                    f"The loss is not finite at step {state.step}",
                    seen=float(loss.detach()),
                    fix="Lower optimizer.lr, set optimizer.clip_norm=1, or use precision=fp32",
                )
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            state.method.before_update(moment)
            if settings.optimizer.clip_norm is not None:
                nn.utils.clip_grad_norm_(state.method.parameters(), settings.optimizer.clip_norm)
            state.optimizer.step()
            state.step += 1
            state.slices_seen += len(batch.rows) * processes.world_size
            state.method.after_step(moment)
            if processes.is_main and (state.step % settings.log_every_steps == 0 or state.step == total):
                now_s = time.monotonic()
                spent_s = max(now_s - since_s, 1e-9)
                line = {name: float(value.detach()) for name, value in values.items()}
                rate = (state.slices_seen - since_slices) / spent_s
                log.write(
                    {
                        "step": state.step,
                        "epoch": batch.epoch,
                        "lr": lr,
                        **line,
                        "slices_per_s": rate,
                        "waiting_share": waited_s / spent_s,
                    }
                )
                meter.note = f"epoch {batch.epoch + 1}/{settings.epochs}, loss {line['loss']:.3f}, {rate:.0f} slices/s"
                waited_s, since_s, since_slices = 0.0, now_s, state.slices_seen
            meter.advance()
            if processes.is_main and (state.step % settings.checkpoint_every_steps == 0 or state.step == total):
                checkpoint(state)
            asked_s = time.monotonic()


def _to_device(view: torch.Tensor, device: torch.device, channels_last: bool) -> torch.Tensor:
    moved = view.to(device, dtype=torch.float32, non_blocking=True)
    return moved.contiguous(memory_format=torch.channels_last) if channels_last else moved


def _seed_step(seed: int, rank: int, step: int) -> None:
    """Make dropout and the like a function of (seed, rank, step), so that resuming needs no random state."""
    torch.manual_seed(((seed * 1_000_003 + rank) * 1_000_003 + step) % 2**63)
