"""Published results as markdown, CSV and a page of the site, always labelled as what they are."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from radnet.files import write_atomically
from radnet.leaderboard.markdown import grid, plain
from radnet.leaderboard.published.analysis import FAMILY, Analysis, Test, analyse
from radnet.leaderboard.published.study import Study, read_study
from radnet.leaderboard.published.tables import (
    ConvergenceLine,
    ExperimentTable,
    convergence_lines,
    experiment_tables,
)

PUBLISHED = "published"
PAGE = "PUBLISHED.md"
LABEL = "published, per-run"

SOURCE = (
    'Per-run results from the public logs of "Why does my medical AI look at pictures of birds?" (arXiv 2306.17555; '
    "Computer Methods and Programs in Biomedicine 261, 2025, 108634)."
)
WARNING = (
    "Published, per-run: these numbers come from another protocol (last epoch, Dice pooled over shuffled batches, "
    "splits by slice or image) and are never ranked with results of radnet."
)
SPREAD = "Mean ± sample standard deviation over repeats (seeds of finetuning); the spread says nothing about patients."
COPIED = "† The runs of the same cell in E1 or E4, or of a neighbouring cell, not new ones."
CONVERGENCE = (
    "Time to convergence in epochs, mean ± sample standard deviation over repeats. Study: the start of the earliest of "
    "the flat pieces of five epochs that end the validation curve (slope within 3 standard errors of 0); runs whose "
    "last piece is not flat have none. Settled: from then on the curve stays within 5 % of its rise around its end."
)
ANALYSIS = (
    "Welch's test between runs, and the paired t test where both arms have the same seeds; only arms that were really "
    "trained. The repeats of an arm share one pretrained checkpoint and one test set, so these p values concern seeds "
    "of finetuning alone."
)


@dataclass(frozen=True)
class PublishedResults:
    """All that is shown of a study."""

    tables: Sequence[ExperimentTable]
    convergence: Sequence[ConvergenceLine]
    analysis: Analysis

    @classmethod
    def of(cls, study: Study) -> "PublishedResults":
        """Tables and tests of a study."""
        return cls(experiment_tables(study), convergence_lines(study), analyse(study))


def kept_results(results_dir: Path) -> PublishedResults | None:
    """The published results that lie in a results directory, None where there are none.

    Raises:
        UsageError: They are broken.
    """
    kept = results_dir / PUBLISHED
    return PublishedResults.of(read_study(kept)) if (kept / "results.csv").is_file() else None


def write_published(published: PublishedResults, results_dir: Path) -> Path:
    """Write `PUBLISHED.md` and the tables as CSV beside the kept runs.

    Returns:
        Path of the page.

    Raises:
        RadnetError: The disk is full or not writable.
    """
    kept = results_dir / PUBLISHED
    for name, lines in (
        ("tables.csv", _entry_lines(published.tables)),
        ("convergence_table.csv", [_convergence_line(line) for line in published.convergence]),
        ("comparisons.csv", [_test_line(test) for test in published.analysis.tests]),
    ):
        text = io.StringIO()
        pd.DataFrame(lines).to_csv(text, index=False, lineterminator="\n")
        write_atomically(kept / name, text.getvalue())
    write_atomically(kept / PAGE, render_published(published))
    return kept / PAGE


def render_published(published: PublishedResults) -> str:
    """The markdown page."""
    parts = [f"# Published results\n\n{SOURCE}\n\n**{WARNING}**\n\n{SPREAD} {COPIED}\n"]
    for table in published.tables:
        notes = "".join(f"- {plain(note)}\n" for note in table.notes)
        lines = [[line.name, *(entry.text for entry in line.entries)] for line in table.lines]
        shown = grid(["task, metric", *table.arms], lines)
        parts.append(f"## {table.experiment}: {table.title}\n\n{shown}{chr(10) + notes if notes else ''}")
    header = ["cell", "metric", "study", "not converged", "settled", "runs", "epochs"]
    parts.append(f"## Time to convergence\n\n{CONVERGENCE}\n\n{grid(header, convergence_texts(published.convergence))}")
    analysis = published.analysis
    parts.append(
        f"## Compared again\n\n{ANALYSIS} {FAMILY}\n\n- {analysis.sentence()}\n- {analysis.sentence(ct=True)}\n\n"
        + grid(TEST_HEADER, [test_texts(test) for test in analysis.known])
    )
    return "\n".join(parts)


def show_published(published: PublishedResults) -> RenderableType:
    """The study's tables and the outcome of the tests, for a terminal."""
    parts: list[RenderableType] = [Text(f"{SOURCE}\n{WARNING}\n{SPREAD}")]
    for table in published.tables:
        shown = Grid(title=Text(f"{table.experiment}: {table.title} ({LABEL})"), title_justify="left")
        for column in ("task, metric", *table.arms):
            shown.add_column(Text(column), overflow="fold")
        for line in table.lines:
            shown.add_row(line.name, *(Text(entry.text) for entry in line.entries))
        parts += [shown, *(Text(f"- {note}") for note in table.notes)]
    if any(table.copied for table in published.tables):
        parts.append(Text(COPIED))
    parts += [Text(""), Text(FAMILY), Text(published.analysis.sentence()), Text(published.analysis.sentence(ct=True))]
    return Group(*parts)


def page_context(published: PublishedResults) -> dict[str, Any]:
    """What the page of the site shows."""
    return {
        "source": SOURCE,
        "warning": WARNING,
        "spread": SPREAD,
        "copied": COPIED,
        "convergence_text": CONVERGENCE,
        "analysis_text": ANALYSIS,
        "family": FAMILY,
        "tables": published.tables,
        "convergence": convergence_texts(published.convergence),
        "analysis": published.analysis,
        "header": TEST_HEADER,
        "tests": [test_texts(test) for test in published.analysis.known],
    }


def convergence_texts(lines: Iterable[ConvergenceLine]) -> list[list[str]]:
    """Cells of the table of convergence."""
    return [
        [
            line.cell.words,
            line.meaning,
            _mean(line.study, line.study_deviation),
            str(line.never),
            _mean(line.settled, line.settled_deviation),
            str(line.runs),
            str(line.epochs),
        ]
        for line in lines
    ]


TEST_HEADER = ["cell", "metric", "difference to I1k [95 %]", "Welch p", "paired p", "Holm p", "Holm p on CT"]


def test_texts(test: Test) -> list[str]:
    """Cells of one comparison whose values are known."""
    ends = f"[{test.low:+.4f}, {test.high:+.4f}]"
    p_values = (test.welch, test.paired, test.welch_holm, test.welch_holm_ct)
    return [
        test.cell.words,
        test.meaning,
        f"{test.difference:+.4f} {ends}",
        *("-" if p is None else f"{p:.2g}" for p in p_values),
    ]


def _mean(mean: float | None, deviation: float | None) -> str:
    return "-" if mean is None else f"{mean:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def _entry_lines(tables: Iterable[ExperimentTable]) -> list[dict[str, Any]]:
    return [
        {
            "kind": LABEL,
            "experiment": table.experiment,
            "pretraining": arm,
            "task": line.task,
            "variant": line.variant,
            "metric": line.metric,
            "runs": entry.runs,
            "mean": entry.mean,
            "sample_deviation": entry.deviation,
            "withheld": entry.mean is None,
            "copied_from": entry.copied_from,
        }
        for table in tables
        for line in table.lines
        for arm, entry in zip(table.arms, line.entries, strict=True)
        if entry.planned
    ]


def _convergence_line(line: ConvergenceLine) -> dict[str, Any]:
    return {
        "kind": LABEL,
        "cell": line.cell.words,
        "metric": line.metric,
        "study_mean": line.study,
        "study_sample_deviation": line.study_deviation,
        "not_converged": line.never,
        "settled_mean": line.settled,
        "settled_sample_deviation": line.settled_deviation,
        "runs": line.runs,
        "epochs": line.epochs,
    }


def _test_line(test: Test) -> dict[str, Any]:
    return {
        "kind": LABEL,
        "cell": test.cell.words,
        "metric": test.metric,
        "on_ct": test.ct,
        "runs": test.runs[0],
        "runs_reference": test.runs[1],
        "difference": test.difference,
        "low": test.low,
        "high": test.high,
        "p_welch": test.welch,
        "p_paired": test.paired,
        "p_welch_holm": test.welch_holm,
        "p_paired_holm": test.paired_holm,
        "p_welch_holm_ct": test.welch_holm_ct,
    }
