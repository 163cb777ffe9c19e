"""Reading a file of weights that somebody else wrote: tensors come out, and nothing in it is executed."""

import argparse
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from radnet.errors import RadnetError, UsageError

SAFETENSORS = ".safetensors"
_PREFERRED = ("teacher", "state_dict", "model", "model_state_dict", "student")
"""Where the weights lie in a checkpoint that holds several sets of tensors. DINO evaluates its teacher."""

_INERT: list[Any] = [argparse.Namespace]
"""Classes beside tensors that checkpoints of MAE and DINO hold; making one executes nothing."""

_REFUSED = r"[Uu]nsupported (global|GLOBAL|class)|unrecognized function|Can only (create|build)"
"""How torch's unpickler words that something would be called, as against bytes that are no pickle."""

_DEPTH = 3


@dataclass(frozen=True)
class StoredTensors:
    """One set of tensors in a file.

    Attributes:
        member: Where it lies in the file ("teacher", "state_dict"); empty when the file is nothing else.
        tensors: By name.
    """

    member: str
    tensors: dict[str, torch.Tensor]


def read_tensors(path: Path, member: str | None = None) -> StoredTensors:
    """The tensors of a file: safetensors, or what `torch.save` wrote, loaded with `weights_only=True`.

    Args:
        path: The file, or a directory with `model.safetensors`.
        member: Which set of tensors of a checkpoint that has several; None takes the one that is usually meant.

    Raises:
        UsageError: No such file, or it holds no such set.
        RadnetError: It is damaged or cut, or would execute code.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise UsageError("No such file of weights", file=file, fix="Check the path")
    sets = {"": _safetensors(file)} if file.suffix == SAFETENSORS else dict(_sets_in(_torch(file), ""))
    if not any(sets.values()):
        raise UsageError("This file holds no named tensors", file=file, fix="Give a file with a state dict")
    if member is not None and member not in sets:
        raise UsageError(
            "This file has no such set of tensors",
            seen=member,
            file=file,
            fix=f"It has: {', '.join(repr(name) for name in sets)}",
        )
    chosen = member if member is not None else _usual(sets)
    return StoredTensors(chosen, sets[chosen])


def _safetensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise RadnetError(
            f"This file is cut or damaged, or no safetensors file ({error})", file=file, fix="Fetch it again"
        ) from error


def _torch(file: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_INERT):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = _what_it_would_call(file)
        if not foreign and not re.search(_REFUSED, str(error)):
            raise _damaged(file, error) from error
        raise RadnetError(
            "This file is a pickle that holds more than tensors, and loading it would execute code; nothing of it was "
            "executed",
            seen=foreign or str(error).splitlines()[0],
            file=file,
            fix="Where you trust it, save its tensors alone: torch.save(model.state_dict(), FILE), or as safetensors",
        ) from error
    except Exception as error:  # torch raises many kinds for damaged files, all mean the same
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> RadnetError:
    said = str(error).splitlines()[0][:150] if str(error) else ""
    return RadnetError(
        f"This file is cut or damaged, or no file of weights ({type(error).__name__}: {said})",
        file=file,
        fix="Fetch it again",
    )


def _what_it_would_call(file: Path) -> list[str]:
    """Names of what the pickle refers to beyond tensors, for the message."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(file)))
    except Exception:  # the file is what was refused: whatever goes wrong here, the refusal stands
        return []


def _sets_in(value: Any, where: str, depth: int = 0) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Every mapping of names to tensors in a checkpoint, by its place in it."""
    if not isinstance(value, Mapping) or depth > _DEPTH:
        return
    tensors = {name: one for name, one in value.items() if isinstance(name, str) and isinstance(one, torch.Tensor)}
    if tensors and any(one.ndim > 1 for one in tensors.values()):
        yield where, tensors
    for name, one in value.items():
        if isinstance(name, str) and "optim" not in name.lower():
            yield from _sets_in(one, f"{where}.{name}" if where else name, depth + 1)


def _usual(sets: Mapping[str, dict[str, torch.Tensor]]) -> str:
    for name in _PREFERRED:
        if name in sets:
            return name
    return max(sets, key=lambda name: len(sets[name]))
