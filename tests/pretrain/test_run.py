"""Whole runs on a small phantom set: export, exact resume, refusals, several processes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from radnet.errors import RadnetError, UsageError
from radnet.models import ModelName, load_model, transform_for
from radnet.pretrain.checkpoints import list_checkpoints, load_checkpoint, newest_checkpoint, step_of
from radnet.pretrain.log import RunLog
from radnet.pretrain.mae import MAE
from radnet.pretrain.run import export_run, pretrain
from radnet.pretrain.simclr import SimCLR
from radnet.pretrain.stopping import StoppedError
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import BatchOrder, ShardSet
from radnet.shards.build import build_shards
from tests.pretrain.rank_for_tests import spoilt
from tests.pretrain.runs_for_tests import StopAfter, losses, tiny


def _overrides(shards: ShardSet, out: Path, *more: str) -> list[str]:
    return tiny("simclr", shards, out, *more)


def test_a_run_ends_with_an_export_that_gives_the_features_of_its_last_checkpoint(
    phantom_set: ShardSet, tmp_path: Path
) -> None:
    run = pretrain(_overrides(phantom_set, tmp_path / "run"))
    steps = len(losses(run))
    assert steps == 2 * (len(phantom_set.rows("train")) // 24)
    newest = newest_checkpoint(run / "checkpoints")
    assert newest is not None
    assert newest.name == f"step-{steps:09d}.pt"
    state = torch.load(newest, weights_only=True)["method"]
    backbone = timm.create_model("test_resnet", num_classes=0, in_chans=1)
    backbone.load_state_dict({k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")})
    picture = torch.from_numpy(transform_for(run / "export")(phantom_set.read_image(0))[0])[None]
    loaded = timm.create_model(f"local-dir:{run / 'export'}", pretrained=True, num_classes=0).eval()
    with torch.inference_mode():
        assert (loaded(picture) - backbone.eval()(picture)).abs().max() <= 1e-5
    model = load_model(ModelName.parse(f"run:{run}"))
    assert (model.arm, model.synthetic) == ("in-domain", True)


def test_training_moves_the_weights_and_lowers_the_loss(phantom_set: ShardSet, tmp_path: Path) -> None:
    run = pretrain(_overrides(phantom_set, tmp_path / "run", "epochs=6", "optimizer.lr=1e-3"))
    seen = losses(run)
    assert np.mean(seen[-5:]) < np.mean(seen[:5])


def test_other_settings_in_the_same_directory_are_refused_by_name(phantom_set: ShardSet, tmp_path: Path) -> None:
    pretrain(_overrides(phantom_set, tmp_path / "run", "epochs=1"))
    with pytest.raises(UsageError, match="epochs: 1 before, 2 now"):
        pretrain(_overrides(phantom_set, tmp_path / "run", "epochs=2"))
    with pytest.raises(UsageError, match=r"method\.name: 'simclr' before, 'mae' now") as refusal:
        pretrain(tiny("mae", phantom_set, tmp_path / "run"))
    assert "temperature" not in str(refusal.value)  # all of another method differs
    before = (tmp_path / "run" / "log.jsonl").read_text()
    pretrain(_overrides(phantom_set, tmp_path / "run", "epochs=1"))
    assert (tmp_path / "run" / "log.jsonl").read_text() == before


def test_a_directory_that_is_no_run_is_left_alone(phantom_set: ShardSet, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="is no run"):
        pretrain(_overrides(phantom_set, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["backbone=resnet5"], "Did you mean"),
        (["optimizer.name=lion"], "optimizer.name"),
        (["batch_size=100000"], "Lower batch_size"),
        (["evaluation_window.policy=fixd"], "Did you mean fixed"),
        (["device=tpu"], "auto, cpu or cuda"),
        (["data=/nowhere"], "No such shard set"),
        (["precision=fp64"], "precision"),
        (["+colour=red"], "colour"),
        (["~backbone_arguments"], r"missing in .* 'backbone_arguments'"),
        (["schedule.warmup_epochs=3"], "warmup_epochs=3 is more than epochs=2"),
        (["+method.views.views=3"], "two views"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    phantom_set: ShardSet, tmp_path: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        pretrain(_overrides(phantom_set, tmp_path / "run", *overrides))
    assert not (tmp_path / "run").exists()


def test_losses_that_stay_not_finite_stop_the_run_with_advice(phantom_set: ShardSet, tmp_path: Path) -> None:
    """Weights explode in the first step; no later step may be saved."""
    run = tmp_path / "run"
    wild = ["optimizer.name=sgd", "optimizer.lr=1e30", "max_skipped_in_a_row=3"]
    with pytest.raises(RadnetError, match=r"3 steps in a row.*skipped\.jsonl.*Lower optimizer\.lr"):
        pretrain(_overrides(phantom_set, run, *wild))
    assert list_checkpoints(run / "checkpoints") == []
    with pytest.raises(UsageError, match="not finished"):
        load_model(ModelName.parse(f"run:{run}"))


def test_a_batch_that_is_not_finite_is_named_and_left_out(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(SimCLR, "forward", spoilt(SimCLR.forward, {2, 3, 6}, "nan"))
    monkeypatch.setattr(SimCLR, "after_step", StopAfter(6))
    with pytest.raises(StoppedError):
        pretrain(_overrides(phantom_set, run))
    lines = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 4, 7]
    assert lines[0]["ranks"][0]["loss"] == "nan"
    rows = phantom_set.rows("train")
    third = BatchOrder(len(rows), 24, 1, 0).epoch(0)[2, 0]
    assert lines[0]["ranks"][0]["keys"] == list(phantom_set.index["key"].to_numpy()[rows[third]])
    # the seventh step was left out, so it went on to one whose loss was finite, whose checkpoint is the newest
    assert [step_of(path) for path in list_checkpoints(run / "checkpoints")][-1] == 8
    assert json.loads((run / "stopped.json").read_text())["step"] == 8
    monkeypatch.undo()
    pretrain(_overrides(phantom_set, run))
    assert [json.loads(line)["step"] for line in (run / "skipped.jsonl").read_text().splitlines()] == [3, 4, 7]
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [1, 2, 5, 6, *range(8, 19)]
    assert logged[-1]["skipped_steps"] == 3
    assert "3 steps were skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    "overrides",
    [
        ["precision=bf16", "accumulate=2", "optimizer.name=lars", "optimizer.clip_norm=1", "view_dtype=float16"],
        ["precision=fp16", "activation_checkpointing=true", "optimizer.name=sgd", "schedule.final_weight_decay=0.1"],
    ],
)
def test_a_run_with_all_the_knobs_turned_ends_and_goes_on(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    """With MAE: convolutions in half precision take seconds on a CPU."""
    whole, run = (tiny("mae", phantom_set, tmp_path / name, "epochs=1", *overrides) for name in ("whole", "run"))
    pretrain(whole)
    with monkeypatch.context() as patch:
        patch.setattr(MAE, "before_step", StopAfter(4))
        with pytest.raises(StoppedError):
            pretrain(run)
    pretrain(run)
    assert len(losses(tmp_path / "run")) >= 3  # a step whose gradients overflow while fp16 looks for its scale has none
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_the_average_of_checkpoints_is_exported(phantom_set: ShardSet, tmp_path: Path, whole_run: Path) -> None:
    paths = list_checkpoints(whole_run / "checkpoints")
    assert [step_of(path) for path in paths] == [16, 18]
    states = [load_checkpoint(path).method for path in paths]
    out = export_run(whole_run, tmp_path / "export", average=2)
    loaded = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=0).state_dict()
    name = "layer1.0.conv1.weight"
    expected = (states[0][f"backbone.{name}"].double() + states[1][f"backbone.{name}"].double()) / 2
    assert torch.equal(loaded[name], expected.float())
    assert int(loaded["bn1.num_batches_tracked"]) == int(states[1]["backbone.bn1.num_batches_tracked"])
    earlier = export_run(whole_run, tmp_path / "earlier", step=16)
    loaded = timm.create_model(f"local-dir:{earlier}", pretrained=True, num_classes=0).state_dict()
    assert torch.equal(loaded[name], states[0][f"backbone.{name}"])
    with pytest.raises(UsageError, match="There are: 16, 18"):
        export_run(whole_run, tmp_path / "none", step=17)
    with pytest.raises(UsageError, match="keep_checkpoints"):
        export_run(whole_run, tmp_path / "none", average=3)
    with pytest.raises(UsageError, match="not empty"):
        export_run(whole_run, out)


def test_an_unfinished_run_is_exported_with_its_true_number_of_steps(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimCLR, "after_step", StopAfter(3))
    with pytest.raises(StoppedError, match="SIGUSR1"):
        pretrain(tiny("simclr", phantom_set, tmp_path / "run"))
    out = export_run(tmp_path / "run", tmp_path / "export")
    assert "4 steps" in load_model(ModelName.parse(f"local-dir:{out}")).pretraining


def test_a_set_that_changed_is_not_continued_on_and_one_that_moved_is(phantom_set: ShardSet, tmp_path: Path) -> None:
    run = pretrain(_overrides(phantom_set, tmp_path / "run", "epochs=1"))
    shutil.copytree(phantom_set.path, tmp_path / "moved")
    assert pretrain(_overrides(ShardSet.open(tmp_path / "moved"), run, "epochs=1")) == run
    write_phantom_archive(tmp_path / "archive", patients=4, slices=4, size=48)
    build_shards(tmp_path / "archive", tmp_path / "other", KeyedHash(b"a secret for tests only"))
    with pytest.raises(UsageError, match="other content"):
        pretrain(_overrides(ShardSet.open(tmp_path / "other"), run, "epochs=1"))


def test_the_export_normalises_as_the_views_did(phantom_set: ShardSet, tmp_path: Path) -> None:
    settings = ["epochs=1", "+method.views.mean=0.2", "+method.views.std=0.3"]
    run = pretrain(_overrides(phantom_set, tmp_path / "run", *settings))
    assert (transform_for(run / "export").mean, transform_for(run / "export").std) == ((0.2,), (0.3,))


def test_a_line_that_a_crash_cut_off_does_not_stop_the_run(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    for step in (1, 2, 3):
        log.write({"step": step, "loss": 1.0})
    with log.path.open("a") as file:
        file.write('{"step": 4, "lo')
    log.rewind(2)
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == [1, 2]


def test_several_slurm_tasks_without_torchrun_are_refused(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    with pytest.raises(UsageError, match="torchrun"):
        pretrain(_overrides(phantom_set, tmp_path / "run"))
