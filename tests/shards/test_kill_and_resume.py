"""A process that is killed at any step and started again makes the batches of an uninterrupted one."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import radnet.shards
from radnet.shards import Stream
from tests.shards.views_for_tests import PixelsAndChance

STEPS = 8
WINDOWED = [("window", 2, 1)]


def stream_of(path: str, kind: str, rank: int, world_size: int, workers: int) -> Stream:
    return radnet.shards.stream(
        [path, path] if kind == "mix" else path,
        views=PixelsAndChance(),
        batch_size=2,
        split=None,
        weights=[1, 2] if kind == "mix" else None,
        seed=7,
        rank=rank,
        world_size=world_size,
        workers=workers,
        window_shards=2 if kind == "window" else None,
    )


def lines(stream: Stream, steps: int) -> list[str]:
    """One line a batch: position, rows and a hash of the bytes of its views."""
    found: list[str] = []
    while len(found) < steps:
        for batch in stream:
            views = hashlib.sha256(b"".join(view.numpy().tobytes() for view in batch.views)).hexdigest()
            found.append(json.dumps([batch.epoch, batch.step, batch.rows.tolist(), views]))
            if len(found) == steps:
                break
    return found


PROGRAM = """
import os, signal, sys
import tests.shards.test_kill_and_resume as own
if __name__ == "__main__":
    path, kind, rank, world, workers, kill = sys.argv[1:]
    stream = own.stream_of(path, kind, int(rank), int(world), int(workers))
    print("\\n".join(own.lines(stream, int(kill))), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize(
    ("kind", "world_size", "workers"),
    [
        ("all", 1, 0),
        ("all", 1, 1),
        ("all", 1, 3),
        ("all", 2, 0),
        ("all", 2, 1),
        ("all", 2, 3),
        ("mix", 2, 1),
        *WINDOWED,
    ],
)
def test_batches_after_a_kill(built: Path, kind: str, world_size: int, workers: int) -> None:
    generator = np.random.default_rng([world_size, workers])
    for rank in range(world_size):
        whole = stream_of(str(built), kind, rank, world_size, 0)
        expected = lines(whole, 2 * STEPS)
        kill = int(generator.integers(1, STEPS))
        killed = subprocess.run(
            [sys.executable, "-c", PROGRAM, built, kind, str(rank), str(world_size), str(workers), str(kill)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert killed.stdout.decode().split("\n")[:-1] == expected[:kill]
        steps = len(whole)
        for step in sorted({kill, *generator.integers(1, STEPS, 4).tolist()}):
            resumed = stream_of(str(built), kind, rank, world_size, workers)
            resumed.load_state_dict({"epoch": step // steps, "step": step % steps})
            assert lines(resumed, 3) == expected[step : step + 3]
            resumed.close()
