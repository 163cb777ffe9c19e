"""One pretraining run: from settings to an exported backbone.

A run directory holds `settings.json`, `log.jsonl`, `checkpoints/` and, once the run is finished, `export/`.
"""

import json
import tempfile
from pathlib import Path

from radnet import __version__
from radnet.configs import compose, validated
from radnet.console import progress, say
from radnet.errors import UsageError
from radnet.files import write_atomically
from radnet.models import Provenance, export_backbone
from radnet.models.load import RUN_EXPORT
from radnet.pretrain.checkpoints import Checkpoint, load_checkpoint, newest_checkpoint, save_checkpoint
from radnet.pretrain.log import RunLog
from radnet.pretrain.loop import TrainingState, train
from radnet.pretrain.method import Method
from radnet.pretrain.optimizers import build_optimizer
from radnet.pretrain.processes import Processes, join_processes
from radnet.pretrain.registry import build_method, resolve_method
from radnet.pretrain.settings import PretrainSettings
from radnet.shards import BatchOrder, ShardSet, Stream
from radnet.views import EvaluationView, window_policy
from radnet.views.window import describe_window

SETTINGS, CHECKPOINTS, LOG = "settings.json", "checkpoints", "log.jsonl"


def pretrain(overrides: list[str]) -> Path:
    """Run `radnet pretrain` with Hydra overrides, alone or as one rank under torchrun.

    An unfinished run in the same directory with the same settings is continued.

    Returns:
        The run directory.

    Raises:
        UsageError: The settings are wrong, or the directory holds another run.
        RadnetError: The work failed.
    """
    settings = validated(PretrainSettings, compose("pretrain", overrides), "the settings of radnet pretrain")
    shards = ShardSet.open(settings.data)
    with join_processes(settings.device) as processes:
        return _run(settings, shards, processes)


def _run(settings: PretrainSettings, shards: ShardSet, processes: Processes) -> Path:
    out = Path(settings.out)
    rows = shards.rows("train")
    settings = settings.model_copy(update={"method": resolve_method(settings.method, slices=len(rows))})
    method = build_method(
        settings.method, settings.backbone, seed=settings.seed, backbone_arguments=settings.backbone_arguments
    )
    evaluation_view(method, settings)  # a wrong evaluation_window is refused now, not at the export
    if settings.batch_size % processes.world_size:
        raise UsageError(
            f"batch_size is of all ranks together and must divide by their number, {processes.world_size}",
            seen=settings.batch_size,
            fix=f"For example batch_size={settings.batch_size // processes.world_size * processes.world_size or 2}",
        )
    order = BatchOrder(len(rows), settings.batch_size // processes.world_size, processes.world_size, settings.seed)
    _claim_directory(out, settings, shards, processes)
    if (out / RUN_EXPORT).is_dir():
        say(f"This run is finished: {out}")
        return out
    _prove_export(method, settings, shards, processes)
    method.to(processes.device)
    optimizer = build_optimizer(method.parameter_groups(settings.optimizer.weight_decay), settings.optimizer)
    stream = Stream(
        shards,
        rows,
        method.views,
        order,
        rank=processes.rank,
        workers=settings.workers,
        pin_memory=processes.device.type == "cuda",
    )
    state = TrainingState(method, optimizer, stream)
    _resume(state, out)
    log = RunLog(out / LOG)
    if processes.is_main:
        log.rewind(state.step)
        say(
            f"{settings.method['name']} on {settings.backbone}: {len(rows)} training slices, "
            f"{len(stream)} steps an epoch, {settings.epochs} epochs, {processes.world_size} process(es) on "
            f"{processes.device.type}" + (f", continued at step {state.step}" if state.step else "")
        )
    with progress("pretraining (steps)", settings.epochs * len(stream)) as meter:
        meter.done = state.step
        train(
            state,
            settings,
            processes,
            log=log,
            meter=meter,
            checkpoint=lambda at: _save(at, out / CHECKPOINTS, settings.keep_checkpoints),
        )
    stream.close()
    if processes.is_main:
        _export(method, out / RUN_EXPORT, settings, provenance(settings, shards, state.step, state.slices_seen))
        say(f"finished: {out}, load it as run:{out}")
    processes.barrier()
    return out


def export_run(run: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Export the newest checkpoint of a run, finished or not.

    Raises:
        UsageError: `run` is no run or has no checkpoint yet.
    """
    if not (run / SETTINGS).is_file():
        raise UsageError("This is no run: it has no settings.json", file=run, fix="Make one with: radnet pretrain")
    newest = newest_checkpoint(run / CHECKPOINTS)
    if newest is None:
        raise UsageError("This run has no checkpoint yet", file=run, fix="Wait for it, or lower checkpoint_every_steps")
    stored = json.loads((run / SETTINGS).read_text())
    settings = validated(PretrainSettings, stored["settings"], f"{run / SETTINGS}")
    method = build_method(
        settings.method, settings.backbone, seed=settings.seed, backbone_arguments=settings.backbone_arguments
    )
    checkpoint = load_checkpoint(newest)
    method.load_state_dict(checkpoint.method)
    origin = Provenance(**{**stored["provenance"], "steps": checkpoint.step, "slices_seen": checkpoint.slices_seen})
    return _export(method, out, settings, origin, overwrite=overwrite)


def evaluation_view(method: Method, settings: PretrainSettings) -> EvaluationView:
    """The preprocessing that goes with the export: one view of the training size in a fixed window."""
    window = window_policy(settings.evaluation_window)
    recipe = method.views
    mean, std = (recipe.mean,) * recipe.channels, (recipe.std,) * recipe.channels
    return EvaluationView(size=recipe.size, window=window, mean=mean, std=std)


def provenance(settings: PretrainSettings, shards: ShardSet, steps: int, slices_seen: int) -> Provenance:
    """What the export says of where it comes from."""
    window = settings.method.get("views", {}).get("window", {})
    return Provenance(
        method=settings.method["name"],
        data={shards.manifest.name: shards.manifest.content_hash()},
        synthetic=shards.manifest.synthetic != "none",
        steps=steps,
        slices_seen=slices_seen,
        settings_sha256=settings.sha256(),
        code_version=__version__,
        licence=settings.licence,
        window=describe_window(window_policy(window)) if window else {},
    )


def _claim_directory(out: Path, settings: PretrainSettings, shards: ShardSet, processes: Processes) -> None:
    """Make the run directory, or check that it belongs to a run with the same settings."""
    known = out / SETTINGS
    if known.is_file():
        stored = json.loads(known.read_text())
        before, now = stored["settings"], settings.identity()
        differing = [
            f"{key}: {before.get(key)!r} before, {now[key]!r} now" for key in now if before.get(key) != now[key]
        ]
        data = stored["provenance"]["data"]
        if shards.manifest.content_hash() not in data.values():
            differing.append(f"data: a set with other content than {', '.join(data)}")
        if differing:
            raise UsageError(
                f"This directory holds a run with other settings: {'; '.join(differing)}",
                file=out,
                fix="Give another out=…, or the settings of before",
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("The output exists and is no run", file=out, fix="Give another out=…")
    processes.barrier()
    if processes.is_main:
        origin = vars(provenance(settings, shards, 0, 0))
        stored = {"settings": settings.model_dump(mode="json"), "provenance": origin}
        write_atomically(known, json.dumps(stored, indent=2) + "\n")
    processes.barrier()


def _prove_export(method: Method, settings: PretrainSettings, shards: ShardSet, processes: Processes) -> None:
    """Export the untrained backbone to a place that is thrown away: what cannot be exported must not be trained."""
    if processes.is_main:
        with tempfile.TemporaryDirectory() as scratch:
            _export(method, Path(scratch) / "proof", settings, provenance(settings, shards, 0, 0))
    processes.barrier()


def _export(
    method: Method, out: Path, settings: PretrainSettings, origin: Provenance, *, overwrite: bool = False
) -> Path:
    view = evaluation_view(method, settings)
    return export_backbone(
        method.backbone, out, architecture=settings.backbone, view=view, provenance=origin, overwrite=overwrite
    )


def _save(state: TrainingState, directory: Path, keep: int) -> None:
    checkpoint = Checkpoint(
        step=state.step,
        method=state.method.state_dict(),
        optimizer=state.optimizer.state_dict(),
        stream=state.stream.state_dict(),
        slices_seen=state.slices_seen,
    )
    save_checkpoint(directory, checkpoint, keep)


def _resume(state: TrainingState, out: Path) -> None:
    """Continue from the newest checkpoint, when there is one."""
    newest = newest_checkpoint(out / CHECKPOINTS)
    if newest is None:
        return
    checkpoint = load_checkpoint(newest)
    state.method.load_state_dict(checkpoint.method)
    state.optimizer.load_state_dict(checkpoint.optimizer)
    state.stream.load_state_dict(checkpoint.stream)
    state.step, state.slices_seen = checkpoint.step, checkpoint.slices_seen
