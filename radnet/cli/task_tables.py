"""Tables of `radnet task`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from radnet.cli.reports import set_table
from radnet.console import say, show
from radnet.shards.splits import SPLITS

if TYPE_CHECKING:
    from radnet.transfer.prepare import PrepareReport
    from radnet.transfer.tasks import Task

MOST_CLASSES, MOST_ROWS = 6, 40
KINDS = {"single": "one class an image", "multi": "several labels an image", "segment": "masks"}


def tasks_table(tasks: Sequence[tuple["Task", Sequence[str]]]) -> Table:
    """One row a task.

    Args:
        tasks: Each with the names of the sets that hold its labels.
    """
    table = Table(title="tasks")
    for column in ("task", "what is asked", "classes", "metric", "made by radnet", "prepared"):
        table.add_column(column, overflow="fold")
    for task, sets in tasks:
        table.add_row(task.name, task.description, _classes(task), task.metric, _maker(task), ", ".join(sets) or "-")
    return table


def task_page(task: "Task", sets: Sequence[str]) -> Table:
    """Everything about one task."""
    from radnet.transfer.tasks import how_to_prepare

    table = Table(title=f"task {task.name}", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("what is asked", task.description)
    table.add_row("kind", KINDS[task.kind] if task.classes else "as in the set")
    table.add_row("label in the set", f"{task.label}_CLASS" if task.kind == "multi" else task.label)
    table.add_row(f"classes ({len(task.classes)})", ", ".join(task.classes) or "as in the set")
    table.add_row("metrics", ", ".join(dict.fromkeys((task.metric, *task.metrics))))
    table.add_row("size of pictures", f"{task.size} px")
    table.add_row("set", how_to_prepare(task))
    if task.prepare is not None and task.prepare.home:
        table.add_row("data", task.prepare.home)
    table.add_row("prepared", ", ".join(sets) or "no set of this label in the directory of sets (--sets)")
    return table


def counts_table(report: "PrepareReport") -> Table:
    """Images by class and split."""
    table = Table(title="images by class and split")
    table.add_column("class", overflow="fold")
    for split in SPLITS:
        table.add_column(split, justify="right")
    if len(report.counts) <= MOST_ROWS:
        for name, counts in report.counts.items():
            table.add_row(name, *(str(counts[split]) for split in SPLITS))
        return table
    by_split = {split: [counts[split] for counts in report.counts.values()] for split in SPLITS}
    for what, of in (("largest", max), ("smallest", min)):
        table.add_row(f"{what} of {len(report.counts)} classes", *(str(of(by_split[split])) for split in SPLITS))
    table.add_row("classes without an image", *(str(by_split[split].count(0)) for split in SPLITS))
    return table


def show_report(report: "PrepareReport", out: Path) -> None:
    """What a preparation did."""
    show(set_table(report.manifest))
    if report.counts:
        show(counts_table(report))
    say("split: the data set's own" if report.own_split else "split: by the keys of patients or groups")
    say(f"shard set: {out}; next: radnet evaluate model=MODEL data={out} task={report.task.name}")


def _maker(task: "Task") -> str:
    return f"task prepare {task.name}" if task.prepare is not None else "shards build"


def _classes(task: "Task") -> str:
    if not task.classes:
        return "as in the set"
    shown = ", ".join(task.classes[:MOST_CLASSES])
    more = f", … ({len(task.classes)})" if len(task.classes) > MOST_CLASSES else ""
    return shown + more + (" (several labels)" if task.kind == "multi" else "")
