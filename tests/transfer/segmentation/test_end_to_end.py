from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radnet.configs import read_member
from radnet.errors import UsageError
from radnet.models import ModelName
from radnet.records import ResultRecord
from radnet.shards import ShardSet
from radnet.transfer.cells import EvaluationSettings, compute_cell
from radnet.transfer.evaluate import column_of
from radnet.transfer.protocols import build_protocol
from radnet.transfer.run import evaluate_from_overrides
from radnet.transfer.segmentation.volumes import WORDS
from radnet.transfer.tasks import task_from_settings

TASK = (
    *("task=volumes", "~task.masks.structures.foreground"),
    *("+task.masks.structures.organ=[1,2]", "+task.masks.structures.spot=[2]"),
)
QUICK = ("protocol.epochs=1", "protocol.lr=[0.003]", "protocol.decoder_width=0.25", "protocol.mode=frozen")


def evaluate(results: Path, shards: ShardSet, *overrides: str) -> ResultRecord:
    common = (f"results={results}", f"data={shards.path}", f"cache={results}/cache", "task.size=32", "resamples=100")
    (record,) = evaluate_from_overrides(["model=random:resnet10t", "workers=0", "device=cpu", *common, *overrides])
    return record


def test_from_the_command_to_the_record(
    organ_set: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = evaluate(tmp_path, organ_set, *TASK, "protocol=segment", *QUICK)
    assert record.task.classes == ("organ", "spot")
    assert {"dice", "dice_organ", "dice_spot", "hd95_mm_organ", "assd_mm_spot"} <= set(record.metrics)
    assert "false_alarm_ml" not in record.metrics  # both structures are in every volume
    assert record.metrics["dice"].low <= record.metrics["dice"].value <= record.metrics["dice"].high
    assert record.predictions is not None
    table = pd.read_parquet(tmp_path / record.predictions)
    assert len(table) == table["patient"].nunique() == record.counts.test_patients  # type: ignore[union-attr]
    assert table["value_dice"].mean() == pytest.approx(record.metrics["dice"].value)
    assert {"lr", "epoch", "channel_policy", "empty_masks"} <= set(record.selected)
    capsys.readouterr()
    assert evaluate(tmp_path, organ_set, *TASK, "protocol=segment", *QUICK).cell == record.cell
    assert "there already" in capsys.readouterr().err


def test_a_record_counts_the_volumes_that_took_part_and_says_why_others_did_not(
    organ_set: ShardSet, tmp_path: Path
) -> None:
    shards = ShardSet.open(organ_set.path)
    tests = shards.index["split"] == "test"
    one = shards.index["patient_key"][tests].iloc[0]
    shards.index.loc[shards.index["patient_key"] == one, "spacing_z_mm"] = np.nan  # as of a file that does not tell it
    task = task_from_settings(
        {**read_member("task", "volumes"), "size": 32, "masks": {"structures": {"organ": [1, 2]}}}
    )
    protocol = build_protocol("segment", {"epochs": 1, "lr": [0.003], "decoder_width": 0.25, "mode": "frozen"})
    settings = EvaluationSettings(cache=tmp_path / "cache", resamples=100)
    column = column_of(task, protocol, shards, tmp_path / "results", settings)
    record = compute_cell(ModelName.parse("random:resnet10t"), column).record
    assert record.counts is not None
    left = tests & (shards.index["patient_key"] != one)
    assert record.counts.test_items == left.sum()
    assert record.counts.test_patients == shards.index["patient_key"][left].nunique()
    assert record.counts.train_items == (shards.index["split"] == "train").sum()
    assert record.selected["test_volumes_left_out"] == {WORDS["spacing_unknown"]: 1}


def test_masks_and_labels_have_protocols_of_their_own(organ_set: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Use protocol=segment"):
        evaluate(tmp_path, organ_set, *TASK, "protocol=knn")


def test_the_studys_settings(organ_set: ShardSet, tmp_path: Path) -> None:
    quick = ("protocol.epochs=1", "protocol.batch_size=16", "protocol.frozen=true")
    record = evaluate(tmp_path, organ_set, *TASK, "protocol=paper-segment", *quick)
    assert record.selected["epoch"] == 0
    assert record.selected["lr"] == 2e-4
    assert record.protocol.settings["cell"] == "LiTS"
