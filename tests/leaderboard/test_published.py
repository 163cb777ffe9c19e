"""Published results: what the study's tables say must follow from its runs, and from nothing else."""

import csv
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from radnet.errors import UsageError
from radnet.leaderboard.published import Study, import_study, read_study
from radnet.leaderboard.published.analysis import analyse
from radnet.leaderboard.published.study import CellKey, base_task
from radnet.leaderboard.published.tables import Entry, convergence_lines, experiment_tables
from radnet.leaderboard.published.write import LABEL, PublishedResults, render_published
from radnet.leaderboard.write import write_leaderboard
from radnet.records import ResultRecord, write_record

KEPT = Path(__file__).resolve().parents[2] / "results" / "published"
HEADER = "experiment,pretraining,task,variant,repeat,seed,metric,value,copied_from"


@pytest.fixture(scope="module")
def kept() -> Study:
    return read_study(KEPT)


def entry(study: Study, experiment: str, task: str, arm: str, metric: str = "acc") -> Entry:
    (table,) = [table for table in experiment_tables(study) if table.experiment == experiment]
    (line,) = [line for line in table.lines if (line.task, line.metric) == (task, metric)]
    return line.entries[table.arms.index(arm)]


def test_kept_runs_are_those_of_the_source(shared: Path, tmp_path: Path) -> None:
    study = import_study([shared / "paper"], tmp_path)
    for name in ("results.csv", "cells.csv", "curves.csv"):
        assert (tmp_path / name).read_bytes() == (KEPT / name).read_bytes(), "import again: radnet leaderboard --import"
    assert read_study(tmp_path) == study


def test_first_table_equals_the_run_values(kept: Study) -> None:
    scratch, imagenet = entry(kept, "E1", "R", "Scratch"), entry(kept, "E1", "R", "SimCLR_I1k")
    assert scratch.text == "0.9046 ± 0.0301"
    assert imagenet.text == "0.9354 ± 0.0095"
    assert entry(kept, "E1", "R", "SimCLR_R").text == "withheld"


def test_every_mean_and_deviation_follows_from_the_published_rows(shared: Path, kept: Study) -> None:
    values: dict[tuple[str, ...], list[float]] = {}
    with (shared / "paper" / "results.csv").open() as file:
        for row in csv.DictReader(file):
            key = (row["experiment"], row["pretraining"], row["task"], row["variant"], row["metric"])
            values.setdefault(key, []).append(float(row["value"]))
    compared = 0
    for table in experiment_tables(kept):
        for line in table.lines:
            for arm, found in zip(table.arms, line.entries, strict=True):
                key = (table.experiment, arm, line.task, line.variant, line.metric)
                if key not in values:
                    assert found.mean is None
                    continue
                compared += 1
                assert found.mean == pytest.approx(statistics.fmean(values[key]), abs=1e-12)
                spread = statistics.stdev(values[key]) if len(values[key]) > 1 else None
                assert found.deviation == (None if spread is None else pytest.approx(spread, abs=1e-12))
    assert compared > 200


def write(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


def test_withheld_cells_join_when_somebody_has_them(kept: Study, tmp_path: Path) -> None:
    """Made-up runs with the mean and deviation that the paper prints stand in for the withheld ones."""
    lines = []
    for arm, mean, deviation in (("SimCLR_R", 0.9365, 0.0055), ("SimCLR_RF", 0.9454, 0.0032)):
        shape = np.array([-1, -0.5, 0.5, 1])
        runs = mean + deviation * shape / shape.std(ddof=1)
        for repeat, (seed, value) in enumerate(zip((42, 1, 2, 3), runs, strict=True)):
            lines.append(f"E1,{arm},R,none,{repeat},{seed},acc,{float(value)!r},")
    shutil.copytree(KEPT, tmp_path / "known")
    more = write(tmp_path / "more", *lines)
    study = import_study([tmp_path / "known", more], tmp_path / "all")
    assert entry(study, "E1", "R", "SimCLR_R").text == "0.9365 ± 0.0055"
    assert entry(study, "E1", "R", "SimCLR_RF").text == "0.9454 ± 0.0032"
    assert entry(study, "E6", "R", "SimCLR_R").text == "0.9365 ± 0.0055 †", "the copy is known with its original"
    assert len(analyse(study).known) == len(analyse(kept).known) + 2


def test_family_is_the_whole_design_and_withheld_cells_only_make_it_stricter(kept: Study) -> None:
    analysis = analyse(kept)
    assert len(analysis.tests) == 78
    assert sum(test.ct for test in analysis.tests) == 26
    (survivor,) = analysis.survivors(ct=True)
    assert survivor.cell == CellKey("E4", "SimCLR_R", "R", "lineval")
    assert survivor.difference is not None
    assert survivor.difference > 0
    known = [test.welch for test in analysis.known]
    for test in analysis.known:
        rank = sum(p < test.welch for p in known)
        assert test.welch_holm == pytest.approx(
            min(1, max((78 - before) * p for before, p in enumerate(sorted(known)[: rank + 1])))
        )


def test_tests_are_those_of_scipy_on_the_runs(kept: Study) -> None:
    for test in analyse(kept).known[:6]:
        own = [run.value for run in kept.values(test.cell, test.metric)]
        reference = CellKey(test.cell.experiment, "SimCLR_I1k", test.cell.task, test.cell.variant)
        other = [run.value for run in kept.values(reference, test.metric)]
        assert test.welch == pytest.approx(stats.ttest_ind(own, other, equal_var=False).pvalue)
        if test.paired is not None:
            assert test.paired == pytest.approx(stats.ttest_rel(own, other).pvalue)


def test_arms_that_nobody_trained_are_not_compared(kept: Study) -> None:
    trained = {plan.cell for plan in kept.plans}
    assert all(test.cell in trained for test in analyse(kept).tests)


def test_convergence_has_a_line_for_every_curve(kept: Study) -> None:
    lines = convergence_lines(kept)
    assert sum(line.runs for line in lines) == len(kept.curves)
    assert {line.cell.experiment for line in lines} == {"E1", "E2", "E4"}
    for line in lines:
        assert line.study is None or 0 <= line.study <= line.epochs
        assert 0 <= line.settled < line.epochs


@pytest.mark.parametrize(("task", "base"), [("I100XS", "I100"), ("I10XS", "I10"), ("I1kS", "I1k"), ("RXXS", "R")])
def test_suffixes_of_tasks(task: str, base: str) -> None:
    assert base_task(task) == base


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("E1,A,R,none,0,42,acc,nan,", "not finite"),
        ("E1,A,R,none,0,42,acc,high,", "could not convert"),
        ("E1,A,R,none,-1,42,acc,0.5,", "negative"),
        ("E1,A,Rx,none,0,42,acc,0.5,", "no task of the study"),
        ("E1,,R,none,0,42,acc,0.5,", "empty"),
        ("E1,A,R,none,0,42,acc", "fields are needed"),
        ('E1,A,R,none,0,42,acc,"0.5', "broken"),
    ],
)
def test_broken_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    folder = write(tmp_path / "broken", "E1,A,R,none,1,1,acc,0.5,", line)
    with pytest.raises(UsageError, match=words) as caught:
        import_study([folder], tmp_path / "kept")
    assert "results.csv" in str(caught.value)
    assert not (tmp_path / "kept").exists()


def test_sources_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "E1,A,R,none,0,42,acc,0.5,")
    two = write(tmp_path / "two", "E1,A,R,none,0,42,acc,0.6,")
    same = write(tmp_path / "same", "E1,A,R,none,0,42,acc,0.5,")
    with pytest.raises(UsageError, match="disagree on a run"):
        import_study([one, two], tmp_path / "kept")
    assert len(import_study([one, same], tmp_path / "kept").runs) == 1
    with pytest.raises(UsageError, match="lack a table"):
        import_study([tmp_path], tmp_path / "kept")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "results.csv").write_text("experiment,value\n")
    with pytest.raises(UsageError, match="lacks columns"):
        import_study([tmp_path / "odd"], tmp_path / "kept")


def test_curve_that_is_too_short_for_convergence_is_refused_where_it_is_read(tmp_path: Path) -> None:
    """Four epochs; convergence is read from five."""
    folder = write(tmp_path / "short", "E1,A,R,none,0,42,acc,0.5,")
    curves = folder / "convergence.csv"
    columns = "experiment,pretraining,task,variant,repeat,epoch,metric,value"
    lines = [f"E1,A,R,none,0,{epoch},acc,0.{epoch + 1}" for epoch in range(5)]
    curves.write_text("\n".join([columns, *lines[:4]]) + "\n")
    with pytest.raises(UsageError, match=r"fewer than 5 epochs.*E1/A/R/none, repeat 0, acc: 4.*convergence\.csv"):
        import_study([folder], tmp_path / "results" / "published")
    assert not (tmp_path / "results").exists()
    curves.write_text("\n".join([columns, *lines]) + "\n")
    study = import_study([folder], tmp_path / "results" / "published")
    assert len(convergence_lines(study)) == 1
    write_leaderboard(tmp_path / "results")
    kept = tmp_path / "results" / "published" / "curves.csv"
    kept.write_text(kept.read_text().replace("0.1 0.2 ", "0.2 "))
    with pytest.raises(UsageError, match=r"Line 2 .*a curve of 4 epochs.*curves\.csv"):
        write_leaderboard(tmp_path / "results")


def test_published_rows_never_reach_a_ranking(make: Callable[..., ResultRecord], tmp_path: Path) -> None:
    write_record(make("timm:resnet18", 0.8), tmp_path)
    shutil.copytree(KEPT, tmp_path / "published")
    written = write_leaderboard(tmp_path)
    assert len(written.records) == 1
    assert "SimCLR" not in written.page.read_text()
    assert "SimCLR" not in (tmp_path / "leaderboard.csv").read_text()
    assert "SimCLR" not in (tmp_path / "site" / "data.js").read_text()
    page = (tmp_path / "site" / "published.html").read_text()
    assert "0.9046 ± 0.0301" in page
    assert LABEL in page
    assert (tmp_path / "published" / "PUBLISHED.md").read_text() == (KEPT / "PUBLISHED.md").read_text()
    assert "published.html" in written.site.read_text()


def test_page_says_what_is_withheld(kept: Study) -> None:
    page = render_published(PublishedResults.of(kept))
    assert "Of 78 comparisons, 29 can be tested; 49 are withheld" in page
    assert "never ranked" in page
