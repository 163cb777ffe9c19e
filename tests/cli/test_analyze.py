"""Which checkpoints of a run a report follows, without training one."""

from pathlib import Path

import pytest

from radnet.analysis.report.study import CHECKPOINT
from radnet.cli.analyze import checkpoints_of_runs


def test_checkpoints_are_chosen_evenly_and_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, exported = tmp_path / "run", []
    (run / "checkpoints").mkdir(parents=True)
    for step in range(10, 110, 10):
        (run / "checkpoints" / f"step-{step:09d}.pt").write_bytes(bytes(step))

    def export(source: Path, out: Path, *, step: int) -> None:
        out.mkdir(parents=True)
        exported.append((source, step))

    monkeypatch.setattr("radnet.pretrain.exporting.export_run", export)
    models = [f"run:{run}", "random:resnet18", f"run:{tmp_path / 'unknown'}"]
    found = checkpoints_of_runs(models, tmp_path / "out", 4)
    assert exported == [(run, step) for step in (10, 40, 70, 100)]
    assert [shown for _, shown in found] == [f"run:{run} @ {step}" for step in (10, 40, 70, 100)]
    assert all(CHECKPOINT.match(shown) for _, shown in found)
    assert all(Path(model.removeprefix("local-dir:")).is_dir() for model, _ in found)
    assert checkpoints_of_runs(models, tmp_path / "out", 4) == found
    assert len(exported) == 4
    assert checkpoints_of_runs(models, tmp_path / "out", 0) == []
