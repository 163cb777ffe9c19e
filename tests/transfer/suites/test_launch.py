"""Workers that Hydra's launchers start, for real: joblib's processes, and submitit's executor for one machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from radnet.errors import UsageError
from radnet.shards import ShardSet
from radnet.transfer.suites.launch import is_local, launcher_of
from radnet.transfer.suites.run import run_benchmark
from tests.transfer.suites.suites_for_tests import benchmark_of

ROOT = Path(__file__).parents[3]
MODELS = "suite.models={random:'random:resnet10t',imagenet:'random:resnet14t',in_domain:null}"
WORDS = ("suite=mini_phantom", "prepare=false", "only.task=liver_lesion", "only.arm=[random,imagenet]", "resamples=100")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_two_workers_of_a_launcher_compute_every_cell_once(
    launcher: str, phantom_set: ShardSet, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(phantom_set.path)
    command = [sys.executable, "-m", "radnet", "benchmark", *WORDS, MODELS, "jobs=2", f"hydra/launcher={launcher}"]
    command += [f"data={tmp_path / 'data'}", f"cache={tmp_path / 'cache'}", f"work={tmp_path / 'work'}"]
    command += [f"results={tmp_path / 'results'}", "gflops_per_s=10"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"2 workers by hydra/launcher={launcher}" in done.stderr
    records = [json.loads(file.read_text()) for file in (tmp_path / "results").glob("*.json")]
    assert len(records) == 2 * 2 * 2
    assert all(record["status"] == "done" for record in records)
    assert {len(record["differences"] or {}) for record in records} == {0, 1}
    assert len(list((tmp_path / "cache" / "features").glob("*.npy"))) == 2
    assert "failed" not in done.stderr


def test_the_launcher_is_read_from_the_overrides() -> None:
    assert is_local(["suite=mini"])
    assert not is_local(["hydra/launcher=joblib"])
    assert launcher_of(["hydra/launcher=joblib", "jobs=2", "hydra/launcher=submitit_slurm"]) == "submitit_slurm"


def test_a_launcher_that_is_not_there_is_named_with_its_extra(phantom_set: ShardSet, tmp_path: Path) -> None:
    benchmark = benchmark_of(tmp_path, phantom_set, jobs=2)
    with pytest.raises(UsageError, match=r"pip install 'radnet\["):
        run_benchmark(benchmark, ["hydra/launcher=joblibb"])
