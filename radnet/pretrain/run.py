"""One pretraining run: from settings to an exported backbone.

A run directory holds `settings.json`, `log.jsonl`, `checkpoints/` and, once the run is finished, `export/`; also
`skipped.jsonl` when steps were left out, and `stopped.json` while a stopped run waits to be continued.
"""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from radnet.configs import compose, validated
from radnet.console import progress, say, warn
from radnet.errors import UsageError
from radnet.files import write_atomically
from radnet.models.load import RUN_EXPORT
from radnet.pretrain.checkpoints import CheckpointWriter
from radnet.pretrain.claim import claim
from radnet.pretrain.data import TrainingData
from radnet.pretrain.exporting import evaluation_view, export_method, export_run, prove_export, provenance
from radnet.pretrain.final_form import into_final_form
from radnet.pretrain.initial import load_initial_weights
from radnet.pretrain.log import RunLog
from radnet.pretrain.loop import TrainingState, train
from radnet.pretrain.moment import Moment
from radnet.pretrain.monitors.monitor import monitor_of
from radnet.pretrain.observer import Observer, RunDescription
from radnet.pretrain.optimizers import build_optimizer
from radnet.pretrain.processes import Processes, join_processes
from radnet.pretrain.registry import build_method, resolve_method
from radnet.pretrain.report import Report
from radnet.pretrain.resume import CHECKPOINTS, resume, snapshot
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.skipped import SKIPPED, SkippedBatches
from radnet.pretrain.stopping import EXIT_CODE_STOPPED, STOPPED, StoppedError, listening
from radnet.shards import Stream

__all__ = ["export_run", "pretrain"]

LOG = "log.jsonl"


def pretrain(overrides: list[str]) -> Path:
    """Run `radnet pretrain` with Hydra overrides, alone or as one rank under torchrun.

    An unfinished run in the same directory with the same settings is continued.

    Returns:
        The run directory.

    Raises:
        UsageError: The settings are wrong, or the directory holds another run.
        StoppedError: A signal asked for it; the run can be continued.
        RadnetError: The work failed.
    """
    settings = validated(PretrainSettings, compose("pretrain", overrides), "the settings of radnet pretrain")
    data = TrainingData.open(settings)
    with join_processes(settings.device, settings.timeout_minutes) as processes, ExitStack() as closing:
        return _run(settings, data, processes, closing)


def _run(settings: PretrainSettings, data: TrainingData, processes: Processes, closing: ExitStack) -> Path:
    out = Path(settings.out)
    slices = len(data.rows)
    settings = settings.model_copy(update={"method": resolve_method(settings.method, slices=slices)})
    method = build_method(
        settings.method, settings.backbone, seed=settings.seed, backbone_arguments=settings.backbone_arguments
    )
    # a wrong evaluation_window or a set without labels is refused now, not at the export or the first kNN
    observer: Observer = monitor_of(settings, evaluation_view(method, settings))
    order = data.order(_batch_of_a_rank(settings, processes), processes.world_size, settings.seed)
    initial = load_initial_weights(method, settings.initial_weights)
    origin = provenance(settings, data, initial, counted=processes.is_main)
    claimed = claim(out, settings, origin, processes, closing)
    if claimed.is_finished:
        say(f"This run is finished: {out}")
        return out
    prove_export(method, settings, origin, processes)
    into_final_form(method, settings, processes)
    stream = Stream(
        data.source,
        data.rows,
        method.views,
        order,
        rank=processes.rank,
        workers=settings.workers,
        pin_memory=processes.device.type == "cuda",
        dtype=settings.view_dtype,
    )
    state = TrainingState(
        method,
        build_optimizer(method.parameter_groups(settings.optimizer.weight_decay), settings.optimizer),
        torch.amp.GradScaler(processes.device.type, enabled=settings.precision == "fp16"),
        stream,
        SkippedBatches(RunLog(out / SKIPPED), data.keys, settings.max_skipped_in_a_row),
    )
    resume(state, observer, settings, out, processes)
    claimed.accept_changes()
    total = settings.epochs * len(stream)
    if processes.is_main:
        RunLog(out / LOG).rewind(state.step)
        state.skipped.log.rewind(state.step)
        say(
            f"{settings.method['name']} on {settings.backbone}: {slices} training slices"
            + (f" of {len(data.sets)} sets, " if len(data.sets) > 1 else ", ")
            + (f"from {initial['pretraining']}, " if initial else "")
            + f"{len(stream)} steps an epoch, {settings.epochs} epochs, {processes.world_size} process(es) on "
            f"{processes.device.type}" + (f", continued at step {state.step}" if state.step else "")
        )
    landmarks = method.landmarks(settings.batch_size // settings.accumulate)
    described = RunDescription(settings, method, out, processes, landmarks, len(stream), total, state.step)
    _train(state, settings, processes, described, observer)
    origin = replace(origin, steps=state.step, slices_seen=state.slices_seen)
    if processes.is_main:
        if state.skipped.total:
            warn(f"{state.skipped.total} steps were skipped, the slices are named in {state.skipped.log.path}")
        export_method(method, out / RUN_EXPORT, settings, origin, overwrite=True)
        say(f"finished: {out}, load it as run:{out}")
    processes.barrier()
    return out


def _train(
    state: TrainingState,
    settings: PretrainSettings,
    processes: Processes,
    described: RunDescription,
    observer: Observer,
) -> None:
    """The loop with all that runs beside it, and what must be in order when it ends in whatever way."""
    out, total = described.out, described.total_steps
    with ExitStack() as closing:
        closing.callback(state.stream.close)
        closing.callback(observer.close)
        writer = CheckpointWriter(out / CHECKPOINTS, settings.keep_checkpoints, settings.keep_every_steps)
        closing.callback(writer.close)
        stop = closing.enter_context(listening(processes.launcher))
        meter = closing.enter_context(progress("pretraining (steps)", total))
        meter.done = saved = state.step

        def checkpoint(at: TrainingState) -> None:
            nonlocal saved
            saved = at.step
            if processes.is_main:
                writer.save(snapshot(at, observer, settings, processes))
            observer.checkpoint(Moment(at.step, described.steps_per_epoch, total))

        observer.start(described)
        report = Report(
            RunLog(out / LOG), observer, meter, state.skipped, processes, settings.log_every_steps, check=writer.check
        )
        is_finished = train(state, settings, processes, report=report, stop=stop, checkpoint=checkpoint)
        writer.wait()
        if is_finished:
            observer.finish()
            return
        if processes.is_main:
            left = {"step": saved, "signal": stop.by, "exit_code": EXIT_CODE_STOPPED}
            write_atomically(out / STOPPED, json.dumps(left) + "\n")
    processes.barrier()
    held = "its checkpoint is written" if saved == state.step else f"steps after {saved} are not in a checkpoint"
    raise StoppedError(
        f"The run was stopped by {stop.by or 'another process'} after step {state.step} of {total}, and {held}",
        file=out,
        fix="Run the same command again and it goes on from there",
    )


def _batch_of_a_rank(settings: PretrainSettings, processes: Processes) -> int:
    """Slices a step on each rank.

    Raises:
        UsageError: The batch does not divide.
    """
    parts = processes.world_size * settings.accumulate
    if settings.batch_size % parts:
        raise UsageError(
            f"batch_size is of all processes together and must divide by their number, {processes.world_size}"
            + (f", times accumulate, {settings.accumulate}" if settings.accumulate > 1 else ""),
            seen=settings.batch_size,
            fix=f"For example batch_size={max(settings.batch_size // parts, 1) * parts}",
        )
    return settings.batch_size // processes.world_size
