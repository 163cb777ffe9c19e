"""The stream: batches of views in an exact, resumable order.

    order -> (read at offset, decode, views) -> batch        (stages of a webdataset pipeline, in the workers)

State is (epoch, step). A worker w of W makes the batches w, w+W, … of the run, and the loader takes one from each
in turn, so the sequence is the same for any W. Randomness of a view comes from (seed, epoch, sample) alone.

    shards = ShardSet.open("sets/ct")
    stream = Stream(shards, shards.rows(split="train"), views, BatchOrder(n, batch_size=64), workers=4)
    for batch in stream:            # one epoch; the next loop is the next epoch
        train(batch.views)          # list of float tensors (B, C, H, W), one a view
        save(stream.state_dict())   # load_state_dict continues with the next batch
"""

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import webdataset as wds
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from radnet.errors import RadnetError, UsageError
from radnet.shards import codec
from radnet.shards.batches import Batch, MakeBatches, Ticket, Views, WritesViews
from radnet.shards.order import BatchOrder
from radnet.shards.slots import SlotPool

DTYPES = (None, "float32", "float16")


class Source(Protocol):
    """Where a stream reads: a `ShardSet` or a `ShardMix`."""

    def __len__(self) -> int: ...

    def prepare_for_workers(self) -> None:
        """Load what workers share."""

    def read_image(self, row: int) -> NDArray[Any]:
        """One image."""


@dataclass(frozen=True)
class _OrderSource:
    """First stage: the tickets of this worker's share of the batches, from (epoch, step) on, without end."""

    order: BatchOrder
    rows: NDArray[np.int64]
    rank: int
    epoch: int
    step: int

    def __call__(self) -> Iterator[Ticket]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        produced, epoch, step = 0, self.epoch, self.step
        while True:
            batches = self.order.epoch(epoch)
            for number in range(step, len(batches)):
                if produced % workers == worker:
                    for position in batches[number, self.rank]:
                        yield Ticket(int(self.rows[position]), epoch, number)
                produced += 1
            epoch, step = epoch + 1, 0


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker. DataLoader would rebuild it from its traceback as one long text."""

    error: RadnetError


def _failures_as_items(batches: Iterator[Batch]) -> Iterator[Batch | _Failure]:
    """After the last stage: an error that is meant for the user becomes the last item."""
    try:
        yield from batches
    except RadnetError as error:
        if get_worker_info() is not None:
            error.add_note(traceback.format_exc())
        yield _Failure(error)


ENDING_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What a job gets before its end."""


def start_worker(_: int) -> None:
    """One thread for every library in a loader worker, because the workers are the parallelism; no end by signals.

    A job that ends is told so with a signal to all of its processes. What happens then is for the main process to
    decide, which may still want a batch; workers end with it.
    """
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    cv2.setNumThreads(1)
    codec.use_one_thread()
    torch.set_num_threads(1)


@contextmanager
def starting_workers() -> Iterator[None]:
    """The block in which loader workers are forked from this process.

    It has no threads of OpenCV meanwhile: a forked process remembers the threads of its parent without having them, and
    waits for ever when it ends them. Signals that end a job wait: a worker is not to get one before `start_worker` has
    told it to live on.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        cv2.setNumThreads(threads)


class Stream(IterableDataset[Batch]):
    """Batches of one rank; each `for` runs to the end of the current epoch.

    Args:
        shards: The set.
        rows: Rows of its index that take part, int64, (N,).
        views: Makes the views of a slice.
        order: Which sample comes when; `order.samples` is N.
        rank: This process, 0 to `order.world_size` - 1.
        workers: Loader processes; 0 makes the batches in this process.
        pin_memory: Hand out batches in page-locked memory.
        prefetch: Batches that each worker makes ahead.
        dtype: Type of the views, "float32" or "float16"; None keeps what the recipe gives. Half the bytes travel with
            float16; convert on the device, as training does not compute in it by itself.

    Raises:
        ValueError: `rows` or `rank` do not fit the order.
    """

    def __init__(
        self,
        shards: Source,
        rows: NDArray[np.int64],
        views: Views,
        order: BatchOrder,
        *,
        rank: int = 0,
        workers: int = 0,
        pin_memory: bool = False,
        prefetch: int = 2,
        dtype: str | None = None,
    ) -> None:
        if len(rows) != order.population:
            raise ValueError(f"{len(rows)} rows but the order is of {order.population} samples")
        if dtype not in DTYPES:
            raise UsageError("No such dtype of batches", seen=dtype, fix="float32 or float16")
        if not 0 <= rank < order.world_size:
            raise ValueError(f"rank {rank} of {order.world_size} ranks")
        self._shards, self._rows, self._views, self._order = shards, rows, views, order
        self._rank, self._workers, self._pin_memory, self._prefetch = rank, workers, pin_memory, prefetch
        self._dtype = dtype
        self.epoch, self.step = 0, 0
        self._running: Iterator[Batch | _Failure] | None = None
        self._pool: SlotPool | None = None

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._order.batches_per_epoch

    def state_dict(self) -> dict[str, int]:
        """Position of the next batch."""
        return {"epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the batch that `state` points to, without reading the ones before it.

        Raises:
            UsageError: An epoch of this stream has no such step.
        """
        if state["epoch"] < 0 or not 0 <= state["step"] < len(self):
            raise UsageError(
                f"The position is of another stream: an epoch of this one has {len(self)} steps",
                seen=state,
                fix="Continue with the set, batch size and number of processes of before",
            )
        self.close()
        self.epoch, self.step = state["epoch"], state["step"]

    def __iter__(self) -> Iterator[Batch]:
        """The batches that are left of the current epoch.

        Raises:
            UsageError: This is a worker of another DataLoader.
            RadnetError: A sample cannot be read; the position stays at its batch.
        """
        if get_worker_info() is not None:
            raise UsageError(
                "A stream has its own workers and cannot run inside those of another DataLoader",
                fix="Give workers= to the stream, and num_workers=0 to the DataLoader",
            )
        epoch = self.epoch
        while self.epoch == epoch:
            batch = self._next_batch()
            done = self.step + 1 == len(self)
            self.epoch, self.step = (self.epoch + 1, 0) if done else (self.epoch, self.step + 1)
            yield batch

    def _next_batch(self) -> Batch:
        if self._running is None:
            self._running = self._start()
        try:
            item = next(self._running)
            if isinstance(item, _Failure):
                raise item.error
            if (item.epoch, item.step) != (self.epoch, self.step):
                raise RuntimeError(f"batch {item.epoch}/{item.step} came for {self.epoch}/{self.step}")
        except BaseException:
            self.close()
            raise
        return item

    def close(self) -> None:
        """Stop the workers; the next `for` starts new ones."""
        # torch stops them when the iterator is collected, which a traceback that refers to it puts off for long; no
        # public call does it at once
        stop = getattr(self._running, "_shutdown_workers", None)
        self._running = None
        if stop is not None:
            stop()
        self._pool = None  # not before: batches on their way lie in it

    def _start(self) -> Iterator[Batch | _Failure]:
        self._shards.prepare_for_workers()
        order = self._order
        pipeline = wds.DataPipeline(
            _OrderSource(order, self._rows, self._rank, self.epoch, self.step),
            MakeBatches(self._shards.read_image, self._views, order.seed, order.batch_size, self._dtype, self._slots()),
            _failures_as_items,
        )
        loader: DataLoader[Batch | _Failure] = DataLoader(
            pipeline,
            batch_size=None,
            num_workers=self._workers,
            worker_init_fn=start_worker,
            pin_memory=self._pin_memory,
            prefetch_factor=self._prefetch if self._workers else None,
        )
        with starting_workers():
            return iter(loader)

    def _slots(self) -> SlotPool | None:
        """Memory for the batches of the workers, where the recipe says beforehand how much a batch takes."""
        if not self._workers or not isinstance(self._views, WritesViews):
            return None
        # beside the ones made ahead, one is being filled and one is in the hands of the consumer
        slots = self._prefetch + 2
        shapes = [(self._order.batch_size, *shape) for shape in self._views.shapes]
        self._pool = SlotPool(shapes, self._dtype or "float32", self._workers, slots)
        return self._pool
