"""A run that is killed, stopped or half lost goes on as if nothing had been."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from radnet.errors import RadnetError, UsageError
from radnet.models import ModelName, load_model
from radnet.pretrain.checkpoints import list_checkpoints
from radnet.pretrain.registry import METHODS
from radnet.pretrain.run import pretrain
from radnet.pretrain.simclr import SimCLR
from radnet.pretrain.stopping import EXIT_CODE_STOPPED, StoppedError
from radnet.shards import BatchOrder, ShardSet
from tests.pretrain.runs_for_tests import Launcher, StopAfter, losses, steps_logged, tiny, wait_for

KILLS = 5


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_five_kills_at_random_steps_leave_the_losses_and_the_weights_as_they_were(
    method: str, world_size: int, phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ranks = launch(tiny(method, phantom_set, whole), world_size)
    assert set(ranks.wait()) == {0}, ranks.text()
    steps = len(losses(whole))
    for step in sorted(np.random.default_rng(world_size).choice(np.arange(1, steps), KILLS, replace=False)):
        ranks = launch(tiny(method, phantom_set, killed), world_size)
        wait_for(lambda after=step: steps_logged(killed) >= after, ranks)  # type: ignore[misc]
        ranks.send(signal.SIGKILL)
        assert set(ranks.wait()) == {-signal.SIGKILL}
        assert not (killed / "export").exists()
    ranks = launch(tiny(method, phantom_set, killed), world_size)
    assert set(ranks.wait()) == {0}, ranks.text()
    assert "continued at step" in ranks.text()
    assert losses(killed) == losses(whole)
    assert _weights(killed) == _weights(whole)


def _weights(run: Path) -> str:
    return load_model(ModelName.parse(f"run:{run}")).weights_sha256


def _stopped(
    shards: ShardSet, out: Path, monkeypatch: pytest.MonkeyPatch, step: int, *more: str, by: signal.Signals
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SimCLR, "after_step", StopAfter(step, by))
        with pytest.raises(StoppedError, match=by.name) as caught:
            pretrain(tiny("simclr", shards, out, *more))
    assert caught.value.exit_code == EXIT_CODE_STOPPED == 75


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_run_has_its_last_step_on_disk_and_goes_on(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_run: Path, workers: int
) -> None:
    run = tmp_path / "run"
    for step, by in ((3, signal.SIGTERM), (10, signal.SIGUSR1)):
        _stopped(phantom_set, run, monkeypatch, step, f"workers={workers}", by=by)
        left = json.loads((run / "stopped.json").read_text())
        assert left == {"step": step + 1, "signal": by.name, "exit_code": 75}
        assert list_checkpoints(run / "checkpoints")[-1].name == f"step-{step + 1:09d}.pt"
    pretrain(tiny("simclr", phantom_set, run))
    assert not (run / "stopped.json").exists()
    assert losses(run) == losses(whole_run)
    assert _weights(run) == _weights(whole_run)


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_word(
    phantom_set: ShardSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 7, by=signal.SIGTERM)
    *_, before, newest = list_checkpoints(run / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-1000])
    leftover = newest.with_name(f".{newest.name}.abcdef")
    leftover.write_bytes(b"half a checkpoint")
    pretrain(tiny("simclr", phantom_set, run))
    said = capsys.readouterr().err
    assert newest.name in said
    assert f"continued at step {int(before.stem[-9:])}" in said
    assert losses(run) == losses(whole_run)
    assert not leftover.exists()


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_again(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 3, by=signal.SIGTERM)
    for path in list_checkpoints(run / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(RadnetError, match="cannot be loaded"):
        pretrain(tiny("simclr", phantom_set, run))


def test_changed_settings_are_listed_and_taken_only_when_allowed(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_run: Path
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 3, by=signal.SIGTERM)
    changed = ["optimizer.lr=1e-4", "method.temperature=0.3"]
    with pytest.raises(UsageError, match=r"method\.temperature: 0\.1 before, 0\.3 now.*allow_changes=true") as caught:
        pretrain(tiny("simclr", phantom_set, run, *changed))
    assert "optimizer.lr: 0.001 before, 0.0001 now" in str(caught.value)
    with pytest.raises(UsageError, match="cannot change batch_size"):
        pretrain(tiny("simclr", phantom_set, run, "batch_size=12", "allow_changes=true"))
    pretrain(tiny("simclr", phantom_set, run, *changed, "allow_changes=true"))
    stored = json.loads((run / "settings.json").read_text())
    assert stored["changes"] == [{"optimizer.lr": [0.001, 0.0001], "method.temperature": [0.1, 0.3]}]
    assert stored["settings"]["method"]["temperature"] == 0.3
    same = losses(whole_run)[:4]
    assert losses(run)[:4] == same
    assert losses(run)[4:] != losses(whole_run)[4:]


def test_a_finished_run_goes_on_when_more_epochs_are_allowed(
    phantom_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pretrain(tiny("simclr", phantom_set, tmp_path / "run", "epochs=1"))
    first = _weights(run)
    pretrain(tiny("simclr", phantom_set, run, "epochs=2", "allow_changes=true"))
    assert "continued at step 9" in capsys.readouterr().err
    assert len(losses(run)) == 18
    assert _weights(run) != first


def test_a_finished_run_that_goes_on_and_is_stopped_is_not_finished(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, longer = tmp_path / "run", ["epochs=2", "allow_changes=true"]
    pretrain(tiny("simclr", phantom_set, run, "epochs=1"))
    first = _weights(run)
    _stopped(phantom_set, run, monkeypatch, 12, *longer, by=signal.SIGTERM)
    with pytest.raises(UsageError, match="not finished"):
        _weights(run)
    assert load_model(ModelName.parse(f"local-dir:{run / 'export-before-change-1'}")).weights_sha256 == first
    pretrain(tiny("simclr", phantom_set, run, *longer))
    assert len(losses(run)) == 18
    assert _weights(run) != first


def test_settings_that_do_not_fit_leave_those_of_before(phantom_set: ShardSet, tmp_path: Path) -> None:
    run, wide = tmp_path / "run", ["method.hidden_dim=32", "epochs=2", "allow_changes=true"]
    pretrain(tiny("simclr", phantom_set, run, "epochs=1"))
    with pytest.raises(RadnetError, match="does not fit the method of these settings"):
        pretrain(tiny("simclr", phantom_set, run, *wide))
    assert pretrain(tiny("simclr", phantom_set, run, "epochs=1")) == run
    assert json.loads((run / "settings.json").read_text())["changes"] == []


@pytest.mark.parametrize(
    ("first", "changed", "expected"),
    [
        (["optimizer.name=adamw"], ["optimizer.betas=[0.8,0.95]"], {"betas": (0.8, 0.95)}),
        (
            ["optimizer.name=lars"],
            ["optimizer.momentum=0.5", "optimizer.trust_coefficient=0.02"],
            {"momentum": 0.5, "trust_coefficient": 0.02},
        ),
        (["optimizer.name=sgd", "optimizer.weight_decay=0"], ["optimizer.weight_decay=0.1"], {"decayed": True}),
    ],
)
def test_changed_settings_of_the_optimizer_reach_it(
    phantom_set: ShardSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: list[str],
    changed: list[str],
    expected: dict[str, object],
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 3, *first, by=signal.SIGTERM)
    _stopped(phantom_set, run, monkeypatch, 6, *first, *changed, "allow_changes=true", by=signal.SIGTERM)
    stored = torch.load(list_checkpoints(run / "checkpoints")[-1], weights_only=True)["optimizer"]
    group = stored["param_groups"][0]
    assert {name: group[name] for name in expected} == expected
    assert stored["state"]  # what it had gathered came along


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"origin": {"method": "dino", "backbone": "test_resnet", "optimizer": "adamw"}}, "another method: dino"),
        ({"method": {"backbone.conv1.weight": torch.zeros(1)}}, "does not fit the method of these settings"),
        ({"format": 1}, "another format, 1"),
    ],
)
def test_a_foreign_checkpoint_is_refused(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], words: str
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 1, by=signal.SIGTERM)
    (path,) = list_checkpoints(run / "checkpoints")
    torch.save({**torch.load(path, weights_only=True), **changed}, path)
    with pytest.raises(RadnetError, match=words):
        pretrain(tiny("simclr", phantom_set, run))


def test_settings_of_an_older_radnet_are_named_as_such(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 1, by=signal.SIGTERM)
    stored = json.loads((run / "settings.json").read_text())
    del stored["format"]
    (run / "settings.json").write_text(json.dumps(stored))
    with pytest.raises(UsageError, match="another format of settings, 1"):
        pretrain(tiny("simclr", phantom_set, run))


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_slices_of_a_step_do_not_depend_on_the_number_of_processes(world_size: int) -> None:
    alone, several = BatchOrder(100, 12, 1, 3).epoch(5), BatchOrder(100, 12 // world_size, world_size, 3).epoch(5)
    assert np.array_equal(alone.reshape(8, 12), several.reshape(8, 12))


def test_a_run_of_one_process_goes_on_with_two(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launch: Launcher
) -> None:
    run = tmp_path / "run"
    _stopped(phantom_set, run, monkeypatch, 8, by=signal.SIGTERM)
    ranks = launch(tiny("simclr", phantom_set, run), 2)
    assert ranks.wait() == [0, 0], ranks.text()
    assert "1 process(es) have become 2" in ranks.text()
    assert "continued at step 9" in ranks.text()
    assert len(losses(run)) == 18
