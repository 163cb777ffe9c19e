"""The suites that ship: each can be planned, and the paper's spans the cells of the reference study."""

import csv
from pathlib import Path

import pytest

from radnet.configs import names_in
from radnet.transfer.suites.cost import costs_of
from radnet.transfer.suites.plan import PlannedCell, plan_cells
from radnet.transfer.suites.spec import Suite, read_benchmark

ARMS = {
    "Scratch": "random",
    "SimCLR_I1k": "imagenet",
    "SimCLR_R": "in_domain",
    "SimCLR_RF": "in_domain_large",
    "SimCLR_IxRS": "sequential",
    "SimCLR_IxRM": "mixed",
}
TASKS = {
    "R": "body_region",
    "CX8": "chestxray14",
    "I1k": "imagenet1k",
    "I100": "imagenet100",
    "I10": "imagenet10",
    "LiTS": "lits",
    "BraTS": "brats",
}
SHARES = {"": 1.0, "M": 0.5, "S": 0.1, "XS": 0.01, "XXS": 0.001}


def _suite(name: str, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("RADNET_SHARED", str(Path(__file__).parents[3] / "nowhere"))
    return read_benchmark([f"suite={name}"])[1]


@pytest.mark.parametrize("name", names_in("suite"))
def test_every_suite_that_ships_can_be_planned_and_costed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = _suite(name, monkeypatch)
    plan = plan_cells(suite)
    assert suite.reference in {cell.arm for cell in plan}
    assert {cell.set_name for cell in plan} <= set(suite.nominal_items)
    costs = costs_of(plan, Path("nowhere"), suite.nominal_items, suite.nominal_architecture, gflops_per_s=100.0)
    assert all(cost.images is not None for cost in costs.values())
    known = [cell for cell in plan if not str(cell.model).startswith("run:")]
    assert all(costs[cell.key].seconds is not None for cell in known)


def test_mini_is_three_models_five_tasks_two_protocols_and_two_fractions(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADNET_SHARED", str(shared))
    config, suite = read_benchmark(["suite=mini"])
    plan = plan_cells(suite)
    assert (suite.name, len(plan)) == ("mini", 3 * 5 * 2 * 2)
    assert len({cell.task.name for cell in plan}) == 5
    for recipe in suite.sets.values():
        assert (Path(str(suite.sources)) / recipe.source).exists()
    assert config.results == "results/mini"


def test_without_its_data_mini_is_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = _suite("mini", monkeypatch)
    assert suite.name == "mini_phantom"
    assert len(plan_cells(suite)) == 60


def test_paper_spans_the_cells_of_the_reference_study(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_cells(_suite("paper", monkeypatch))
    planned = {(experiment, *_cell(cell)) for cell in plan for experiment in cell.experiments}
    wanted = set()
    with (shared / "paper" / "cells.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            task = next(name for name in sorted(TASKS, key=len, reverse=True) if row["task"].startswith(name))
            share = SHARES[row["task"].removeprefix(task)]
            noise = row["variant"] if row["variant"].startswith("noise") else "none"
            frozen = row["variant"] == "lineval"
            wanted.add((row["experiment"], ARMS[row["pretraining"]], TASKS[task], share, noise, frozen))
    assert planned == wanted
    seeds = {cell.seed for cell in plan if "E1" in cell.experiments}
    assert seeds == {42, 1, 2, 3}


def _cell(cell: PlannedCell) -> tuple[str, str, float, str, bool]:
    frozen = cell.protocol.name == "linear" or cell.protocol.settings().get("mode") == "frozen"
    return cell.arm, cell.task.name, cell.fraction, cell.condition_name, frozen
