"""`examples/slurm_pretrain.sh` on one node of two processes, with stand-ins for Slurm's own commands."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from radnet.models import ModelName, load_model
from radnet.shards import ShardSet
from tests.pretrain.runs_for_tests import losses, tiny

ROOT = Path(__file__).parents[1]
SRUN = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\necho $$ > "$FAKE/pid"\nexec "$@"\n'
SCONTROL = '#!/bin/sh\necho "$@" >> "$FAKE/asked"\n[ "$1" = requeue ] || echo localhost\n'


@dataclass
class Slurm:
    """A directory of stand-ins at the front of PATH; they leave notes in it."""

    directory: Path

    def install(self, name: str, script: str) -> None:
        (self.directory / name).write_text(script)
        (self.directory / name).chmod(0o755)

    def start(self, *overrides: str, processes: int = 2) -> subprocess.Popen[str]:
        path = f"{self.directory}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"FAKE": str(self.directory), "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        job = str(random.randrange(10**6))  # noqa: S311  (it chooses the port)
        own |= {"SLURM_JOB_ID": job, "SLURM_JOB_NODELIST": "node[1-1]", "PROCESSES": str(processes)}
        return subprocess.Popen(
            ["bash", str(ROOT / "examples" / "slurm_pretrain.sh"), *overrides],
            env={**os.environ, **own, "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "1"},
            cwd=self.directory,
            stderr=subprocess.PIPE,
            text=True,
        )

    def has_requeued(self) -> bool:
        return "requeue" in (self.directory / "asked").read_text()


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    (tmp_path / "slurm").mkdir()
    slurm = Slurm(tmp_path / "slurm")
    slurm.install("srun", SRUN)
    slurm.install("scontrol", SCONTROL)
    return slurm


@pytest.mark.slow
def test_a_job_whose_time_is_over_is_queued_again_and_then_finishes(
    slurm: Slurm, phantom_set: ShardSet, tmp_path: Path
) -> None:
    overrides = tiny("simclr", phantom_set, tmp_path / "run", "epochs=5", "checkpoint_every_steps=1000")
    job = slurm.start(*overrides)
    log, until_s = tmp_path / "run" / "log.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 3):
        assert job.poll() is None, job.communicate()[1]
        assert time.monotonic() < until_s
        time.sleep(0.01)
    os.kill(int((slurm.directory / "pid").read_text()), signal.SIGUSR1)
    said = job.communicate(timeout=120)[1]
    assert job.returncode == 0, said
    assert slurm.has_requeued()
    assert (tmp_path / "run" / "stopped.json").is_file()
    before = losses(tmp_path / "run")
    (slurm.directory / "asked").unlink()
    again = slurm.start(*overrides, processes=1)  # another node may have fewer GPUs
    said = again.communicate(timeout=240)[1]
    assert again.returncode == 0, said
    assert not slurm.has_requeued()
    steps = 5 * (len(phantom_set.rows("train")) // 24)
    assert len(before) < steps == len(losses(tmp_path / "run"))
    assert losses(tmp_path / "run")[: len(before)] == before
    assert load_model(ModelName.parse(f"run:{tmp_path / 'run'}")).arm == "in-domain"


@pytest.mark.parametrize(
    ("torchrun", "code", "requeued"),
    [
        ("exit 0", 0, False),
        ("exit 3", 3, False),
        ("exit 75", 0, True),
        ("""echo '{"signal": "SIGUSR1"}' > run/stopped.json; exit 1""", 0, True),
        ("""echo '{"signal": "SIGTERM"}' > run/stopped.json; exit 1""", 1, False),
    ],
)
def test_what_is_queued_again(slurm: Slurm, torchrun: str, code: int, requeued: bool) -> None:
    stale = slurm.directory / "run" / "stopped.json"
    stale.parent.mkdir()
    stale.write_text('{"signal": "SIGUSR1"}')
    os.utime(stale, (0, 0))
    slurm.install("torchrun", f'#!/bin/sh\necho "$@" > "$FAKE/arguments"\nsleep 0.02\n{torchrun}\n')
    job = slurm.start("data=SET", "out=run", "epochs=3")
    said = job.communicate(timeout=60)[1]
    assert job.returncode == code, said
    assert slurm.has_requeued() == requeued
    arguments = (slurm.directory / "arguments").read_text()
    assert arguments.endswith("-m radnet pretrain data=SET out=run epochs=3\n")
    assert "--nnodes 1 --nproc-per-node 2 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint localhost:" in arguments
    assert "SIGUSR1" in arguments


def test_a_job_without_a_place_for_the_run_is_refused(slurm: Slurm) -> None:
    job = slurm.start("data=SET")
    assert "out=RUN" in job.communicate(timeout=60)[1]
    assert job.returncode == 2
