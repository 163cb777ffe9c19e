"""One process or many: rank, world size and device, from the environment that torchrun sets."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from radnet.errors import RadnetError, UsageError
from radnet.pretrain.meeting import store_of_this_attempt

_PIECE_BYTES = 1 << 28


@dataclass(frozen=True)
class Processes:
    """This process's place among all.

    Attributes:
        rank: Number of this process, 0…world_size-1.
        world_size: Number of processes.
        device: Where this process computes.
        launcher: Process number of the torchrun that started this one, None where none did.
    """

    rank: int
    world_size: int
    device: torch.device
    launcher: int | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()

    def greatest(self, values: torch.Tensor) -> torch.Tensor:
        """Elementwise maximum over all ranks, in place; a no-op for one process."""
        if self.world_size > 1:
            distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return values

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Elementwise mean over all ranks, in place; a no-op for one process."""
        if self.world_size > 1:
            distributed.all_reduce(values)
            values /= self.world_size
        return values

    def gather(self, values: torch.Tensor) -> list[torch.Tensor]:
        """The tensor of every rank, in the order of the ranks; they are of one shape."""
        if self.world_size == 1:
            return [values]
        values = values.to(self.device)
        parts = [torch.empty_like(values) for _ in range(self.world_size)]
        distributed.all_gather(parts, values)
        return parts

    def bytes_of_rank_0(self, data: bytes) -> bytes:
        """The bytes that rank 0 gives, on every rank; what other ranks give is ignored."""
        if self.world_size == 1:
            return data
        length = torch.tensor([len(data)], dtype=torch.int64, device=self.device)
        distributed.broadcast(length, 0)
        received = []
        for start in range(0, int(length), _PIECE_BYTES):  # a device needs room for one piece, not for all
            size = min(_PIECE_BYTES, int(length) - start)
            if self.is_main:
                piece = torch.frombuffer(bytearray(data[start : start + size]), dtype=torch.uint8).to(self.device)
            else:
                piece = torch.empty(size, dtype=torch.uint8, device=self.device)
            distributed.broadcast(piece, 0)
            received.append(b"" if self.is_main else piece.cpu().numpy().tobytes())
        return data if self.is_main else b"".join(received)

    def rank_0_decides(self, decide: Callable[[], Any]) -> Any:
        """Let rank 0 look at files and tell the others, so that ranks on different disks cannot disagree.

        Args:
            decide: Called on rank 0 alone; gives something that JSON can hold.

        Returns:
            What it gave, on every rank.

        Raises:
            RadnetError: What `decide` raised, on every rank.
        """
        if self.world_size == 1:
            return decide()
        message: dict[str, Any] = {}
        failure: BaseException | None = None
        if self.is_main:
            try:
                message = {"value": decide()}
            except RadnetError as error:
                failure = error
                message = {"error": str(error), "is_usage": isinstance(error, UsageError)}
        heard = json.loads(self.bytes_of_rank_0(json.dumps(message).encode()))
        if failure is not None:
            raise failure
        if "error" in heard:
            raise (UsageError if heard["is_usage"] else RadnetError)(heard["error"])
        return heard["value"]


@contextmanager
def join_processes(device: str, timeout_minutes: float = 30.0) -> Iterator[Processes]:
    """Join the process group that torchrun described, or run alone.

    NCCL on CUDA, gloo on CPU.

    Args:
        device: "auto", "cpu" or "cuda".
        timeout_minutes: How long a process waits for the others before it gives up.

    Raises:
        UsageError: CUDA was asked for and there is none, or Slurm started several tasks without torchrun.
        RadnetError: Another process has gone or does not answer.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError("Unknown device", seen=device, fix="device is auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda was asked for and torch finds no CUDA GPU", fix="Use device=cpu or device=auto")
    if "WORLD_SIZE" not in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        raise UsageError(
            "Slurm started several tasks that do not know of each other",
            seen=f"SLURM_NTASKS={os.environ['SLURM_NTASKS']}",
            fix="Start one task a node and let it run torchrun",
        )
    cuda = torch.cuda.is_available() and device != "cpu"
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    launcher = os.getppid() if distributed.is_torchelastic_launched() else None
    local = torch.device("cpu")
    if cuda:
        local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(local)
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
    if world_size == 1:
        yield Processes(0, 1, local, launcher)
        return
    try:
        timeout = timedelta(minutes=timeout_minutes)
        store, rank, world_size = store_of_this_attempt(timeout)
        distributed.init_process_group(
            "nccl" if cuda else "gloo", store=store, rank=rank, world_size=world_size, timeout=timeout
        )
        yield Processes(distributed.get_rank(), world_size, local, launcher)
    except RuntimeError as error:
        if not _is_of_the_group(error):
            raise
        raise RadnetError(
            f"Another process of this run has gone or does not answer ({str(error).splitlines()[0][:200]})",
            fix="Its own message, above or in its log, says why. Start all processes again and the run goes on from "
            "its newest checkpoint; torchrun --max-restarts 3 does so by itself. timeout_minutes says how long they "
            "wait for each other",
        ) from error
    finally:
        if distributed.is_initialized() and (distributed.get_backend() == "gloo" or not _is_failing()):
            distributed.destroy_process_group()  # NCCL's would wait for the one that has gone


def _is_failing() -> bool:
    import sys

    return sys.exc_info()[0] is not None


def _is_of_the_group(error: RuntimeError) -> bool:
    """Whether an error comes from the communication between processes; gloo has no class of its own for it."""
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in ("gloo", "NCCL", "Gloo"))
