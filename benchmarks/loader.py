"""Slices a second through a loader, against peers and against what the cores could do, in one run.

    python benchmarks/loader.py [--workers 2] [--seconds 2] [--turns 3] [--dtype float32]

Two workloads: two SimCLR views of 224 px, and DINO's multi-crop of 2 x 224 px and 8 x 96 px. All arms have the same
slices, workers, batch size, and steps (crop, flip, blur, jitter of window or contrast, noise):

- radnet: its stream over a shard set, exact order, 16-bit Hounsfield units until the window
- lightly: its transforms over 8-bit PNG files (colour jitter where the others jitter the window), torch's DataLoader
- webdataset: stock webdataset over tars of int16 `.npy`, torchvision.transforms.v2 on float tensors
- bound: radnet's decoding and views alone, one plain process a worker, nothing handed over; their speeds are added
"""

import argparse
import functools
import io
import multiprocessing
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
import torch
import webdataset as wds
from common import Bar, Report, Slice, arguments, finish, in_turns, slices_512, slices_native
from lightly.transforms import DINOTransform, SimCLRTransform
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import radnet.views
from radnet.scans.keys import KeyedHash
from radnet.shards import BatchOrder, ShardSet, Stream, codec
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.streams import start_worker

WARM_BATCHES = 6
PEER_SHARDS = 8
SIMCLR = "2 x 224 px (SimCLR)"
BARS = {"lightly": 15.0, "webdataset": 5.0, "bound": 0.6}
"""Of the SimCLR workload; the multi-crop is shown for comparison."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--workers", type=int, default=2, help="loader processes of every arm")
    parser.add_argument("--batch", type=int, default=32, help="slices a batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="time of one turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of each arm; the median counts")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of radnet's batches")
    options = parser.parse_args()
    if options.quick:
        options.batch, options.seconds, options.turns = 4, 0.2, 1
    settings = {key: getattr(options, key) for key in ("workers", "batch", "seconds", "turns", "dtype")}
    report = Report("loader", settings)
    each = 8 if options.quick else 24  # fewer would leave a worker of the peer without a slice, for ever
    slices = slices_512(each, report) + [hu for group in slices_native(each, report).values() for hu in group]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), slices, options)
        report.add("Data", [{"slices": len(bench.shards), "from": "real CT, 120 to 512 px", "batch": options.batch}])
        for name, (recipe, lightly, torchvision) in workloads().items():
            arms = {
                "radnet": lambda recipe=recipe: bench.rate(bench.radnet(recipe)),
                "lightly": lambda lightly=lightly: bench.rate(bench.png_files(lightly)),
                "webdataset": lambda torchvision=torchvision: bench.rate(bench.npy_shards(torchvision)),
                "bound": lambda recipe=recipe: bench.bound(recipe),
            }
            speeds = in_turns(arms, options.turns)
            report.add(
                name,
                [
                    {"arm": arm, "slices/s": speed, "radnet / arm": speeds["radnet"] / speed}
                    for arm, speed in speeds.items()
                ],
            )
            if name == SIMCLR:
                report.bars += [
                    Bar(f"{name}: radnet / {arm}", speeds["radnet"] / speeds[arm], limit) for arm, limit in BARS.items()
                ]
    finish(report, options)


def workloads() -> dict[str, tuple[Any, Any, Any]]:
    """Name -> recipe of radnet, transform of lightly, transform of torchvision."""
    found: dict[str, tuple[Any, Any, Any]] = {
        SIMCLR: (
            radnet.views.SimclrViews(),
            SimCLRTransform(),
            TorchvisionViews([(224, (0.2, 1.0))] * 2),
        )
    }
    crops = TorchvisionViews([(224, (0.4, 1.0))] * 2 + [(96, (0.05, 0.4))] * 8)
    found["2 x 224 + 8 x 96 px (DINO)"] = (radnet.views.MultiCropViews(), DINOTransform(n_local_views=8), crops)
    return found


class Bench:
    """The same slices in every form, and the arms.

    Args:
        directory: Where the forms are written.
        slices: int16 HU, any sizes.
        options: Of the command line.
    """

    def __init__(self, directory: Path, slices: list[Slice], options: argparse.Namespace) -> None:
        self.options = options
        self.shards = shard_set(directory, slices)
        images = [self.shards.read_image(row) for row in range(len(self.shards))]
        self.frames = [codec.encode(hu) for hu in images]
        self.pngs = write_pngs(directory / "png", images)
        self.tars = write_npy_shards(directory / "npy", images)

    def rate(self, batches: Iterable[Any]) -> float:
        """Slices a second after the first batches, which pay for the start of the workers."""
        running = iter(batches)
        for _ in range(WARM_BATCHES):
            next(running)
        count, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < self.options.seconds or count == 0:
            next(running)
            count += 1
        close = getattr(running, "close", None)
        if close is not None:
            close()
        return count * self.options.batch / passed

    def radnet(self, recipe: Any) -> Iterator[Any]:
        order = BatchOrder(len(self.shards), self.options.batch)
        workers, dtype = self.options.workers, self.options.dtype
        stream = Stream(self.shards, self.shards.rows(), recipe, order, workers=workers, dtype=dtype)
        try:
            while True:
                yield from stream
        finally:
            stream.close()

    def png_files(self, transform: Any) -> Iterator[Any]:
        loader = DataLoader(
            PngFiles(self.pngs, transform),
            batch_size=self.options.batch,
            shuffle=True,
            drop_last=True,
            num_workers=self.options.workers,
            worker_init_fn=start_worker,
            persistent_workers=self.options.workers > 0,
        )
        while True:
            yield from loader

    def npy_shards(self, transform: Any) -> Iterator[Any]:
        dataset = (
            wds.WebDataset(self.tars, shardshuffle=PEER_SHARDS, seed=0)
            .shuffle(64)
            .map(functools.partial(npy_views, transform))
            .repeat()
            .batched(self.options.batch, partial=False, collation_fn=torch.utils.data.default_collate)
        )
        workers = self.options.workers
        yield from DataLoader(dataset, batch_size=None, num_workers=workers, worker_init_fn=start_worker)

    def bound(self, recipe: Any) -> float:
        """Slices a second of as many plain processes as there are workers."""
        fork = multiprocessing.get_context("fork")
        processes = max(self.options.workers, 1)
        together, found = fork.Barrier(processes), fork.Queue()
        work = functools.partial(bare_loop, self.frames, recipe, self.options.seconds, together, found)
        running = [fork.Process(target=work) for _ in range(processes)]
        for process in running:
            process.start()
        speeds = [found.get(timeout=60 + self.options.seconds) for _ in running]
        for process in running:
            process.join()
        return float(sum(speeds))


def bare_loop(frames: list[bytes], recipe: Callable[..., Any], seconds: float, together: Any, found: Any) -> None:
    """Decode and make views until the time is over; speed goes to `found`."""
    start_worker(0)
    generator = np.random.default_rng(0)
    for frame in frames[:16]:
        recipe(codec.decode(frame), generator)
    together.wait()
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        recipe(codec.decode(frames[int(generator.integers(len(frames)))]), generator)
        count += 1
    found.put(count / passed)


def shard_set(directory: Path, slices: list[Slice]) -> ShardSet:
    """A set of these slices; runs of equal size become one volume."""
    by_size: dict[tuple[int, ...], list[Slice]] = {}
    for hu in slices:
        by_size.setdefault(hu.shape, []).append(hu)
    for number, volume in enumerate(by_size.values()):
        folder = directory / "archive" / f"{number:02d}"
        folder.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.stack(volume).T, np.diag([0.8, 0.8, 3.0, 1.0])), folder / "ct.nii")
    settings = BuildSettings((1.0, 0.0, 0.0), shard_bytes=8 << 20, keep_air=True, keep_duplicates=True)
    build_shards(directory / "archive", directory / "set", KeyedHash(bytes(32)), settings)
    return ShardSet.open(directory / "set")


def write_pngs(directory: Path, images: list[Slice]) -> list[Path]:
    """8-bit files in the soft tissue window, as one makes them for suites that read pictures."""
    directory.mkdir()
    files = [directory / f"{number:05d}.png" for number in range(len(images))]
    for file, hu in zip(files, images, strict=True):
        cv2.imwrite(str(file), (np.clip((hu.astype(np.float32) + 160) / 400, 0, 1) * 255).astype(np.uint8))
    return files


def write_npy_shards(directory: Path, images: list[Slice]) -> list[str]:
    directory.mkdir()
    files = [directory / f"{number:03d}.tar" for number in range(PEER_SHARDS)]
    for number, file in enumerate(files):
        with tarfile.open(file, "w") as tar:
            for row in range(number, len(images), PEER_SHARDS):
                content = io.BytesIO()
                np.save(content, images[row])
                member = tarfile.TarInfo(f"{row:08d}.npy")
                member.size = content.tell()
                content.seek(0)
                tar.addfile(member, content)
    return [str(file) for file in files]


class PngFiles(Dataset[Any]):
    """Pictures from files, three channels as lightly's transforms want them."""

    def __init__(self, files: list[Path], transform: Any) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:
        with Image.open(self.files[number]) as picture:
            return self.transform(picture.convert("RGB"))


class TorchvisionViews:
    """The steps of radnet's recipes with torchvision's transforms on float tensors.

    Args:
        crops: Size in pixels and scale of every view.
    """

    def __init__(self, crops: list[tuple[int, tuple[float, float]]]) -> None:
        self.transforms = [
            v2.Compose(
                [
                    v2.RandomResizedCrop(size, scale=scale, antialias=True),
                    v2.RandomHorizontalFlip(),
                    v2.RandomApply([v2.GaussianBlur(9, (0.1, 1.0))]),
                    v2.ColorJitter(brightness=0.1, contrast=0.2),
                    v2.GaussianNoise(sigma=0.02),
                    v2.Normalize([0.5], [0.5]),
                ]
            )
            for size, scale in crops
        ]

    def __call__(self, hu: NDArray[np.int16]) -> list[torch.Tensor]:
        grey = torch.from_numpy(hu).float().add_(160).div_(400).clamp_(0, 1)[None]
        return [transform(grey) for transform in self.transforms]


def npy_views(transform: Any, sample: dict[str, Any]) -> list[torch.Tensor]:
    return list(transform(np.load(io.BytesIO(sample["npy"]), allow_pickle=False)))


if __name__ == "__main__":
    main()
