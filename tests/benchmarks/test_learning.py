"""What the comparison with random weights calls the hardest task, and what its bar measures."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from radnet.records import Interval
from radnet.transfer.tasks import task_named

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("learning")


def comparison(learning: ModuleType, task: str, random: Interval, pretrained: Interval, **others: Any) -> Any:
    facts = {"patients": 60, "items": 600, "chance": 0.25, "difference": Interval(value=0.1, low=0.0, high=0.2)}
    arms = {
        "random": learning.Arm("knn", [], random),
        "pretrained": learning.Arm("linear", [], pretrained),
    }
    return learning.Comparison(task=task_named(task), **{**facts, **others, **arms})


def test_the_hardest_task_follows_from_random_weights_alone(learning: ModuleType) -> None:
    easy, hard = Interval(value=0.8, low=0.7, high=0.9), Interval(value=0.4, low=0.3, high=0.5)
    no_better_than_chance = Interval(value=0.3, low=0.2, high=0.4)
    better, best = Interval(value=0.58, low=0.53, high=0.6), Interval(value=0.97, low=0.95, high=0.99)
    compared = [
        comparison(learning, "body_region", easy, best),
        comparison(learning, "vertebra_group", hard, better),
        comparison(learning, "contrast_phase", no_better_than_chance, best),
        comparison(learning, "liver_lesion", Interval(value=0.35, low=0.3, high=0.4), best, patients=5),
    ]
    report = learning.Report("learning", {})
    learning._judge("simclr", {"backbone": "resnet10t", "core seconds": 100.0}, compared, report)
    bar = report.bars[0]
    assert "vertebra_group" in bar.what
    assert bar.value == pytest.approx(0.03)
    assert bar.met
    (rows,) = report.tables.values()
    assert [row["task"] for row in rows if "hardest" in row["task"]] == ["vertebra_group (hardest)"]
    assert any("contrast_phase" in note and "liver_lesion" in note for note in report.notes)


def test_intervals_that_overlap_miss_the_bar(learning: ModuleType) -> None:
    compared = [
        comparison(
            learning,
            "body_region",
            Interval(value=0.6, low=0.5, high=0.7),
            Interval(value=0.75, low=0.69, high=0.8),
        )
    ]
    report = learning.Report("learning", {})
    learning._judge("mae", {"backbone": "vit", "core seconds": 100.0}, compared, report)
    assert not report.bars[0].met
    assert next(iter(report.tables.values()))[0]["intervals apart"] == "no"
