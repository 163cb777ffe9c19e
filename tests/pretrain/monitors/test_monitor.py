"""Whole runs that are watched: the same losses, values in every place, exact after a kill, one number on two ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radnet.errors import UsageError
from radnet.models import ModelName, load_model, transform_for
from radnet.pretrain import run as runs
from radnet.pretrain.monitors.findings import Finding
from radnet.pretrain.monitors.monitor import Monitor
from radnet.pretrain.monitors.online_knn import OnlineKnn
from radnet.pretrain.observer import NoObserver
from radnet.pretrain.run import pretrain
from radnet.pretrain.simclr import SimCLR
from radnet.pretrain.stopping import StoppedError
from radnet.shards import ShardSet
from radnet.transfer.knn import nearest, vote
from radnet.transfer.metrics import METRICS
from radnet.transfer.tasks import task_items, task_named
from tests.pretrain.runs_for_tests import StopAfter

COMMON = [
    "experiment=demo",
    "batch_size=8",
    "epochs=1",
    "device=cpu",
    "workers=0",
    "method.views.size=32",
    "method.hidden_dim=16",
    "log_every_steps=1",
    "checkpoint_every_steps=5",
    "monitors.features_rows=32",
]
SMALL = [
    "backbone=vit_tiny_patch16_224",
    "+backbone_arguments={embed_dim: 24, depth: 1, num_heads: 2, img_size: 32, patch_size: 8}",
]
KNN = ["monitors.knn.task=body_region", "monitors.knn.every_epochs=0.5"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _overrides(shards: ShardSet, out: Path, *more: str) -> list[str]:
    backbone = [] if any(one.startswith("backbone=") for one in more) else SMALL
    return [*COMMON, *backbone, f"data={shards.path}", f"out={out}", *more]


def _lines(run: Path, name: str = "log.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def watched(phantom_set: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything on."""
    torch.set_num_threads(1)
    return pretrain(_overrides(phantom_set, tmp_path_factory.mktemp("watched") / "run", *KNN))


def test_a_watched_run_has_the_same_losses_to_the_bit(
    watched: Path, phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "monitor_of", lambda settings, view: NoObserver())
    alone = pretrain(_overrides(phantom_set, tmp_path / "run"))
    assert [line["loss"] for line in _lines(watched)] == [line["loss"] for line in _lines(alone)]


def test_every_place_gets_the_values(watched: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = _lines(watched)
    assert {"features_std", "slices_per_s", "waiting_share", "watching_share", "gradient_norm"} <= set(lines[-1])
    assert "rankme" in lines[-1]
    assert lines[-1]["rankme_rows"] == 32
    assert sum("knn_balanced_accuracy" in line for line in lines) == 2  # after 14 of 27 steps, and at the end
    assert (watched / "curves.png").stat().st_size > 10_000
    assert (watched / "diagnosis.jsonl").is_file()
    events = EventAccumulator(str(watched / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [line["step"] for line in lines]
    assert len(events.Scalars("knn/balanced_accuracy")) == 2


def _knn_of_export(run: Path, shards: ShardSet) -> float:
    """The online kNN's value, made again from the export by the parts of transfer."""
    task, model = task_named("body_region"), load_model(ModelName.parse(f"run:{run}"))
    items, view = task_items(task, shards), transform_for(run / "export")
    features = []
    for row in items.rows:
        with torch.no_grad():
            features.append(model.backbone(torch.from_numpy(view(shards.read_image(int(row)))[0])[None])[0].numpy())
    train, val = items.side("train"), items.side("val")
    rows = np.stack(features)
    scores = vote(
        *nearest(rows[train], rows[val], k=20), items.target[train], classes=len(task.classes), temperature=0.07
    )
    return METRICS["balanced_accuracy"](items.target[val], scores)


def test_the_last_value_of_the_online_knn_is_that_of_the_export(watched: Path, phantom_set: ShardSet) -> None:
    assert _lines(watched)[-1]["knn_balanced_accuracy"] == pytest.approx(_knn_of_export(watched, phantom_set))


def test_a_killed_and_resumed_run_leaves_one_line_a_step_everywhere(
    watched: Path, phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = Monitor.logged

    def killed(self: Monitor, line: dict[str, float]) -> None:
        seen(self, line)
        if line["step"] == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Monitor, "logged", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(_overrides(phantom_set, tmp_path / "run", *KNN))
    with (tmp_path / "run" / "diagnosis.jsonl").open("a") as file:
        for step, code in ((7, "of steps that were lost"), (2, "kept")):
            file.write(json.dumps(Finding(code, step, "", "", ()).as_line()) + "\n")
    monkeypatch.setattr(Monitor, "logged", seen)
    run = pretrain(_overrides(phantom_set, tmp_path / "run", *KNN))
    same = ("step", "loss", "lr", "features_std", "knn_balanced_accuracy")
    expected = [{name: line.get(name) for name in same} for line in _lines(watched)]
    assert [{name: line.get(name) for name in same} for line in _lines(run)] == expected
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [line["step"] for line in expected]
    assert [line["code"] for line in _lines(run, "diagnosis.jsonl")][:1] == ["kept"]


def test_a_value_that_waits_for_its_line_outlives_a_stop(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kNN comes in the middle of the epoch, the next line at its end."""
    seldom, run = ["log_every_steps=1000", *KNN], tmp_path / "run"
    whole = pretrain(_overrides(phantom_set, tmp_path / "whole", *seldom))
    (line,) = _lines(whole)
    steps = int(line["step"])
    monkeypatch.setattr(SimCLR, "after_step", StopAfter(steps // 2 + 2))
    with pytest.raises(StoppedError):
        pretrain(_overrides(phantom_set, run, *seldom))
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(OnlineKnn, "__call__", lambda self, backbone: {})
        pretrain(_overrides(phantom_set, run, *seldom))
    (resumed,) = _lines(run)
    assert 0 <= resumed["knn_balanced_accuracy"] <= 1


def test_two_ranks_share_the_knn_and_one_of_them_speaks(phantom_set: ShardSet, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "radnet"]
    done = subprocess.run(
        # each rank has batch norms of its own, and the export has those of rank 0
        [*command, "pretrain", *_overrides(phantom_set, out, *KNN, "backbone=lcnet_035")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("online kNN on body_region") == 1
    assert _lines(out)[-1]["knn_balanced_accuracy"] == pytest.approx(_knn_of_export(out, phantom_set))
    assert (out / "curves.png").is_file()


def test_a_labelled_set_that_cannot_be_used_is_refused_before_there_is_a_run(
    phantom_set: ShardSet, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="No such shard set"):
        pretrain(_overrides(phantom_set, tmp_path / "run", *KNN, f"monitors.knn.data={tmp_path / 'nowhere'}"))
    assert not (tmp_path / "run").exists()


def test_a_run_whose_weights_die_is_reported_with_what_to_change(
    phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deadly = ["optimizer.lr=3", "optimizer.weight_decay=0.3", "schedule.warmup_epochs=0"]  # nine tenths a step
    watching = ["monitors=off", "monitors.diagnosis_steps=12"]
    run = pretrain(_overrides(phantom_set, tmp_path / "run", "epochs=3", *deadly, *watching))
    found = _lines(run, "diagnosis.jsonl")
    assert {"collapsed", "at-chance", "features-alike"} & {one["code"] for one in found}
    assert all(one["seen"] and one["means"] and one["change"] for one in found)
    said = " ".join(capsys.readouterr().err.split())
    assert "optimizer.lr (now 3.0): lower it" in said
    assert not (run / "tensorboard").exists()
    assert not (run / "curves.png").exists()
