"""The reference study's results run by run (arXiv 2306.17555): read from its tables, checked, and kept.

`import_study` takes any number of directories in one format, so that withheld cells join the released ones as soon as
somebody has them; what they say of the same run must agree. The kept form lies in `results/published/`: the same
runs always give the same bytes.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from radnet.convergence import SEGMENT
from radnet.errors import UsageError
from radnet.files import require_directory, write_atomically

RUNS, CELLS, CURVES = "results.csv", "cells.csv", "convergence.csv"
KEPT_CURVES = "curves.csv"
KEY = ("experiment", "pretraining", "task", "variant")
RUN_COLUMNS = (*KEY, "repeat", "seed", "metric", "value", "copied_from")
CELL_COLUMNS = (*KEY, "runs", "copied_from")
CURVE_COLUMNS = (*KEY, "repeat", "epoch", "metric", "value")
KEPT_COLUMNS = (*KEY, "repeat", "metric", "first_epoch", "values")

BASES = ("I100", "I10", "I1k", "BraTS", "LiTS", "CX8", "R")
"""Names of the tasks without the suffix for less data; longer ones first, because I10 begins I100."""

DICE = "dice_avg_class_{}"
PRIMARY = {
    "LiTS": {DICE.format(1): "liver", DICE.format(2): "tumour"},
    "BraTS": {DICE.format(1): "enhancing tumour", DICE.format(2): "whole tumour", DICE.format(3): "tumour core"},
    "CX8": {"auc_avg_overall": "mean AUC"},
}
"""Base task -> its primary metrics, in words; all other tasks have the accuracy."""


@dataclass(frozen=True, order=True)
class CellKey:
    """One cell of the study."""

    experiment: str
    pretraining: str
    task: str
    variant: str

    @property
    def words(self) -> str:
        """The cell as the study's `copied_from` writes it."""
        return "/".join((self.experiment, self.pretraining, self.task, self.variant))


@dataclass(frozen=True)
class Run:
    """One test metric of one finetuning run."""

    cell: CellKey
    repeat: int
    seed: int
    metric: str
    value: float
    copied_from: str


@dataclass(frozen=True)
class RunCurve:
    """One validation metric of one run, a value an epoch."""

    cell: CellKey
    repeat: int
    metric: str
    first_epoch: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class CellPlan:
    """What the study says it ran in a cell, whether its values are known or not."""

    cell: CellKey
    runs: int
    copied_from: str


@dataclass(frozen=True)
class Study:
    """All that is known, sorted.

    Attributes:
        plans: Every cell of the study.
        runs: Test metrics of the runs whose values are known.
        curves: Validation curves of these.
    """

    plans: tuple[CellPlan, ...]
    runs: tuple[Run, ...]
    curves: tuple[RunCurve, ...]

    def values(self, cell: CellKey, metric: str) -> list[Run]:
        """The runs of a cell in the order of repeats; empty when it is withheld."""
        return [run for run in self.runs if run.cell == cell and run.metric == metric]


def base_task(task: str) -> str:
    """A task's name without the suffix for less data ("RXS" -> "R").

    Raises:
        ValueError: No task of the study.
    """
    for base in BASES:
        if task.startswith(base) and task[len(base) :] in ("", "M", "S", "XS", "XXS"):
            return base
    raise ValueError(f"no task of the study: {task!r}")


def primary_metrics(task: str) -> dict[str, str]:
    """Primary metrics of a task -> their meaning."""
    return PRIMARY.get(base_task(task), {"acc": "accuracy"})


def import_study(sources: Sequence[Path], kept: Path) -> Study:
    """Read the study's tables from `sources`, check and merge them, and write the kept form.

    Args:
        sources: Directories with `results.csv` and, where there is one, `cells.csv` and `convergence.csv`.
        kept: Directory of the kept form (`results/published`).

    Raises:
        UsageError: A file is missing or malformed, a value is not finite, a curve is too short to see convergence, or
            two rows contradict each other.
        RadnetError: The disk is full or not writable.
    """
    for source in sources:
        require_directory(source, "a directory with results.csv and cells.csv")
        if not (source / RUNS).is_file():
            raise UsageError(
                "The published results lack a table", file=source / RUNS, fix="Give the folder that has it"
            )
    study = _study(
        (plan for source in sources for plan in _plans(source / CELLS)),
        (run for source in sources for run in _runs(source / RUNS)),
        (curve for source in sources for curve in _long_curves(source / CURVES)),
    )
    write_study(study, kept)
    return study


def read_study(kept: Path) -> Study:
    """The study as `import_study` kept it.

    Raises:
        UsageError: There is none, or it is broken.
    """
    if not (kept / RUNS).is_file():
        raise UsageError(
            "There are no published results here", file=kept, fix="Import them: radnet leaderboard --import DIRECTORY"
        )
    return _study(_plans(kept / CELLS), _runs(kept / RUNS), _kept_curves(kept / KEPT_CURVES))


def write_study(study: Study, kept: Path) -> None:
    """Write the kept form; the same study gives the same bytes."""
    runs = [
        (*_fields(run.cell), run.repeat, run.seed, run.metric, repr(run.value), run.copied_from) for run in study.runs
    ]
    plans = [(*_fields(plan.cell), plan.runs, plan.copied_from) for plan in study.plans]
    curves = [
        (*_fields(curve.cell), curve.repeat, curve.metric, curve.first_epoch, " ".join(map(repr, curve.values)))
        for curve in study.curves
    ]
    for name, columns, lines in (
        (RUNS, RUN_COLUMNS, runs),
        (CELLS, CELL_COLUMNS, plans),
        (KEPT_CURVES, KEPT_COLUMNS, curves),
    ):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
        write_atomically(kept / name, text.getvalue())


def _fields(cell: CellKey) -> tuple[str, str, str, str]:
    return cell.experiment, cell.pretraining, cell.task, cell.variant


def _study(plans: Iterable[CellPlan], runs: Iterable[Run], curves: Iterable[RunCurve]) -> Study:
    """Merged and sorted; contradictions are errors, the same said twice is not."""
    planned: dict[CellKey, CellPlan] = {}
    for plan in plans:
        if planned.setdefault(plan.cell, plan) != plan:
            raise UsageError("Two rows disagree on a cell", seen=plan.cell.words, fix="Give sources of one study")
    known: dict[tuple[CellKey, int, str], Run] = {}
    for run in runs:
        if known.setdefault((run.cell, run.repeat, run.metric), run) != run:
            seen = f"{run.cell.words}, repeat {run.repeat}, {run.metric}: {run.value!r}"
            raise UsageError("Two rows disagree on a run", seen=seen, fix="Keep one value for each metric of a run")
        planned.setdefault(run.cell, CellPlan(run.cell, 0, run.copied_from))
    drawn: dict[tuple[CellKey, int, str], RunCurve] = {}
    for curve in curves:
        if drawn.setdefault((curve.cell, curve.repeat, curve.metric), curve) != curve:
            seen = f"{curve.cell.words}, repeat {curve.repeat}, {curve.metric}"
            raise UsageError("Two sources disagree on a curve", seen=seen, fix="Keep one curve for each run")
    return Study(
        tuple(planned[cell] for cell in sorted(planned)),
        tuple(known[place] for place in sorted(known)),
        tuple(drawn[place] for place in sorted(drawn)),
    )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and fields of every line; a missing file has none."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        lacking = [name for name in columns if name not in (reader.fieldnames or ())]
        if lacking:
            raise UsageError("A table of published results lacks columns", seen=lacking, file=path, fix="Add them")
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"{len(reader.fieldnames or ())} fields are needed")
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise _broken(path, reader.line_num, error) from error


def _broken(path: Path, line: int, error: Exception) -> UsageError:
    return UsageError(
        f"Line {line} of a table of published results is broken: {error}", file=path, fix="Mend or remove the line"
    )


def _plans(path: Path) -> Iterator[CellPlan]:
    for line, row in _rows(path, CELL_COLUMNS):
        try:
            copied = row["copied_from"]
            if copied and len(copied.split("/")) != len(KEY):
                raise ValueError(f"copied_from names a cell as {'/'.join(KEY)}, not {copied!r}")
            yield CellPlan(_cell(row), _count(row["runs"]), copied)
        except ValueError as error:
            raise _broken(path, line, error) from error


def _runs(path: Path) -> Iterator[Run]:
    for line, row in _rows(path, RUN_COLUMNS):
        try:
            yield Run(
                _cell(row),
                _count(row["repeat"]),
                _count(row["seed"]),
                row["metric"],
                _finite(row["value"]),
                row["copied_from"],
            )
        except ValueError as error:
            raise _broken(path, line, error) from error


def _long_curves(path: Path) -> Iterator[RunCurve]:
    """Curves from one line an epoch."""
    found: dict[tuple[CellKey, int, str], dict[int, float]] = {}
    for line, row in _rows(path, CURVE_COLUMNS):
        try:
            points = found.setdefault((_cell(row), _count(row["repeat"]), row["metric"]), {})
            epoch = _count(row["epoch"])
            if epoch in points:
                raise ValueError(f"epoch {epoch} stands twice")
            points[epoch] = _finite(row["value"])
        except ValueError as error:
            raise _broken(path, line, error) from error
    for (cell, repeat, metric), points in found.items():
        first, last = min(points), max(points)
        if len(points) != last - first + 1:
            raise UsageError(
                "A published curve lacks epochs", seen=f"{cell.words}, {metric}", file=path, fix="Add them"
            )
        if len(points) < SEGMENT:
            raise UsageError(
                f"A published curve has fewer than {SEGMENT} epochs, so nobody can see when it converged",
                seen=f"{cell.words}, repeat {repeat}, {metric}: {len(points)}",
                file=path,
                fix="Add the others, or remove its lines",
            )
        yield RunCurve(cell, repeat, metric, first, tuple(points[epoch] for epoch in range(first, last + 1)))


def _kept_curves(path: Path) -> Iterator[RunCurve]:
    for line, row in _rows(path, KEPT_COLUMNS):
        try:
            values = tuple(_finite(word) for word in row["values"].split())
            if len(values) < SEGMENT:
                raise ValueError(f"a curve of {len(values)} epochs, at least {SEGMENT} are needed to see convergence")
            yield RunCurve(_cell(row), _count(row["repeat"]), row["metric"], _count(row["first_epoch"]), values)
        except ValueError as error:
            raise _broken(path, line, error) from error


def _cell(row: dict[str, str]) -> CellKey:
    base_task(row["task"])
    key = CellKey(row["experiment"], row["pretraining"], row["task"], row["variant"])
    if not all(_fields(key)):
        raise ValueError("a part of the cell's name is empty")
    return key


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(f"{text} is negative")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number
