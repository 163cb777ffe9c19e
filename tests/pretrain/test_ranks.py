"""Several processes that must agree, and what they say when one of them is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from radnet.models import ModelName, load_model
from radnet.pretrain.checkpoints import list_checkpoints
from radnet.shards import ShardSet
from tests.pretrain.runs_for_tests import Launcher, losses, steps_logged, tiny, wait_for


def test_all_ranks_leave_after_the_same_step_when_one_is_asked_to(
    phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    run = tmp_path / "run"
    ranks = launch(tiny("simclr", phantom_set, run, "epochs=100", "schedule.warmup_epochs=0"), 2)
    wait_for(lambda: steps_logged(run) >= 3, ranks)
    ranks.send(signal.SIGUSR1, [1])
    assert ranks.wait() == [75, 75], ranks.text()
    left = json.loads((run / "stopped.json").read_text())
    assert left["step"] == len(losses(run)) == int(list_checkpoints(run / "checkpoints")[-1].stem[-9:])
    assert "stopped by another process" in ranks.text(0)
    assert "stopped by SIGUSR1" in ranks.text(1)


def test_a_rank_that_dies_takes_the_others_along_with_a_word(
    phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    ranks = launch(tiny("simclr", phantom_set, tmp_path / "run"), 2, spoil=(1, 3, "kill"))
    assert ranks.wait() == [1, -signal.SIGKILL], ranks.text()
    assert "Another process of this run has gone" in ranks.text(0)
    assert "--max-restarts" in ranks.text(0)


def test_memory_that_runs_out_on_one_rank_is_explained_there(
    phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    ranks = launch(tiny("simclr", phantom_set, tmp_path / "run"), 2, spoil=(1, 3, "memory"))
    assert ranks.wait() == [1, 1], ranks.text()
    assert "rank 1: Out of memory with batch_size=24" in ranks.text(1)


def test_a_batch_that_is_not_finite_on_one_rank_is_left_out_on_all(
    phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    run = tmp_path / "run"
    ranks = launch(tiny("simclr", phantom_set, run, "epochs=1"), 2, spoil=(1, 3, "nan"))
    assert ranks.wait() == [0, 0], ranks.text()
    (line,) = (json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines())
    assert line["step"] == 4
    assert [len(one["keys"]) for one in line["ranks"]] == [12, 12]
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
        *range(5, 10),
    ]
    assert "1 steps were skipped" in ranks.text(0)


def test_a_batch_that_does_not_divide_is_refused_on_every_rank(
    phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    for batch, more in (("25", "accumulate=1"), ("26", "accumulate=2")):
        ranks = launch(tiny("simclr", phantom_set, tmp_path / "run", f"batch_size={batch}", more), 2)
        assert ranks.wait() == [2, 2]
        assert "must divide by their number, 2" in ranks.text(0)
        assert "For example batch_size=24" in ranks.text(0)
    assert not (tmp_path / "run").exists()


def test_a_directory_that_cannot_be_taken_is_refused_on_every_rank(
    phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    ranks = launch(tiny("simclr", phantom_set, tmp_path / "run"), 2)
    assert ranks.wait() == [2, 2]
    assert "is no run" in ranks.text(0)


@pytest.mark.slow
def test_torchrun_killed_and_then_a_rank_killed_are_one_run_in_the_end(phantom_set: ShardSet, tmp_path: Path) -> None:
    """The line that README gives, with gloo. First its torchrun is killed: nobody trains on unseen, beside the next
    start. Then one rank, which torchrun starts again. Both ranks, one log, one export."""
    run = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "1"]
    overrides = tiny("simclr", phantom_set, run, "epochs=6")

    def said_until_the_end(mishap: Callable[[int], None], returncode: int) -> str:
        before = steps_logged(run)
        with subprocess.Popen(
            [*launcher, "--nproc-per-node", "2", "-m", "radnet", "pretrain", *overrides],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as agent:
            while steps_logged(run) < before + 5 and agent.poll() is None:
                time.sleep(0.05)
            mishap(agent.pid)
            _, said = agent.communicate(timeout=240)  # to the end of those who hold the pipe, not of torchrun alone
        assert agent.returncode == returncode, said
        return said

    said = said_until_the_end(lambda agent: os.kill(agent, signal.SIGKILL), -signal.SIGKILL)
    assert said.count("stopped by the end of its torchrun") == 2
    stopped_at = json.loads((run / "stopped.json").read_text())["step"]
    assert stopped_at == len(losses(run)) < 54
    said = said_until_the_end(lambda agent: os.kill(_child_with(agent, "RANK=1"), signal.SIGKILL), 0)
    assert f"continued at step {stopped_at}" in said
    assert "2 process(es)" in said
    assert said.count("continued at step") == 2
    assert said.count("finished:") == 1
    assert len(losses(run)) == 54
    assert load_model(ModelName.parse(f"run:{run}")).arm == "in-domain"


def _child_with(parent: int, variable: str) -> int:
    """A child process that has a variable in its environment."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"PPid:\t{parent}\n" in (directory / "status").read_text()
            if is_child and variable in (directory / "environ").read_text().split("\0"):
                return int(directory.name)
        except OSError:
            continue
    raise AssertionError("no such child")
