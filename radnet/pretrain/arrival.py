"""Batches on their way to the device: one ahead, so that neither the loader nor the copy holds up the step."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from radnet.shards import Stream
from radnet.shards.batches import Batch


@dataclass
class Arrived:
    """A batch on the device.

    Attributes:
        views: One tensor a view, float32 (B, C, H, W); empty them when they are used, their memory is wanted.
        rows: int64, (B,), on the CPU: rows of the set's index.
        epoch: Epoch the batch belongs to.
    """

    views: list[torch.Tensor]
    rows: torch.Tensor
    epoch: int


class Arrival:
    """Takes batches from a stream, over the ends of epochs, onto a device.

    On CUDA the copy runs beside the step at hand, on a stream of its own; call `take` for the next batch while the
    device still works on the present one.

    Args:
        stream: Where batches come from; its position runs one batch ahead of what was taken for training.
        device: Where views go, as float32.
        channels_last: Lay out views as (B, H, W, C) in memory.
    """

    def __init__(self, stream: Stream, device: torch.device, *, channels_last: bool) -> None:
        self._stream, self._device, self._channels_last = stream, device, channels_last
        self._batches = self._endless()
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._host_s = 0.0
        self._idle: tuple[torch.cuda.Event, torch.cuda.Event] | None = None

    def take(self) -> Arrived:
        """The next batch.

        Raises:
            RadnetError: A sample cannot be read.
        """
        asked_s = time.monotonic()
        before = self._mark()
        batch = next(self._batches)
        after = self._mark()
        self._host_s = time.monotonic() - asked_s
        self._idle = (before, after) if before is not None and after is not None else None
        if self._side is None:
            return self._arrived(batch)
        with torch.cuda.stream(self._side):
            arrived = self._arrived(batch)
        torch.cuda.current_stream().wait_stream(self._side)
        for view in arrived.views:
            view.record_stream(torch.cuda.current_stream())
        return arrived

    def waited_s(self) -> float:
        """Seconds that the device had nothing to do because the last batch was not there.

        On CUDA this waits for the device to have come that far; on the CPU it is the time that `take` took.
        """
        if self._idle is None:
            return self._host_s
        before, after = self._idle
        after.synchronize()
        return float(before.elapsed_time(after)) / 1000

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._stream

    def _mark(self) -> torch.cuda.Event | None:
        if self._side is None:
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _arrived(self, batch: Batch) -> Arrived:
        return Arrived([self._moved(view) for view in batch.views], batch.rows, batch.epoch)

    def _moved(self, view: torch.Tensor) -> torch.Tensor:
        moved = view.to(self._device, dtype=torch.float32, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last) if self._channels_last else moved
