"""From a method or a run to an exported backbone."""

import copy
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from radnet import __version__
from radnet.errors import RadnetError, UsageError
from radnet.models import Provenance, export_backbone
from radnet.models.counts import training_counts
from radnet.pretrain.checkpoints import Checkpoint, list_checkpoints, load_checkpoint, step_of
from radnet.pretrain.claim import stored_settings
from radnet.pretrain.data import TrainingData
from radnet.pretrain.method import Method
from radnet.pretrain.monitors.best import load_best
from radnet.pretrain.processes import Processes
from radnet.pretrain.registry import build_method
from radnet.pretrain.resume import CHECKPOINTS, load_method_state
from radnet.pretrain.settings import PretrainSettings
from radnet.views import EvaluationView, window_policy
from radnet.views.window import describe_window

WeightsChoice = Literal["last", "best", "ema", "student", "averaged"]
_MEANING = {
    "ema": "exponential moving average of the trained weights (the teacher)",
    "student": "trained weights (the student), not their moving average",
}


def export_run(
    run: Path,
    out: Path,
    *,
    weights: WeightsChoice | None = None,
    step: int | None = None,
    average: int | None = None,
    overwrite: bool = False,
    onnx: bool = False,
) -> Path:
    """Export weights of a run, finished or not.

    Averaging the weights of the last checkpoints often generalises better than any of them (arXiv 1803.05407).

    Args:
        run: The run directory.
        out: Directory of the export.
        weights: "last": the newest checkpoint; "best": those that did best in the online kNN; "ema": the moving
            average that a method's teacher is, and "student" what it follows; "averaged": the mean of several
            checkpoints. None: "averaged" when `average` is more than 1, else "last".
        step: The checkpoint after so many steps; the newest one when None.
        average: Checkpoints that are averaged: this one and those before it. None: all for "averaged".
        overwrite: Replace an earlier export.
        onnx: Write `model.onnx`, too.

    Raises:
        UsageError: `run` is no run, or does not have what is asked for.
        RadnetError: A checkpoint is damaged, or the export, loaded again, differs.
    """
    settings, origin = stored_settings(run)
    choice = weights or ("averaged" if average is not None and average > 1 else "last")
    if choice == "best" and (step is not None or average is not None):
        raise UsageError("The best weights are those of one step", fix="Leave --step and --average out")
    if choice != "averaged" and average is not None and average > 1:
        raise UsageError(f"--average means --weights averaged, not {choice}", seen=average, fix="Give one of them")
    method = build_method(
        settings.method, settings.backbone, seed=settings.seed, backbone_arguments=settings.backbone_arguments
    )
    if choice in ("ema", "student") and method.trained_backbone is method.backbone:
        raise UsageError(
            f"{settings.method['name']} trains one backbone and follows it with no moving average",
            seen=choice,
            file=run,
            fix="Take --weights last, or --weights averaged for the mean of the last checkpoints",
        )
    backbone = method.trained_backbone if choice == "student" else method.backbone
    if choice == "best":
        best, state = load_best(run)
        _load_backbone(backbone, state, run)
        origin = replace(
            origin,
            steps=best.step,
            slices_seen=best.step * settings.batch_size,
            weights=f"best of the run: {best.metric.replace('_', ' ')} {best.score:.4f} after step {best.step}",
        )
    else:
        chosen = _chosen(run, step, choice, average)
        newest = averaged(chosen)
        load_method_state(method, newest, run)
        if len(chosen) > 1:
            origin = replace(
                origin,
                method=f"{origin.method}, average of {len(chosen)} checkpoints",
                weights=f"average of the checkpoints after steps {_listed([step_of(path) for path in chosen])}",
            )
        elif choice in _MEANING:
            origin = replace(origin, weights=_MEANING[choice])
        origin = replace(origin, steps=newest.step, slices_seen=newest.slices_seen)
    return _export(backbone, method, out, settings, origin, overwrite=overwrite, onnx=onnx)


def _chosen(run: Path, step: int | None, choice: str, average: int | None) -> list[Path]:
    """The checkpoints that are exported or averaged, oldest first."""
    found = list_checkpoints(run / CHECKPOINTS)
    if not found:
        raise UsageError("This run has no checkpoint yet", file=run, fix="Wait for it, or lower checkpoint_every_steps")
    steps = [step_of(path) for path in found]
    if step is not None and step not in steps:
        raise UsageError(
            "This run has no checkpoint after this step", seen=step, file=run, fix=f"There are: {_listed(steps)}"
        )
    upto = found[: len(found) if step is None else steps.index(step) + 1]
    count = 1 if choice != "averaged" else len(upto) if average is None else average
    if count < 1 or count > len(upto) or (choice == "averaged" and count < 2):
        raise UsageError(
            f"{len(upto)} checkpoint(s) are there to be averaged ({_listed(steps[: len(upto)])})",
            seen=count,
            file=run,
            fix="Average two or more, and no more than there are; in a run of your own raise keep_checkpoints or set "
            "keep_every_steps",
        )
    return upto[-count:]


def _load_backbone(backbone: nn.Module, state: dict[str, torch.Tensor], run: Path) -> None:
    try:
        backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise RadnetError(
            f"The best weights do not fit the backbone of these settings: {' '.join(str(error).split())[:300]}",
            file=run,
            fix="Take --weights last",
        ) from error


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
    return _export(method.backbone, method, out, settings, origin, overwrite=overwrite)


def _export(
    network: nn.Module,
    method: Method,
    out: Path,
    settings: PretrainSettings,
    origin: Provenance,
    *,
    overwrite: bool,
    onnx: bool = False,
) -> Path:
    backbone = copy.deepcopy(network).cpu()
    backbone.to(memory_format=torch.contiguous_format)  # safetensors takes no other
    return export_backbone(
        backbone,
        out,
        architecture=settings.backbone,
        view=evaluation_view(method, settings),
        provenance=origin,
        overwrite=overwrite,
        onnx=onnx,
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


def provenance(
    settings: PretrainSettings, data: TrainingData, initial: dict[str, Any], *, counted: bool = True
) -> Provenance:
    """What an export says of where it comes from, before the first step.

    Args:
        settings: Of the run.
        data: What it trains on.
        initial: From `load_initial_weights`.
        counted: Count the training slices by region, thickness and so on; one rank does it.
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
        counts=training_counts(data.sets) if counted else {},
    )


def _listed(steps: list[int]) -> str:
    return ", ".join(str(step) for step in steps)
