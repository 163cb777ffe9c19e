"""From a method or a run to an exported backbone."""

import copy
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from radnet import __version__
from radnet.errors import UsageError
from radnet.models import Provenance, export_backbone
from radnet.pretrain.checkpoints import Checkpoint, list_checkpoints, load_checkpoint, step_of
from radnet.pretrain.claim import stored_settings
from radnet.pretrain.data import TrainingData
from radnet.pretrain.method import Method
from radnet.pretrain.processes import Processes
from radnet.pretrain.registry import build_method
from radnet.pretrain.resume import CHECKPOINTS, load_method_state
from radnet.pretrain.settings import PretrainSettings
from radnet.views import EvaluationView, window_policy
from radnet.views.window import describe_window


def export_run(run: Path, out: Path, *, step: int | None = None, average: int = 1, overwrite: bool = False) -> Path:
    """Export a checkpoint of a run, finished or not, or the average of its last ones.

    Averaging the weights of the last checkpoints often generalises better than any of them (arXiv 1803.05407).

    Args:
        run: The run directory.
        out: Directory of the export.
        step: The checkpoint after so many steps; the newest one when None.
        average: Checkpoints that are averaged: this one and those before it.
        overwrite: Replace an earlier export.

    Raises:
        UsageError: `run` is no run, or has no such checkpoint.
    """
    settings, origin = stored_settings(run)
    found = list_checkpoints(run / CHECKPOINTS)
    if not found:
        raise UsageError("This run has no checkpoint yet", file=run, fix="Wait for it, or lower checkpoint_every_steps")
    steps = [step_of(path) for path in found]
    if step is not None and step not in steps:
        raise UsageError(
            "This run has no checkpoint after this step", seen=step, file=run, fix=f"There are: {_listed(steps)}"
        )
    chosen = found[: len(found) if step is None else steps.index(step) + 1]
    if average < 1 or average > len(chosen):
        raise UsageError(
            f"{len(chosen)} checkpoints are there to be averaged ({_listed(steps[: len(chosen)])})",
            seen=average,
            file=run,
            fix="Average fewer; in a run of your own raise keep_checkpoints or set keep_every_steps",
        )
    method = build_method(
        settings.method, settings.backbone, seed=settings.seed, backbone_arguments=settings.backbone_arguments
    )
    newest = averaged(chosen[-average:])
    load_method_state(method, newest, run)
    if average > 1:
        origin = replace(origin, method=f"{origin.method}, average of {average} checkpoints")
    origin = replace(origin, steps=newest.step, slices_seen=newest.slices_seen)
    return export_method(method, out, settings, origin, overwrite=overwrite)


def averaged(paths: list[Path]) -> Checkpoint:
    """The last of some checkpoints, with the mean of all in place of its floating-point weights.

    One is in memory at a time, beside the sums. Counters come from the last one.
    """
    sums: dict[str, torch.Tensor] = {}
    for path in paths:
        checkpoint = load_checkpoint(path)
        for name, tensor in checkpoint.method.items():
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                wide = tensor.double()
                sums[name] = sums[name] + wide if name in sums else wide
    means = {name: (total / len(paths)).to(checkpoint.method[name].dtype) for name, total in sums.items()}
    return replace(checkpoint, method={**checkpoint.method, **means})


def export_method(
    method: Method, out: Path, settings: PretrainSettings, origin: Provenance, *, overwrite: bool = False
) -> Path:
    """Export the backbone of a method as it stands, wherever and however it lies in memory.

    Raises:
        UsageError: `out` exists.
        RadnetError: The export, loaded again, differs.
    """
    backbone = copy.deepcopy(method.backbone).cpu()
    backbone.to(memory_format=torch.contiguous_format)  # safetensors takes no other
    view = evaluation_view(method, settings)
    return export_backbone(
        backbone, out, architecture=settings.backbone, view=view, provenance=origin, overwrite=overwrite
    )


def prove_export(method: Method, settings: PretrainSettings, origin: Provenance, processes: Processes) -> None:
    """Export the untrained backbone to a place that is thrown away: what cannot be exported must not be trained."""
    if processes.is_main:
        with tempfile.TemporaryDirectory() as scratch:
            export_method(method, Path(scratch) / "proof", settings, origin)
    processes.barrier()


def evaluation_view(method: Method, settings: PretrainSettings) -> EvaluationView:
    """The preprocessing that goes with the export: one view of the training size in a fixed window."""
    window = window_policy(settings.evaluation_window)
    recipe = method.views
    mean, std = (recipe.mean,) * recipe.channels, (recipe.std,) * recipe.channels
    return EvaluationView(size=recipe.size, window=window, mean=mean, std=std)


def provenance(settings: PretrainSettings, data: TrainingData, initial: dict[str, Any]) -> Provenance:
    """What an export says of where it comes from, before the first step.

    Args:
        settings: Of the run.
        data: What it trains on.
        initial: From `load_initial_weights`.
    """
    window = settings.method.get("views", {}).get("window", {})
    return Provenance(
        method=settings.method["name"],
        data=data.content,
        synthetic=data.is_synthetic or bool(initial.get("synthetic")),
        steps=0,
        slices_seen=0,
        settings_sha256=settings.sha256(),
        code_version=__version__,
        licence=settings.licence,
        window=describe_window(window_policy(window)) if window else {},
        initial_weights=initial,
    )


def _listed(steps: list[int]) -> str:
    return ", ".join(str(step) for step in steps)
