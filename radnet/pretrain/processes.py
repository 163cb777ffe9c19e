"""One process or many: rank, world size and device, from the environment that torchrun sets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from radnet.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """This process's place among all.

    Attributes:
        rank: Number of this process, 0…world_size-1.
        world_size: Number of processes.
        device: Where this process computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the process group that torchrun described, or run alone.

    NCCL on CUDA, gloo on CPU.

    Args:
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: CUDA was asked for and there is none, or Slurm started several tasks without torchrun.
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
    local = torch.device("cpu")
    if cuda:
        local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(local)
    if world_size == 1:
        yield Processes(0, 1, local)
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(distributed.get_rank(), world_size, local)
    finally:
        distributed.destroy_process_group()
