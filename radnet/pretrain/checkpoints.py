"""Training state on disk: whole or not there, newest found by itself, loaded without executing anything."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from radnet.errors import RadnetError
from radnet.files import write_atomically

_PATTERN = "step-*.pt"
_DIGITS = 9


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on.

    Attributes:
        step: Steps done.
        method: State of the method.
        optimizer: State of the optimizer.
        stream: Position of the stream.
        slices_seen: Slices shown so far, repeats counted.
    """

    step: int
    method: dict[str, Any]
    optimizer: dict[str, Any]
    stream: dict[str, int]
    slices_seen: int


def save_checkpoint(directory: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write under a temporary name, flush, rename; then remove all but the newest `keep`.

    Raises:
        RadnetError: The disk is full.
    """
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    path = directory / f"step-{checkpoint.step:0{_DIGITS}d}.pt"
    write_atomically(path, buffer.getvalue())
    for old in sorted(directory.glob(_PATTERN))[:-keep]:
        old.unlink()
    return path


def newest_checkpoint(directory: Path) -> Path | None:
    """The complete checkpoint with the most steps, None when there is none."""
    return max(directory.glob(_PATTERN), default=None)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint onto the CPU with `weights_only=True`.

    Raises:
        RadnetError: The file is damaged or holds something else.
    """
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for damaged files, all mean the same
        raise RadnetError(
            f"This checkpoint cannot be loaded ({type(error).__name__})",
            file=path,
            fix="Remove the file; the run then goes on from the one before",
        ) from error
