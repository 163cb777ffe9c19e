"""Suites on the phantom: run, run again, killed, two at once, and what fails."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from radnet.errors import UsageError
from radnet.locks import lock_if_free
from radnet.models import Provenance, create_backbone, export_backbone
from radnet.records import read_records
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import build_shards
from radnet.transfer import features as feature_module
from radnet.transfer.suites import work as work_module
from radnet.transfer.suites.outcomes import Done
from radnet.transfer.suites.run import run_benchmark
from radnet.transfer.suites.work import one_cell
from radnet.views import EvaluationView
from tests.transfer.suites.suites_for_tests import benchmark_of, contents, suite_of

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # a child by fork must not wait for threads it does not have


@pytest.fixture(scope="module")
def undisturbed(phantom_set: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a suite leaves that nothing disturbed."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("undisturbed")
    done = run_benchmark(benchmark_of(root, phantom_set), [])
    assert {entry.status for entry in done.values()} == {"computed"}
    return root


def _run(root: Path, shards: ShardSet, out: Any = None) -> None:
    done = run_benchmark(benchmark_of(root, shards), [])
    if out is not None:
        out.put([entry.status for entry in done.values()])


def test_every_cell_has_a_record_with_its_difference_to_the_reference(undisturbed: Path) -> None:
    records = read_records(undisturbed / "results")
    assert len(records) == 8
    for record in records:
        difference = list((record.differences or {}).values())
        assert len(difference) == (0 if record.model.architecture == "resnet10t" else 1)
        assert record.overlap is not None
        assert record.resampled is not None
        assert record.selected["channels"]["policy"] == "one channel"  # type: ignore[index, call-overload]
    assert not list((undisturbed / "results" / ".suite").rglob("*.lock"))
    assert len(list((undisturbed / "cache" / "features").glob("*.npy"))) == 2


def test_again_nothing_is_computed_and_nothing_written(
    undisturbed: Path, phantom_set: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: file.stat().st_mtime_ns for file in (undisturbed / "results").rglob("*") if file.is_file()}

    def never(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(work_module, "compute_cell", never)
    monkeypatch.setattr(feature_module, "_extract", never)
    monkeypatch.setattr(work_module, "load_model", never)  # nor is any model made
    work_module._loaded.cache_clear()
    done = run_benchmark(benchmark_of(undisturbed, phantom_set), [])
    assert {entry.status for entry in done.values()} == {"there already"}
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_killed_at_random_moments_and_run_again_it_leaves_the_same(
    undisturbed: Path, phantom_set: ShardSet, tmp_path: Path
) -> None:
    moments = random.Random(0)  # noqa: S311
    killed = 0
    for _ in range(5):
        child = FORK.Process(target=_run, args=(tmp_path, phantom_set))
        child.start()
        child.join(moments.uniform(0.1, 1.5))
        if child.is_alive():
            os.kill(child.pid or 0, signal.SIGKILL)
            killed += 1
        child.join()
    _run(tmp_path, phantom_set)
    assert killed
    assert contents(tmp_path / "results") == contents(undisturbed / "results")


def test_two_suites_at_once_share_the_cells_and_leave_the_same(
    undisturbed: Path, phantom_set: ShardSet, tmp_path: Path
) -> None:
    out = FORK.Queue()
    children = [FORK.Process(target=_run, args=(tmp_path, phantom_set, out)) for _ in range(2)]
    for child in children:
        child.start()
    statuses = [status for _ in children for status in out.get(timeout=300)]
    for child in children:
        child.join()
    assert statuses.count("computed") == 8
    assert statuses.count("there already") == 8
    assert contents(tmp_path / "results") == contents(undisturbed / "results")


def test_a_cell_that_another_process_computes_is_left_to_it(phantom_set: ShardSet, tmp_path: Path) -> None:
    benchmark = benchmark_of(tmp_path, phantom_set)
    planned, bench = benchmark.plan[0], benchmark.bench()
    cell = bench.column(planned).identity(bench.facts(planned).card)["cell"]
    with lock_if_free(benchmark.place.locks / f"{cell}.lock") as mine:
        assert mine
        assert one_cell(planned, bench) is None
    done = one_cell(planned, bench)
    assert done is not None
    assert done.status == "computed"


def test_what_fails_is_told_with_its_reason_and_the_rest_is_computed(phantom_set: ShardSet, tmp_path: Path) -> None:
    blocks = [
        {
            "experiment": "T",
            "models": ["first", "nobody"],
            "tasks": [{"use": "body_region", "set": "phantom", "size": 32}, {"use": "images", "set": "elsewhere"}],
            "protocols": ["knn"],
        }
    ]
    suite = suite_of(models={"first": "random:resnet10t", "nobody": None}, blocks=blocks)
    benchmark = benchmark_of(tmp_path, phantom_set, suite)
    done = run_benchmark(benchmark, [])
    told = {(cell.arm, cell.task.name): done[cell.key] for cell in benchmark.plan}
    assert told["first", "body_region"].status == "computed"
    assert "suite.models.nobody=" in told["nobody", "body_region"].reason
    assert "radnet task prepare images" in told["first", "images"].reason
    assert [entry.status for entry in done.values()].count("failed") == 3


def test_records_of_another_version_are_refused_with_what_mends_it(
    undisturbed: Path, phantom_set: ShardSet, tmp_path: Path
) -> None:
    benchmark = benchmark_of(tmp_path, phantom_set, cache=str(undisturbed / "cache"))
    (tmp_path / "results").mkdir()
    file = next((undisturbed / "results").glob("*.json"))
    content = json.loads(file.read_text()) | {"schema_version": 99}
    (tmp_path / "results" / file.name).write_text(json.dumps(content))
    done = run_benchmark(benchmark, [])
    failed: list[Done] = [entry for entry in done.values() if entry.status == "failed"]
    assert len(failed) == 1
    assert "Update radnet" in failed[0].reason
    assert json.loads((tmp_path / "results" / file.name).read_text())["schema_version"] == 99


def test_an_error_nobody_foresaw_costs_its_cell_and_leaves_a_traceback(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("halves of nothing")

    monkeypatch.setattr(work_module, "compute_cell", broken)
    benchmark = benchmark_of(tmp_path, phantom_set)
    done = run_benchmark(benchmark, [])
    assert {entry.status for entry in done.values()} == {"failed"}
    reason = next(iter(done.values())).reason
    assert "halves of nothing" in reason
    assert "ZeroDivisionError" in next(benchmark.place.run.glob("*.txt")).read_text()


def _export(out: Path, mean: float, pretrained_on: str) -> str:
    """Always the same weights."""
    shutil.rmtree(out, ignore_errors=True)
    provenance = Provenance(method="simclr", data={"elsewhere": pretrained_on})
    view = EvaluationView(size=32, mean=(mean,), std=(0.25,))
    export_backbone(
        create_backbone("resnet10t", seed=0), out, architecture="resnet10t", view=view, provenance=provenance
    )
    return f"local-dir:{out}"


def _own_model(root: Path, shards: ShardSet, mean: float = 0.5, pretrained_on: str = "0" * 64, **changes: Any) -> Done:
    """What becomes of the one cell of a suite whose model is an export."""
    block = {"experiment": "T", "models": ["own"], "tasks": [{"use": "vertebra_group", "set": "phantom", "size": 32}]}
    models, blocks = {"own": _export(root / "export", mean, pretrained_on)}, [block | {"protocols": ["knn"]}]
    suite = suite_of(models=models, reference=None, blocks=blocks)
    work_module._loaded.cache_clear()  # as in a new process
    (done,) = run_benchmark(benchmark_of(root, shards, suite, **changes), []).values()
    return done


def test_the_same_weights_with_another_normalisation_are_computed_again(phantom_set: ShardSet, tmp_path: Path) -> None:
    assert [_own_model(tmp_path, phantom_set, mean).status for mean in (0.5, 0.5, 0.1)] == [
        "computed",
        "there already",
        "computed",
    ]
    (record,) = read_records(tmp_path / "results")
    assert record.selected["channels"]["mean"] == [0.1]  # type: ignore[index, call-overload]


def test_a_pretraining_set_that_is_named_later_is_looked_into(phantom_set: ShardSet, tmp_path: Path) -> None:
    write_phantom_archive(tmp_path / "archive", patients=4, slices=4, size=64)
    build_shards(tmp_path / "archive", tmp_path / "sets" / "own", KeyedHash(b"a secret for tests only"))
    content = ShardSet.open(tmp_path / "sets" / "own").manifest.content_hash()
    for places, checked in (((), False), ((str(tmp_path / "sets"),), True)):
        done = _own_model(tmp_path, phantom_set, pretrained_on=content, pretraining_sets=places)
        (record,) = read_records(tmp_path / "results")
        assert record.overlap is not None
        assert (done.status, record.overlap.checked) == ("there already" if checked else "computed", checked)


def test_several_jobs_need_a_launcher(phantom_set: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hydra/launcher=joblib"):
        run_benchmark(benchmark_of(tmp_path, phantom_set, jobs=2), [])


def test_the_time_left_follows_the_pace(phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radnet.transfer.suites.cost import Cost
    from radnet.transfer.suites.run import Progress

    plan = benchmark_of(tmp_path, phantom_set).plan
    now = time.monotonic()
    monkeypatch.setattr("radnet.transfer.suites.run.time.monotonic", lambda: now)
    progress = Progress(plan, lambda: {cell.key: Cost(10, 1.0, 2.0) for cell in plan})
    assert progress.left_s() is None
    progress(Done(plan[0].key, "there already", 0.0, "x", ""))
    assert progress.left_s() is None
    now += 30
    progress(Done(plan[1].key, "computed", 30.0, "x", ""))
    assert progress.left_s() == pytest.approx(30 * (len(plan) - 2))


def test_a_look_at_a_finished_suite_does_not_import_timm() -> None:
    """Which takes several seconds, as long as all the rest."""
    code = "import sys, radnet.cli.benchmark; sys.exit('timm' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
