"""Pretraining runs for tests: tiny backbones, and processes that can be killed."""

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from radnet.pretrain.moment import Moment
from radnet.shards import ShardSet
from tests.pretrain.methods_for_tests import BACKBONES, SMALL
from tests.pretrain.rank_for_tests import MODULES, run_rank

BACKBONE = {"simclr": "residual", "dino": "residual", "mae": "vit"}

QUICK = [
    "batch_size=24",
    "epochs=2",
    "device=cpu",
    "workers=0",
    "schedule.warmup_epochs=1",
    "log_every_steps=1",
    "checkpoint_every_steps=2",
    "monitors.tensorboard=false",
    "monitors.curves=false",
    "monitors.diagnosis_steps=0",
]


def tiny(method: str, shards: ShardSet, out: Path, *more: str) -> list[str]:
    """Overrides of a run of 18 steps in two epochs."""
    backbone, arguments = BACKBONES[BACKBONE[method]]
    own = [f"+backbone_arguments.{name}={value}" for name, value in arguments.items()]
    places = [f"data={shards.path}", f"out={out}"]
    return [f"method={method}", f"backbone={backbone}", *own, *SMALL[method], *QUICK, *places, *more]


class StopAfter:
    """Stands in for a method's `before_step` or `after_step`, sends this process a signal in one step, from 1."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGUSR1) -> None:
        self.step, self.number = step, number

    def __call__(self, moment: Moment) -> dict[str, float]:
        if moment.step + 1 == self.step:
            os.kill(os.getpid(), self.number)
        return {}


def losses(run: Path) -> list[float]:
    """The logged losses, one a step."""
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


@dataclass
class Ranks:
    """The processes of one run.

    Attributes:
        processes: One a rank.
        said: What they said, one file a rank.
    """

    processes: list[multiprocessing.process.BaseProcess]
    said: list[Path]

    def wait(self, timeout_s: float = 120.0) -> list[int | None]:
        """Exit codes, one a rank."""
        until_s = time.monotonic() + timeout_s
        for process in self.processes:
            process.join(max(until_s - time.monotonic(), 0.1))
        return [process.exitcode for process in self.processes]

    def send(self, number: signal.Signals, ranks: Sequence[int] | None = None) -> None:
        """A signal to some ranks, or to all."""
        for rank in range(len(self.processes)) if ranks is None else ranks:
            pid = self.processes[rank].pid
            if self.processes[rank].is_alive() and pid is not None:
                os.kill(pid, number)

    def text(self, rank: int = 0) -> str:
        """What a rank said."""
        return self.said[rank].read_text()


@dataclass
class Launcher:
    """Starts runs of one or several ranks, from a server that has imported everything."""

    directory: Path
    started: list[Ranks] = field(default_factory=list)

    def __call__(self, overrides: list[str], world_size: int = 1, spoil: tuple[int, int, str] | None = None) -> Ranks:
        """Start `radnet pretrain`; for `spoil` see `run_rank`."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(MODULES)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        number = len(self.started)
        said = [self.directory / f"start-{number}-rank-{rank}.txt" for rank in range(world_size)]
        ranks = Ranks(
            [
                context.Process(target=run_rank, args=(rank, world_size, port, overrides, said[rank], spoil))
                for rank in range(world_size)
            ],
            said,
        )
        for process in ranks.processes:
            process.start()
        self.started.append(ranks)
        return ranks


def wait_for(condition: Callable[[], bool], ranks: Ranks, timeout_s: float = 120.0) -> None:
    """Until something is so, or a process has ended."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if not all(process.is_alive() for process in ranks.processes):
            return
        assert time.monotonic() < until_s, ranks.text()
        time.sleep(0.005)


def steps_logged(run: Path) -> int:
    """Lines of the log so far."""
    log = run / "log.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0
