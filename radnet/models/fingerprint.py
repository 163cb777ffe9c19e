"""What a model is made from, told without loading it, so that what was once learnt about its weights can be kept."""

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from radnet.hashing import settings_hash
from radnet.models.names import ModelName
from radnet.models.provenance import CONFIG
from radnet.models.transform import RUN_EXPORT
from radnet.models.weights import local_weights_directory, packaged_file

MAKERS = ("timm", "torch")
"""Packages that decide what random weights are, and which architecture a name stands for."""


def fingerprint(name: ModelName, *, seed: int, size: int | None) -> str | None:
    """A hash that changes when a name may stand for other weights.

    Files count by path, size and time of their last change; so do the modules of this package, which make a model of
    them.

    Args:
        name: The model's name.
        seed: Seed of the weights of `random:` models.
        size: Side of the pictures that it is loaded for.

    Returns:
        64 hex digits. None when only loading tells: weights on a hub, a name of the zoo, files that are not there.
    """
    files = _files(name)
    if files is None:
        return None
    stats = [(str(file), *_stamp(file)) for file in (*files, *sorted(Path(__file__).parent.glob("*.py")))]
    about = {"name": str(name), "seed": seed, "size": size, "versions": [_version(package) for package in MAKERS]}
    return settings_hash({**about, "files": stats})


def _files(name: ModelName) -> Sequence[Path] | None:
    """Files that hold the weights."""
    if name.scheme == "random":
        return ()
    if name.scheme == "timm":
        directory = local_weights_directory(name.value)
        if directory is None:
            packaged = packaged_file(name.value)
            return None if packaged is None else (packaged,)
    elif name.scheme in ("run", "local-dir"):
        directory = Path(name.value).resolve() / (RUN_EXPORT if name.scheme == "run" else "")
    else:
        return None
    return sorted(directory.iterdir()) if (directory / CONFIG).is_file() else None


@cache
def _version(package: str) -> str:
    return metadata.version(package)


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns
