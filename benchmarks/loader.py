"""The stream against its peers: slices a second through a DataLoader, two SimCLR views each, in one run.

    python benchmarks/loader.py [--size 256] [--view 224] [--slices 192] [--workers 2] [--seconds 8]

All arms read the same set, use the same workers and batch size, and hand out float32 batches:

- radnet: exact shuffled order, read at offsets, views with OpenCV on int16
- webdataset: shards in their order (shuffle buffer, no resume), the same decoding and the same views
- torchvision: as radnet, but crop, flip, window and blur are torchvision.transforms.v2 on float tensors

The ratios are of this run; the speeds depend on the machine and on what else it does.
"""

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import Batch, BatchOrder, ShardSet, Stream
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.codec import decode
from radnet.shards.stream import start_worker
from radnet.views import SimclrViews

BATCH = 32
ROUNDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a slice")
    parser.add_argument("--view", type=int, default=224, help="side of a view")
    parser.add_argument("--slices", type=int, default=192, help="slices of the set; small sets fit the page cache")
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each arm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shards = phantom_set(Path(scratch), options.slices, options.size, options.workers)
        recipe = SimclrViews(size=options.view)
        arms = {
            "radnet": lambda: stream(shards, recipe, options.workers),
            "webdataset": lambda: plain_webdataset(shards, recipe, options.workers),
            "torchvision": lambda: stream(shards, TorchvisionViews(options.view), options.workers),
        }
        found: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine does not hit one arm alone
            for name, start in arms.items():
                found[name].append(slices_per_s(start(), options.seconds / ROUNDS))
    best = {name: max(speeds) for name, speeds in found.items()}
    print(
        f"{len(shards)} synthetic slices of {options.size} x {options.size}, two views of {options.view} px, "
        f"{options.workers} workers, batches of {BATCH}"
    )
    print(f"{'arm':14}{'slices/s':>10}{'radnet / arm':>14}")
    for name, speed in best.items():
        print(f"{name:14}{speed:10.0f}{best['radnet'] / speed:13.1f}x")


def phantom_set(directory: Path, slices: int, size: int, jobs: int) -> ShardSet:
    """A set of at least so many synthetic slices, in about eight shards, all of them for training."""
    series = 6
    each = -(-slices // (2 * series))
    print("making synthetic scans …", file=sys.stderr)
    write_phantom_archive(
        directory / "archive", patients=2, series_per_patient=series, slices=each, size=size, jobs=max(jobs, 1)
    )
    settings = BuildSettings((1.0, 0.0, 0.0), shard_bytes=max(slices * size * size // 8, 1 << 16))
    build_shards(directory / "archive", directory / "set", KeyedHash(bytes(32)), settings)
    return ShardSet.open(directory / "set")


def slices_per_s(batches: Iterable[Any], seconds: float) -> float:
    """Speed after the first batches, which pay for the start of the workers."""
    running = iter(batches)
    for _ in range(4):
        next(running)
    slices, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or slices == 0:
        next(running)
        slices += BATCH
    return slices / passed


def stream(shards: ShardSet, views: Any, workers: int) -> Iterator[Batch]:
    batches = Stream(shards, shards.rows(), views, BatchOrder(len(shards), BATCH), workers=workers)
    try:
        while True:
            yield from batches
    finally:
        batches.close()


def plain_webdataset(shards: ShardSet, recipe: SimclrViews, workers: int) -> Iterator[Any]:
    urls = [str(shards.path / shard.file) for shard in shards.manifest.shards]
    dataset = (
        wds.WebDataset(urls, shardshuffle=len(urls), seed=0)
        .shuffle(64)
        .map(functools.partial(sample_views, recipe))
        .batched(BATCH, collation_fn=stack, partial=False)
        .repeat()
    )
    return iter(DataLoader(dataset, batch_size=None, num_workers=workers, worker_init_fn=start_worker))


def sample_views(recipe: SimclrViews, sample: dict[str, Any]) -> list[NDArray[Any]]:
    return list(recipe(decode(sample["image.b2nd"]), np.random.default_rng()))  # type: ignore[arg-type]


def stack(samples: list[list[NDArray[Any]]]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.stack(column)) for column in zip(*samples, strict=True)]


class TorchvisionViews:
    """The steps of `SimclrViews` with torchvision's transforms; no noise and no random window, which it has not."""

    def __init__(self, size: int) -> None:
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.GaussianBlur(9, (0.1, 1.0))]),
                v2.ColorJitter(brightness=0.1, contrast=0.2),
                v2.Normalize([0.5], [0.5]),
            ]
        )

    def __call__(self, hu: NDArray[np.int16], generator: np.random.Generator) -> list[NDArray[Any]]:
        """Two views; torchvision draws from torch's own generator."""
        grey = torch.from_numpy(hu).float().add_(160).div_(400).clamp_(0, 1)[None]
        return [self.transform(grey).numpy() for _ in range(2)]


if __name__ == "__main__":
    main()
