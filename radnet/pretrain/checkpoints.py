"""Training state on disk: whole or not there, newest found by itself, loaded without executing anything."""

import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from radnet.console import warn
from radnet.errors import RadnetError
from radnet.files import atomic_file

FORMAT = 2
_PATTERN = "step-*.pt"
_DIGITS = 9


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on.

    Attributes:
        step: Steps done.
        slices_seen: Slices shown so far, repeats counted.
        stream: Epoch and step of the next batch.
        method: State of the method.
        optimizer: State of the optimizer.
        scaler: State of fp16's loss scale; {} for other precisions.
        skipped: Counts of steps that were left out.
        observer: State of what watches the run.
        origin: "method", "backbone" and "optimizer" by name, and the number of ranks ("world_size").
        format: Changes when older readers would misread the rest.
    """

    step: int
    slices_seen: int
    stream: dict[str, int]
    method: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    observer: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


def save_checkpoint(directory: Path, checkpoint: Checkpoint, keep: int, keep_every: int | None = None) -> Path:
    """Write under a temporary name, flush, rename; then remove old ones.

    Args:
        directory: Where checkpoints lie.
        checkpoint: What is saved.
        keep: The newest so many stay.
        keep_every: Those after a multiple of so many steps stay, too.

    Raises:
        RadnetError: The disk is full; the checkpoints of before are all there.
    """
    path = directory / f"step-{checkpoint.step:0{_DIGITS}d}.pt"
    with atomic_file(path) as file:
        try:
            torch.save(vars(checkpoint), file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error  # torch ends its archive all the same, and that fails in other words
            raise
    for old in list_checkpoints(directory)[:-keep]:
        if keep_every is None or step_of(old) % keep_every:
            old.unlink()
    return path


def list_checkpoints(directory: Path) -> list[Path]:
    """All checkpoints, oldest first. What a killed process was writing has another name."""
    return sorted(directory.glob(_PATTERN))


def step_of(path: Path) -> int:
    """The number of steps that a checkpoint's name states."""
    return int(path.stem.removeprefix("step-"))


def remove_leftovers(directory: Path) -> None:
    """Remove what killed processes were writing. No other process may be writing here."""
    for path in directory.glob(f".{_PATTERN}.*"):
        path.unlink()


def newest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint with the most steps, None when there is none."""
    return max(directory.glob(_PATTERN), default=None)


def newest_loadable(directory: Path) -> tuple[Path, Checkpoint] | None:
    """The newest checkpoint that can be loaded; damaged ones are named and passed over. None when there is none.

    Raises:
        RadnetError: There are checkpoints and all are damaged.
    """
    found = list_checkpoints(directory)
    for path in reversed(found):
        try:
            return path, load_checkpoint(path)
        except RadnetError as error:
            if path == found[0]:
                raise
            warn(f"{error} It is passed over.")
    return None


def load_checkpoint(source: Path | bytes, name: Path | None = None) -> Checkpoint:
    """Load a checkpoint onto the CPU with `weights_only=True`.

    Args:
        source: The file, or its bytes.
        name: How bytes are called in messages.

    Raises:
        RadnetError: The file is damaged or holds something else.
    """
    path = source if isinstance(source, Path) else name
    try:
        file = source if isinstance(source, Path) else io.BytesIO(source)
        values = torch.load(file, map_location="cpu", weights_only=True)
        written = values.get("format", 1)
        checkpoint = Checkpoint(**values) if written == FORMAT else None
    except Exception as error:  # torch raises many kinds for damaged files, all mean the same
        raise RadnetError(
            f"This checkpoint cannot be loaded ({type(error).__name__})",
            file=path,
            fix="Remove the file; the run then goes on from the one before",
        ) from error
    if checkpoint is None:
        raise RadnetError(
            f"This checkpoint was written by a version of radnet with another format, {written}; this one reads "
            f"{FORMAT}",
            file=path,
            fix="Finish the run with the version that began it, or start again with another out=…",
        )
    return checkpoint


class CheckpointWriter:
    """Writes checkpoints beside the training: a run waits for the copy to memory and not for the disk.

    Args:
        directory: Where checkpoints go.
        keep: See `save_checkpoint`.
        keep_every: See `save_checkpoint`.

    Attributes:
        writing: The one under way, or whose end nobody has heard of.
    """

    def __init__(self, directory: Path, keep: int, keep_every: int | None = None) -> None:
        self._directory, self._keep, self._keep_every = directory, keep, keep_every
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.writing: Future[Path] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Copy what may change, and write it in the background, one checkpoint at a time.

        Raises:
            RadnetError: The one before could not be written.
        """
        self.wait()
        kept = Checkpoint(**{name: _copied(value) for name, value in vars(checkpoint).items()})
        self.writing = self._thread.submit(save_checkpoint, self._directory, kept, self._keep, self._keep_every)

    def check(self) -> None:
        """Raise what went wrong in the background, without waiting.

        Raises:
            RadnetError: A checkpoint could not be written.
        """
        if self.writing is not None and self.writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the last checkpoint is on the disk.

        Raises:
            RadnetError: It could not be written.
        """
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Let the last checkpoint come to its end, whatever it is; raises nothing."""
        self._thread.shutdown(wait=True)


def _copied(value: Any) -> Any:
    """The same nested value with tensors of its own on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(one) for one in value)
    return value
