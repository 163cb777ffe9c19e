"""The tables of `radnet benchmark`."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from radnet.records import read_record, record_path
from radnet.shards.manifest import MANIFEST
from radnet.transfer.overlap import overlap_words
from radnet.transfer.suites.cost import Cost
from radnet.transfer.suites.outcomes import Done
from radnet.transfer.suites.plan import PlannedCell
from radnet.transfer.suites.run import Benchmark, duration

UNKNOWN = "?"
STATUSES = ("computed", "there already", "unavailable", "failed")


def plan_table(plan: Sequence[PlannedCell], costs: Mapping[str, Cost], data: Path) -> list[Table]:
    """Every cell with its cost (repeats of other seeds on one line), and sums by experiment."""
    cells = Table(title=f"{len(plan)} cells", title_justify="left")
    for column in ("experiments", "arm", "task", "set", "protocol", "train", "condition", "seeds", "images", "about"):
        cells.add_column(column, justify="right" if column in ("train", "images", "about") else "left", overflow="fold")
    rows: dict[tuple[str, ...], list[PlannedCell]] = defaultdict(list)
    for cell in plan:
        there = (data / cell.set_name / MANIFEST).is_file()
        name = "" if cell.set_name == cell.task.name else cell.set_name
        key: tuple[str, ...] = (
            ", ".join(cell.experiments),
            cell.arm if cell.model else f"{cell.arm}, no model",
            cell.task.name,
            name if there else f"{name} missing".strip(),
            cell.protocol.name,
            f"{100 * cell.fraction:g} %",
            cell.condition_name,
        )
        rows[key].append(cell)
    for words, members in rows.items():
        seeds = ", ".join(str(cell.seed) for cell in members)
        cells.add_row(*words, seeds, *_sums([costs[cell.key] for cell in members]))
    sums = Table(title="cost by experiment", title_justify="left")
    for column in ("experiment", "cells", "images", "about"):
        sums.add_column(column, justify="left" if column == "experiment" else "right")
    by_experiment: dict[str, list[Cost]] = defaultdict(list)
    for cell in plan:
        by_experiment[", ".join(cell.experiments)].append(costs[cell.key])
    for experiment, members_costs in by_experiment.items():
        sums.add_row(experiment, str(len(members_costs)), *_sums(members_costs))
    sums.add_section()
    sums.add_row("all", str(len(plan)), *_sums(list(costs.values())))
    return [cells, sums]


def _sums(costs: Sequence[Cost]) -> tuple[str, str]:
    """Images and time of some cells; "at least" where one of them is not known."""
    images = [cost.images for cost in costs if cost.images is not None]
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    whole_images, whole_seconds = len(images) == len(costs), len(seconds) == len(costs)
    return (
        (("" if whole_images else "> ") + f"{sum(images):,}") if images else UNKNOWN,
        (("" if whole_seconds else "> ") + duration(sum(seconds))) if seconds else UNKNOWN,
    )


def summary_table(plan: Sequence[PlannedCell], done: Mapping[str, Done]) -> Table:
    """How many cells of each experiment, task and protocol were computed, were there, are unavailable or failed."""
    table = Table(title="what became of the cells", title_justify="left")
    for column in ("experiment", "task", "set", "protocol", *STATUSES, "time"):
        table.add_column(column, justify="right" if column in (*STATUSES, "time") else "left")
    rows: dict[tuple[str, ...], list[Done]] = defaultdict(list)
    for cell in plan:
        rows[", ".join(cell.experiments), cell.task.name, cell.set_name, cell.protocol.name].append(done[cell.key])
    for key, entries in rows.items():
        table.add_row(*key, *_counts(entries))
    table.add_section()
    table.add_row("all", "", "", "", *_counts([done[cell.key] for cell in plan]))
    return table


def _counts(entries: Sequence[Done]) -> list[str]:
    counts = Counter[str](entry.status for entry in entries)
    spent = sum(entry.seconds for entry in entries if entry.status != "there already")
    return [*(str(counts[status]) if counts[status] else "-" for status in STATUSES), duration(spent)]


def reasons_table(plan: Sequence[PlannedCell], done: Mapping[str, Done]) -> Table | None:
    """Why cells failed or are unavailable, one line a reason; None when none did."""
    reasons: dict[tuple[str, str], list[PlannedCell]] = defaultdict(list)
    for cell in plan:
        entry = done[cell.key]
        if entry.status in ("failed", "unavailable"):
            reasons[entry.status, entry.reason].append(cell)
    if not reasons:
        return None
    table = Table(title="what did not run, and why", title_justify="left", show_lines=True)
    for column in ("", "cells", "which", "why"):
        table.add_column(column, justify="right" if column == "cells" else "left", overflow="fold")
    for (status, reason), cells in sorted(reasons.items()):
        which = cells[0].words if len(cells) == 1 else _common(cells)
        table.add_row(status, str(len(cells)), which, reason)
    return table


def overlap_table(benchmark: Benchmark, done: Mapping[str, Done]) -> Table | None:
    """What pretraining has seen of the test images, for each arm and set; random weights have seen nothing."""
    rows: dict[tuple[str, str], str] = {}
    for cell in benchmark.plan:
        entry = done[cell.key]
        key = (cell.arm, cell.set_name)
        if entry.cell is None or entry.status == "unavailable" or key in rows:
            continue
        record = read_record(record_path(benchmark.place.results, entry.cell))
        if record.overlap is not None and record.model.arm != "random":
            rows[key] = overlap_words(record.overlap)
    if not rows:
        return None
    table = Table(title="test images that pretraining has seen", title_justify="left")
    for column in ("arm", "set", "found"):
        table.add_column(column, overflow="fold")
    by_words: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (arm, name), words in rows.items():
        by_words[arm, words].append(name)
    for (arm, words), names in by_words.items():
        table.add_row(arm, ", ".join(names), words)
    return table


def _common(cells: Sequence[PlannedCell]) -> str:
    """What some cells are of, in a few words."""
    parts = []
    for name, values in (
        ("arm", [cell.arm for cell in cells]),
        ("task", [cell.task.name for cell in cells]),
        ("protocol", [cell.protocol.name for cell in cells]),
    ):
        different = list(dict.fromkeys(values))
        parts.append(f"{name} {', '.join(different[:4])}{', …' if len(different) > 4 else ''}")
    return "; ".join(parts)
