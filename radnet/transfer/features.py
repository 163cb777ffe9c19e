"""Features, extracted once for each (weights, set, view) and shared by every probe and analysis.

A file of the cache is `features/KEY.npy` with `KEY.json` beside it, which says in words what it is of. A process that
extracts holds a lock, so that another one waits for its features and does not make them again. While it works the
file is hidden; it notes how far it is on the disk, and one that was killed goes on from there.

Shape legend: N slices, D features.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from radnet.console import progress, say, warn
from radnet.errors import RadnetError, UsageError
from radnet.files import explained_disk_errors, write_atomically
from radnet.hashing import settings_hash
from radnet.locks import waiting_lock
from radnet.models import LoadedModel, embedding_size
from radnet.shards import ShardSet
from radnet.shards.streams import start_worker, starting_workers
from radnet.transfer.changed_set import ChangedSet
from radnet.transfer.partial_matrix import PartialMatrix
from radnet.views import EvaluationView
from radnet.views.noisy import NoisyView

CACHE_VARIABLE = "RADNET_CACHE"
_REVISION = 1


def default_cache() -> Path:
    """`$RADNET_CACHE`, or `radnet` in the user's cache directory."""
    root = os.environ.get(CACHE_VARIABLE)
    return Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "radnet"


class _Slices(Dataset[torch.Tensor | RadnetError]):
    """Slices of a set through one view; a slice that cannot be read is its error.

    A loader worker hands an error that is raised on as one long text; as an item it arrives as it is.
    """

    def __init__(self, shards: ShardSet, view: EvaluationView, rows: NDArray[np.int64], seed: int) -> None:
        self._shards, self._view, self._rows, self._seed = shards, view, rows, seed

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> torch.Tensor | RadnetError:
        row = int(self._rows[position])
        try:
            # the same chance as SliceSplit.picture of epoch 0
            generator = np.random.default_rng([self._seed, 0, row])
            return torch.from_numpy(self._view(self._shards.read_image(row), generator)[0])
        except RadnetError as error:
            return error


def _stack(items: list[torch.Tensor | RadnetError]) -> torch.Tensor | RadnetError:
    """A batch, or the first error among its items."""
    errors = [item for item in items if isinstance(item, RadnetError)]
    return errors[0] if errors else torch.stack([item for item in items if isinstance(item, torch.Tensor)])


def feature_identity(
    model: LoadedModel,
    shards: ShardSet,
    view: EvaluationView,
    *,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What decides the features, as JSON values; its hash is their key.

    Args:
        model: The model.
        shards: The set, changed or not.
        view: What the model sees of a slice.
        rows: Which slices, None for all.
        seed: Of the view's noise.
    """
    identity: dict[str, Any] = {
        "revision": _REVISION,
        "weights": model.weights_sha256,
        "architecture": model.architecture,
        "set": shards.manifest.content_hash(),
        "view": view.describe(),
    }
    if isinstance(shards, ChangedSet):
        identity["change"] = shards.describe()
    if isinstance(view, NoisyView):
        identity["noise_seed"] = seed
    if rows is not None:
        identity["rows"] = settings_hash({"rows": rows.tolist()})
    return identity


def features_of(
    model: LoadedModel,
    shards: ShardSet,
    view: EvaluationView,
    *,
    cache: Path,
    batch_size: int = 128,
    workers: int = 0,
    device: torch.device | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Features of slices of a set, from the cache when they are there.

    Args:
        model: Frozen model in eval mode.
        shards: The set.
        view: What the model sees of a slice; the same for every model but for channels and normalisation.
        cache: Directory of the cache; files in it are whole or not there.
        batch_size: Slices a forward pass.
        workers: Loader processes.
        device: Where to compute, CPU by default.
        rows: Rows of the set's index, int64, (N,); None for all. Where all are of use, take all: they are shared.
        seed: Of the noise of a `NoisyView`; no part of the features of other views.

    Returns:
        float32, (N, D), memory-mapped, in the order of `rows` or of the set's index.

    Raises:
        UsageError: The model does not take pictures of the view's size.
        RadnetError: A slice cannot be read, or the disk is full.
    """
    identity = feature_identity(model, shards, view, rows=rows, seed=seed)
    key = settings_hash(identity)[:32]
    path = cache / "features" / f"{key}.npy"
    chosen = np.arange(len(shards), dtype=np.int64) if rows is None else rows
    found = _stored(path, len(chosen))
    if found is not None:
        return found
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with waiting_lock(path.with_suffix(".lock"), f"the features of {model.name}"):
        found = _stored(path, len(chosen))
        if found is None:
            with explained_disk_errors(path):
                _extract(model, shards, view, path, batch_size, workers, device or torch.device("cpu"), chosen, seed)
                words = {"model": str(model.name), "set": shards.manifest.name, "items": len(chosen)}
                write_atomically(
                    path.with_suffix(".json"), json.dumps({**words, "identity": identity}, indent=2) + "\n"
                )
            found = _stored(path, len(chosen))
    if found is None:
        raise RadnetError("The features are gone", file=path, fix="Run the command again; leave the cache alone")
    return found


def _stored(path: Path, items: int) -> NDArray[np.float32] | None:
    """Features that are there, None when there are none; a damaged file counts as none and is removed."""
    try:
        features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, OSError) as error:
        warn(f"damaged features are extracted again ({error}): {path}")
        path.unlink(missing_ok=True)
        return None
    if features.dtype != np.float32 or features.ndim != 2 or len(features) != items:
        warn(f"features of {features.dtype} {features.shape} instead of {items} items are extracted again: {path}")
        path.unlink(missing_ok=True)
        return None
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
    rows: NDArray[np.int64],
    seed: int,
) -> None:
    """Extract into `out`, going on where a killed process stopped."""
    from radnet.models.inference import for_inference  # see `radnet.models.backbone`

    shards.prepare_for_workers()
    try:
        dimensions = embedding_size(model.backbone.cpu(), model.in_chans, view.size)
    except UsageError as error:
        raise UsageError(
            f"{model.name} cannot be asked with this task: {error.what}",
            seen=f"{view.size} px",
            fix=f"Set task.size to what {model.architecture} takes",
        ) from error
    example = torch.randn(2, model.in_chans, view.size, view.size, generator=torch.Generator().manual_seed(0))
    backbone = for_inference(model.backbone.to(device).eval(), example.to(device))
    with PartialMatrix(out, (len(rows), dimensions), batch_size) as stored:
        if stored.done:
            say(f"features of {model.name}: going on after {stored.done} of {len(rows)}")
        loader = DataLoader(
            _Slices(shards, view, rows[stored.done :], seed),
            batch_size=batch_size,
            num_workers=workers,
            worker_init_fn=start_worker,
            collate_fn=_stack,
        )
        with starting_workers():
            batches = iter(loader)
        with progress(f"features of {model.name}", len(rows)) as meter:
            meter.done = stored.done
            for pictures in batches:
                if isinstance(pictures, RadnetError):
                    raise pictures
                pictures = pictures.to(device, memory_format=torch.channels_last)
                stored.append(backbone(pictures).float().cpu().numpy())
                meter.advance(len(pictures))
