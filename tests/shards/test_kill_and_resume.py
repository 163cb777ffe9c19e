"""A process that is killed at any step and started again makes the batches of an uninterrupted one."""

import hashlib
import json
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import radnet.shards
from radnet.shards import Stream
from tests.shards.views_for_tests import PixelsAndChance

STEPS = 16
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


def make_and_die(line_to: Connection, stream_arguments: tuple[str, str, int, int, int], start: int, kill: int) -> None:
    """In a process of its own: the batches from `start` on, and a SIGKILL before batch `kill` is delivered."""
    stream = stream_of(*stream_arguments)
    stream.load_state_dict({"epoch": start // len(stream), "step": start % len(stream)})
    for line in lines(stream, kill - start):
        line_to.send(line)
    os.kill(os.getpid(), signal.SIGKILL)


def lines_until_killed(*arguments: Any) -> list[str]:
    processes = multiprocessing.get_context("fork")  # without an import of torch for each
    reader, writer = processes.Pipe(duplex=False)
    process = processes.Process(target=make_and_die, args=(writer, *arguments))
    process.start()
    writer.close()
    process.join()
    found = []
    while reader.poll():  # not until the end of the pipe: loader workers that were orphaned hold it for some seconds
        try:
            found.append(reader.recv())
        except EOFError:
            break
    assert process.exitcode == -signal.SIGKILL
    return found


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
def test_batches_after_five_kills(built: Path, kind: str, world_size: int, workers: int) -> None:
    generator = np.random.default_rng([world_size, workers])
    kills = sorted(generator.choice(np.arange(1, STEPS), 5, replace=False).tolist())
    for rank in range(world_size):
        whole = stream_of(str(built), kind, rank, world_size, 0)
        expected = lines(whole, STEPS)
        found: list[str] = []
        for kill in kills:
            found += lines_until_killed((str(built), kind, rank, world_size, workers), len(found), kill)
        last = stream_of(str(built), kind, rank, world_size, workers)
        last.load_state_dict({"epoch": len(found) // len(whole), "step": len(found) % len(whole)})
        found += lines(last, STEPS - len(found))
        last.close()
        assert found == expected
