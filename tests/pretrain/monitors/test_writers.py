"""TensorBoard without doubled steps after a resume, W&B offline, and neither able to end a run."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radnet.configs import compose, validated
from radnet.errors import UsageError
from radnet.pretrain.monitors.settings import MonitorSettings
from radnet.pretrain.monitors.writers import Guarded, TensorBoardWriter, open_writers, require_wandb, tag


def settings(*overrides: str) -> MonitorSettings:
    """`configs/monitors/default.yaml` with overrides."""
    config = compose("pretrain", ["data=none", *overrides])
    return validated(MonitorSettings, config["monitors"], "monitors")


def _steps(directory: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(directory))
    events.Reload()
    return [(event.step, round(event.value, 3)) for event in events.Scalars(name)]


def test_a_resumed_run_doubles_no_step_on_tensorboard(tmp_path: Path) -> None:
    killed = TensorBoardWriter(tmp_path / "tensorboard", 0)
    for step in range(1, 9):
        killed.write(step, {"step": step, "loss": step / 10, "lr": 0.1})
    killed.flush()  # and then nothing more is heard of it; its newest checkpoint has step 5
    resumed = TensorBoardWriter(tmp_path / "tensorboard", 5)
    for step in range(6, 11):
        resumed.write(step, {"step": step, "loss": step / 10 + 0.001, "lr": 0.1})
    resumed.close()
    expected = [(step, step / 10) for step in range(1, 6)] + [(step, step / 10 + 0.001) for step in range(6, 11)]
    assert _steps(tmp_path / "tensorboard", "train/loss") == expected
    assert len(_steps(tmp_path / "tensorboard", "optimizer/lr")) == 10


def test_values_are_grouped() -> None:
    assert [tag(name) for name in ("loss", "lr", "rankme", "slices_per_s", "knn_accuracy")] == [
        "train/loss",
        "optimizer/lr",
        "features/rankme",
        "speed/slices_per_s",
        "knn/accuracy",
    ]


def test_wandb_is_not_touched_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would raise
    writers, run_id = open_writers(settings(), tmp_path, {}, first_step=0, wandb_id=None)
    assert (len(writers), run_id) == (1, None)
    writers[0].close()
    with pytest.raises(UsageError, match=r"radnet\[wandb\]"):
        require_wandb(settings("monitors.wandb.enabled=true").wandb)


def test_wandb_offline_gets_config_and_values_and_goes_on_under_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "home"))
    asked = settings("monitors.wandb.enabled=true", "monitors.wandb.mode=offline", "monitors.tensorboard=false")
    config = {"optimizer": {"lr": 0.125}}
    (writer,), run_id = open_writers(asked, tmp_path, config, first_step=0, wandb_id=None)
    writer.write(1, {"step": 1, "loss": 2.5})
    writer.close()
    (written,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert run_id is not None
    assert run_id in written.name
    for _ in range(50):  # W&B's own process writes the last block a moment after the run is finished
        if b"train/loss" in (content := written.read_bytes()):
            break
        time.sleep(0.2)
    assert b"train/loss" in content
    assert b"0.125" in content
    (again,), same = open_writers(asked, tmp_path, config, first_step=1, wandb_id=run_id)
    again.close()
    assert same == run_id


class _Broken:
    def write(self, step: int, values: Any) -> None:
        raise OSError("no space left")

    def flush(self) -> None:
        raise AssertionError("a writer that failed is not asked again")

    close = flush


def test_a_writer_that_fails_is_reported_once_and_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    writer = Guarded("TensorBoard", _Broken())
    for step in range(3):
        writer.write(step, {"loss": 1.0})
    writer.flush()
    writer.close()
    said = capsys.readouterr().err
    assert said.count("TensorBoard gets no more values (OSError: no space left)") == 1


def test_the_settings_that_ship_are_valid_and_typos_are_refused() -> None:
    assert settings().knn.task is None
    with pytest.raises(UsageError, match="features_row"):
        settings("monitors.features_row=3")
    with pytest.raises(UsageError, match=r"wandb\.mode"):
        settings("monitors.wandb.mode=later")
    assert json.loads(settings().model_dump_json())["tensorboard"] is True
