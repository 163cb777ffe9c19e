"""Features, extracted once for each (weights, set, view) and shared by every probe.

Shape legend: N slices of the set, D features.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from radnet.console import progress
from radnet.errors import RadnetError
from radnet.files import explained_disk_errors
from radnet.hashing import settings_hash
from radnet.models import LoadedModel
from radnet.shards import ShardSet
from radnet.shards.streams import no_opencv_threads, start_worker
from radnet.views import EvaluationView

CACHE_VARIABLE = "RADNET_CACHE"
_REVISION = 1


def default_cache() -> Path:
    """`$RADNET_CACHE`, or `radnet` in the user's cache directory."""
    root = os.environ.get(CACHE_VARIABLE)
    return Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "radnet"


class _Slices(Dataset[torch.Tensor | RadnetError]):
    """Every slice of a set through one view; a slice that cannot be read is its error.

    A loader worker hands an error that is raised on as one long text; as an item it arrives as it is.
    """

    def __init__(self, shards: ShardSet, view: EvaluationView) -> None:
        self._shards, self._view = shards, view

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, row: int) -> torch.Tensor | RadnetError:
        try:
            return torch.from_numpy(self._view(self._shards.read_image(row))[0])
        except RadnetError as error:
            return error


def _stack(items: list[torch.Tensor | RadnetError]) -> torch.Tensor | RadnetError:
    """A batch, or the first error among its items."""
    errors = [item for item in items if isinstance(item, RadnetError)]
    return errors[0] if errors else torch.stack([item for item in items if isinstance(item, torch.Tensor)])


def features_of(
    model: LoadedModel,
    shards: ShardSet,
    view: EvaluationView,
    *,
    cache: Path,
    batch_size: int = 128,
    workers: int = 0,
    device: torch.device | None = None,
) -> NDArray[np.float32]:
    """Features of every slice of a set, from the cache when they are there.

    Args:
        model: Frozen model in eval mode.
        shards: The set.
        view: What the model sees of a slice; the same for every model but for channels and normalisation.
        cache: Directory of the cache; files in it are whole or not there.
        batch_size: Slices a forward pass.
        workers: Loader processes.
        device: Where to compute, CPU by default.

    Returns:
        float32, (N, D), memory-mapped, in the order of the set's index.

    Raises:
        RadnetError: A slice cannot be read, or the disk is full.
    """
    key = settings_hash(
        {
            "revision": _REVISION,
            "weights": model.weights_sha256,
            "architecture": model.architecture,
            "set": shards.manifest.content_hash(),
            "view": view.describe(),
        }
    )
    path = cache / "features" / f"{key[:32]}.npy"
    if not path.exists():
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            try:
                _extract(model, shards, view, partial, batch_size, workers, device or torch.device("cpu"))
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return features


@torch.inference_mode()
def _extract(
    model: LoadedModel,
    shards: ShardSet,
    view: EvaluationView,
    out: Path,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> None:
    shards.prepare_for_workers()
    loader = DataLoader(
        _Slices(shards, view),
        batch_size=batch_size,
        num_workers=workers,
        worker_init_fn=start_worker,
        collate_fn=_stack,
    )
    backbone = model.backbone.to(device).eval()
    stored: np.memmap[Any, np.dtype[np.float32]] | None = None
    done = 0
    with no_opencv_threads():
        batches = iter(loader)
    with progress(f"features of {model.name}", len(shards)) as meter:
        for pictures in batches:
            if isinstance(pictures, RadnetError):
                raise pictures
            features = backbone(pictures.to(device)).float().cpu().numpy()
            if stored is None:
                shape = (len(shards), features.shape[1])
                stored = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
            stored[done : done + len(features)] = features
            done += len(features)
            meter.advance(len(features))
    if stored is not None:
        stored.flush()
