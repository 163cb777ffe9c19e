"""Saving where a run stands, and going on from there to the bit."""

from pathlib import Path
from typing import Any

import torch

from radnet.console import say
from radnet.errors import RadnetError
from radnet.pretrain.checkpoints import Checkpoint, load_checkpoint, newest_loadable, remove_leftovers
from radnet.pretrain.loop import TrainingState
from radnet.pretrain.method import Method
from radnet.pretrain.observer import Observer
from radnet.pretrain.processes import Processes
from radnet.pretrain.settings import PretrainSettings

CHECKPOINTS = "checkpoints"


def snapshot(state: TrainingState, observer: Observer, settings: PretrainSettings, processes: Processes) -> Checkpoint:
    """Where a run stands; its tensors are the live ones."""
    epoch, step = divmod(state.step, len(state.stream))
    return Checkpoint(
        step=state.step,
        slices_seen=state.slices_seen,
        stream={"epoch": epoch, "step": step},
        method=state.method.state_dict(),
        optimizer=state.optimizer.state_dict(),
        scaler=state.scaler.state_dict(),
        skipped=state.skipped.state_dict(),
        observer=observer.state_dict(),
        origin={**_names(settings), "world_size": processes.world_size},
    )


def resume(
    state: TrainingState, observer: Observer, settings: PretrainSettings, out: Path, processes: Processes
) -> None:
    """Continue from the newest checkpoint, when there is one.

    Rank 0 alone reads; the others get what it found. The global batches of a step do not depend on the number of
    ranks, so it may have changed.

    Args:
        state: Fresh; changed in place.
        observer: Gets back its state.
        settings: The run's settings.
        out: The run directory.
        processes: This process's place.

    Raises:
        RadnetError: All checkpoints are damaged, or they are of another method.
    """
    checkpoint = _newest(out / CHECKPOINTS, processes)
    if checkpoint is None:
        return
    for name, value in _names(settings).items():
        if checkpoint.origin[name] != value:
            raise RadnetError(
                f"The newest checkpoint is of another {name}: {checkpoint.origin[name]}, and the run trains {value}",
                file=out / CHECKPOINTS,
                fix="Remove what does not belong here, or give another out=…",
            )
    load_method_state(state.method, checkpoint, out)
    _load_optimizer(state.optimizer, checkpoint.optimizer)
    if state.scaler.is_enabled() and checkpoint.scaler:
        state.scaler.load_state_dict(checkpoint.scaler)
    state.stream.load_state_dict(checkpoint.stream)
    state.skipped.load_state_dict(checkpoint.skipped)
    observer.load_state_dict(checkpoint.observer)
    state.step, state.slices_seen = checkpoint.step, checkpoint.slices_seen
    before = checkpoint.origin["world_size"]
    if before != processes.world_size:
        say(
            f"{before} process(es) have become {processes.world_size}: the steps see the same slices as before, but "
            "sums are rounded otherwise and each process's batch norms see another share, so losses will not be the "
            "same to the bit"
        )


def load_method_state(method: Method, checkpoint: Checkpoint, run: Path) -> None:
    """Load the weights of a method, all of them or none.

    Raises:
        RadnetError: The checkpoint has other tensors.
    """
    try:
        method.load_state_dict(checkpoint.method)
    except RuntimeError as error:
        raise RadnetError(
            f"The checkpoint after step {checkpoint.step} does not fit the method of these settings: "
            f"{' '.join(str(error).split())[:300]}",
            file=run,
            fix="Give the settings of before, or another out=…",
        ) from error


def _load_optimizer(optimizer: torch.optim.Optimizer, stored: dict[str, Any]) -> None:
    """What it has gathered comes from the checkpoint, momentum and the like from the settings, which may have changed.

    Raises:
        ValueError: The groups of parameters are others.
    """
    fresh = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(stored)
    for group, values in zip(optimizer.param_groups, fresh, strict=True):
        group.update(values)


def _names(settings: PretrainSettings) -> dict[str, str]:
    return {
        "method": str(settings.method["name"]),
        "backbone": settings.backbone,
        "optimizer": settings.optimizer.name,
    }


def _newest(directory: Path, processes: Processes) -> Checkpoint | None:
    held: list[Checkpoint] = []

    def look() -> str | None:
        remove_leftovers(directory)
        found = newest_loadable(directory)
        if found is None:
            return None
        held.append(found[1])
        return str(found[0])

    name = processes.rank_0_decides(look)
    if name is None:
        return None
    data = Path(name).read_bytes() if processes.is_main and processes.world_size > 1 else b""
    data = processes.bytes_of_rank_0(data)
    return held[0] if held else load_checkpoint(data, Path(name))
