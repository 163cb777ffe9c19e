"""The study's tables: mean and sample standard deviation over repeats, and its time to convergence."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from radnet.convergence import settled_epoch, study_convergence
from radnet.leaderboard.published.study import CellKey, Study, base_task, primary_metrics

EXPERIMENTS = {
    "E1": "finetuning, all training data",
    "E2": "finetuning, less training data",
    "E3": "finetuning with noise in training (one run a cell)",
    "E4": "frozen encoder",
    "E6": "mixed pretraining, finetuning",
    "E8": "mixed pretraining, frozen encoder",
}
ARMS = ("Scratch", "SimCLR_I1k", "SimCLR_R", "SimCLR_RF", "SimCLR_IxRS", "SimCLR_IxRM")
NOISE = {
    "noise4": 1e-4,
    "noise3": 1e-3,
    "noise25e3": 2.5e-3,
    "noise5e3": 5e-3,
    "noise2": 1e-2,
    "noise25e2": 2.5e-2,
    "noise5e2": 5e-2,
}
TASK_NOTES = {
    "CX8M": "trained on the whole training set, not on 50 %: extra repeats of CX8",
    "CX8S": "trained on the whole training set, not on 10 %: extra repeats of CX8",
    "RXS": "behaves like a subset that does not represent the rest: worse than RXXS with a tenth of its data",
}


@dataclass(frozen=True)
class Entry:
    """Mean and spread of one cell and metric.

    Attributes:
        runs: Number of runs with known values.
        mean: Their mean, None when the cell is withheld.
        deviation: Their sample standard deviation (n - 1), None with fewer than two.
        copied_from: The cell whose runs these are, empty for runs of its own.
        planned: Whether the study has such a cell.
    """

    runs: int
    mean: float | None
    deviation: float | None
    copied_from: str
    planned: bool = True

    @property
    def text(self) -> str:
        """As the study writes it; "withheld" where values are not public, empty where there is no such cell."""
        if not self.planned:
            return ""
        if self.mean is None:
            return "withheld"
        spread = "" if self.deviation is None else f" ± {self.deviation:.4f}"
        return f"{self.mean:.4f}{spread}{' †' if self.copied_from else ''}"


NOT_PLANNED = Entry(0, None, None, "", planned=False)


@dataclass(frozen=True)
class Line:
    """One task, variant and metric, an entry an arm."""

    task: str
    variant: str
    metric: str
    meaning: str
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """Task, noise and metric in words."""
        noise = f", noise {NOISE[self.variant]:g}" if self.variant in NOISE else ""
        return f"{self.task}{noise}, {self.meaning}"


@dataclass(frozen=True)
class ExperimentTable:
    """One experiment of the study.

    Attributes:
        experiment: "E1", …
        title: What it is, in words.
        arms: Columns.
        lines: Lines in the order of tasks.
        copied: Whether an entry repeats runs of another cell.
        notes: Defects of the tasks in it.
    """

    experiment: str
    title: str
    arms: tuple[str, ...]
    lines: tuple[Line, ...]
    copied: bool
    notes: tuple[str, ...]

    @property
    def withheld(self) -> int:
        """Number of entries that are not public."""
        return sum(entry.planned and entry.mean is None for line in self.lines for entry in line.entries)


def experiment_tables(study: Study) -> list[ExperimentTable]:
    """All tables of the study, by experiment."""
    values: dict[tuple[CellKey, str], list[float]] = defaultdict(list)
    for run in study.runs:
        values[run.cell, run.metric].append(run.value)
    copies = {plan.cell: plan.copied_from for plan in study.plans}
    experiments = sorted({plan.cell.experiment for plan in study.plans})
    return [_table(experiment, copies, values) for experiment in experiments]


def _table(
    experiment: str, copies: dict[CellKey, str], values: dict[tuple[CellKey, str], list[float]]
) -> ExperimentTable:
    cells = [cell for cell in copies if cell.experiment == experiment]
    present = {cell.pretraining for cell in cells}
    arms = (*(arm for arm in ARMS if arm in present), *sorted(present - set(ARMS)))
    rows = sorted({(cell.task, cell.variant) for cell in cells}, key=_order)
    lines = tuple(
        Line(
            task,
            variant,
            metric,
            meaning,
            tuple(_entry(CellKey(experiment, arm, task, variant), metric, copies, values) for arm in arms),
        )
        for task, variant in rows
        for metric, meaning in primary_metrics(task).items()
    )
    tasks = dict.fromkeys(task for task, _ in rows)
    return ExperimentTable(
        experiment,
        EXPERIMENTS.get(experiment, ""),
        arms,
        lines,
        any(entry.copied_from for line in lines for entry in line.entries),
        tuple(f"{task}: {TASK_NOTES[task]}" for task in tasks if task in TASK_NOTES),
    )


def _order(row: tuple[str, str]) -> tuple[object, ...]:
    task, variant = row
    base = base_task(task)
    natural = ("R", "LiTS", "BraTS", "CX8", "I1k", "I100", "I10")
    return natural.index(base), ("", "M", "S", "XS", "XXS").index(task[len(base) :]), NOISE.get(variant, 0.0), variant


def _entry(
    cell: CellKey, metric: str, copies: dict[CellKey, str], values: dict[tuple[CellKey, str], list[float]]
) -> Entry:
    if cell not in copies:
        return NOT_PLANNED
    known = values.get((cell, metric), [])
    if not known and copies[cell]:  # a copy is known as soon as its original is
        known = values.get((CellKey(*copies[cell].split("/")), metric), [])
    return Entry(
        len(known),
        statistics.fmean(known) if known else None,
        statistics.stdev(known) if len(known) > 1 else None,
        copies[cell],
    )


@dataclass(frozen=True)
class ConvergenceLine:
    """Epochs to convergence of one cell and metric, over its repeats.

    Attributes:
        cell: The cell.
        metric: The validation metric.
        meaning: It in words.
        study: Mean of the study's time to convergence over the runs that have one; None when none has.
        study_deviation: Its sample standard deviation, None with fewer than two.
        never: Runs that the study's rule calls not converged.
        settled: Mean of the epoch from which the curve stays near its end.
        settled_deviation: Its sample standard deviation, None with fewer than two.
        runs: Number of runs.
        epochs: Epochs that were trained.
    """

    cell: CellKey
    metric: str
    meaning: str
    study: float | None
    study_deviation: float | None
    never: int
    settled: float
    settled_deviation: float | None
    runs: int
    epochs: int


def convergence_lines(study: Study) -> list[ConvergenceLine]:
    """Time to convergence of every cell with curves, by experiment, task and arm."""
    groups: dict[tuple[CellKey, str], list[tuple[float, ...]]] = defaultdict(list)
    for curve in study.curves:
        groups[curve.cell, curve.metric].append(curve.values)
    keys = sorted(
        groups, key=lambda key: (key[0].experiment, _order((key[0].task, key[0].variant)), key[1], _arm(key[0]))
    )
    return [_convergence(cell, metric, groups[cell, metric]) for cell, metric in keys]


def _arm(cell: CellKey) -> tuple[int, str]:
    return ARMS.index(cell.pretraining) if cell.pretraining in ARMS else len(ARMS), cell.pretraining


def _convergence(cell: CellKey, metric: str, curves: Iterable[tuple[float, ...]]) -> ConvergenceLine:
    curves = list(curves)
    found = [study_convergence(values) for values in curves]
    epochs = [epoch for epoch in found if epoch is not None]
    settled = [settled_epoch(values) for values in curves]
    return ConvergenceLine(
        cell,
        metric,
        primary_metrics(cell.task).get(metric, metric),
        statistics.fmean(epochs) if epochs else None,
        statistics.stdev(epochs) if len(epochs) > 1 else None,
        len(found) - len(epochs),
        statistics.fmean(settled),
        statistics.stdev(settled) if len(settled) > 1 else None,
        len(curves),
        max(map(len, curves)),
    )
