"""What a process of a test runs: one rank of a pretraining run, as torchrun would start it."""

import os
import sys
from pathlib import Path

import torch

from radnet.cli import main

MODULES = ["rank_process", "radnet.pretrain.run", "radnet.pretrain.simclr", "hydra", "pandas"]
"""What the server imports once, so that a process starts in milliseconds."""


def run_rank(rank: int, world_size: int, port: int, overrides: list[str], said: Path) -> None:
    """`radnet pretrain` with `overrides`; what it says goes to a file."""
    torch.set_num_threads(1)
    if world_size > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    with said.open("a") as file:
        sys.stdout = sys.stderr = file
        main(["pretrain", *overrides])
