"""Several real ranks over gloo, as forks of the test: nothing is imported or pickled again."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

SECONDS = 120


def on_ranks(world_size: int, work: Callable[[int], Any], scratch: Path) -> list[Any]:
    """Results of `work(rank)` of every rank; what it returns must pass `torch.load(weights_only=True)`.

    Args:
        world_size: Number of ranks.
        work: Called inside the process group.
        scratch: An empty directory.
    """
    # the threads of torch do not survive a fork; with one there are none
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    forks = [context.Process(target=_rank, args=(rank, world_size, work, scratch)) for rank in range(world_size)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join(SECONDS)
    codes = [fork.exitcode for fork in forks]
    for fork in forks:
        fork.kill()
    assert codes == [0] * world_size, codes
    return [torch.load(scratch / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


def _rank(rank: int, world_size: int, work: Callable[[int], Any], scratch: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{scratch / 'meeting'}", rank=rank, world_size=world_size
    )
    torch.save(work(rank), scratch / f"{rank}.pt")
    distributed.destroy_process_group()
