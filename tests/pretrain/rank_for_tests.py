"""What a process of a test runs: one rank of a pretraining run, as torchrun would start it."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from radnet.cli import main
from radnet.pretrain.method import Method
from radnet.pretrain.simclr import SimCLR

MODULES = ["tests.pretrain.rank_for_tests", "radnet.pretrain.run", "radnet.pretrain.registry", "hydra", "pandas"]
"""What the server imports once, so that a process starts in milliseconds."""


def run_rank(
    rank: int, world_size: int, port: int, overrides: list[str], said: Path, spoil: tuple[int, int, str] | None
) -> None:
    """`radnet pretrain` with `overrides`; what it says goes to a file.

    Args:
        rank: Number of this process.
        world_size: Number of processes.
        port: Where they meet.
        overrides: Of the run.
        said: The file.
        spoil: (rank, step, how): that rank meets a mishap in that step, "nan", "memory" or "kill".
    """
    torch.set_num_threads(1)
    if world_size > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    if spoil is not None and spoil[0] == rank:
        SimCLR.forward = spoilt(SimCLR.forward, {spoil[1]}, spoil[2])  # type: ignore[method-assign]
    with said.open("a") as file:
        sys.stdout = sys.stderr = file
        main(["pretrain", *overrides])


def spoilt(forward: Callable[..., Any], steps: set[int], how: str) -> Callable[..., Any]:
    """A method's forward that meets a mishap in some of its calls, counted from 0."""
    calls = 0

    def spoilt_forward(self: Method, views: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls - 1 in steps:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
            views = [view * float("nan") for view in views]
        values: dict[str, torch.Tensor] = forward(self, views)
        return values

    return spoilt_forward
