"""Workers that Hydra's launchers start: submitit's executor for debugging, in this process, and joblib's processes."""

from pathlib import Path
from typing import Any

import pytest

from radnet.errors import UsageError
from radnet.shards import ShardSet
from radnet.transfer.suites import launch as launch_module
from radnet.transfer.suites.launch import is_local, launcher_of
from radnet.transfer.suites.outcomes import Done
from radnet.transfer.suites.run import Benchmark, run_benchmark
from radnet.transfer.suites.spec import read_benchmark
from tests.transfer.suites.suites_for_tests import benchmark_of


def _overrides(root: Path, shards: ShardSet, *more: str) -> list[str]:
    (root / "data").mkdir()
    (root / "data" / "phantom").symlink_to(shards.path)
    places = [f"{name}={root / name}" for name in ("data", "cache", "work", "results")]
    models = "suite.models={random:'random:resnet10t',imagenet:'random:resnet14t',in_domain:null}"
    part = ["only.task=liver_lesion", "only.arm=[random,imagenet]", "only.protocol=knn"]
    return ["suite=mini_phantom", models, *part, *places, "resamples=100", "gflops_per_s=10", *more]


def _run(overrides: list[str]) -> list[Done]:
    benchmark = Benchmark.of(*read_benchmark(overrides), "cpu")
    return list(run_benchmark(benchmark, overrides).values())


def test_workers_of_submitit_share_the_cells(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher

    monkeypatch.setattr(LocalLauncher, "_EXECUTOR", "debug")  # one worker after the other, in this process
    monkeypatch.setattr(launch_module, "_share_cores", lambda jobs: None)
    done = _run(_overrides(tmp_path, phantom_set, "jobs=2", "hydra/launcher=submitit_local"))
    assert [entry.status for entry in done] == ["computed"] * 4
    assert len(list((tmp_path / "results").glob("*.json"))) == 4
    assert "2 workers by hydra/launcher=submitit_local" in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_of_joblib_computes_the_cells(phantom_set: ShardSet, tmp_path: Path) -> None:
    done = _run(_overrides(tmp_path, phantom_set, "jobs=1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"))
    assert [entry.status for entry in done] == ["computed"] * 4


def test_a_worker_that_dies_costs_its_cells_and_says_why(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher

    def dying(*_: Any) -> None:
        raise MemoryError("too much")

    monkeypatch.setattr(LocalLauncher, "_EXECUTOR", "debug")
    monkeypatch.setattr(launch_module, "_share_cores", lambda jobs: None)
    monkeypatch.setattr(launch_module, "work_through", dying)
    done = _run(_overrides(tmp_path, phantom_set, "hydra/launcher=submitit_local"))
    assert {entry.status for entry in done} == {"failed"}
    assert "run the suite again" in done[0].reason
    assert "too much" in capsys.readouterr().err


def test_the_launcher_is_read_from_the_overrides() -> None:
    assert is_local(["suite=mini"])
    assert not is_local(["hydra/launcher=joblib"])
    assert launcher_of(["hydra/launcher=joblib", "jobs=2", "hydra/launcher=submitit_slurm"]) == "submitit_slurm"


def test_a_launcher_that_is_not_there_is_named_with_its_extra(phantom_set: ShardSet, tmp_path: Path) -> None:
    benchmark = benchmark_of(tmp_path, phantom_set, jobs=2)
    with pytest.raises(UsageError, match=r"pip install 'radnet\["):
        run_benchmark(benchmark, ["hydra/launcher=joblibb"])
