"""`radnet task`: which tasks there are, and their sets from official downloads."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from radnet.cli.build import Jobs, NewSet, Overwrite, Secret

SPLIT, TABLE, FORM = "Split", "Table of images (task images)", "What the set is like"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    tasks = typer.Typer(no_args_is_help=True, help="Transfer tasks: which there are, and making their sets.")
    tasks.command("list")(task_list)
    tasks.command("prepare")(prepare)
    app.add_typer(tasks, name="task")


def task_list(
    sets: Annotated[Path, typer.Option(help="Directory in which prepared sets are looked for.")] = Path("shards"),
    name: Annotated[str | None, typer.Argument(help="Only this task, and how to prepare it.")] = None,
) -> None:
    """Every task with its classes, metric and how its set is made."""
    from radnet.cli.task_tables import task_page, tasks_table
    from radnet.console import show
    from radnet.transfer.tasks import list_tasks, sets_for, task_named

    if name is not None:
        task = task_named(name)
        show(task_page(task, sets_for(task, sets)))
        return
    tasks = list_tasks()
    show(tasks_table([(task, sets_for(task, sets)) for task in tasks]))
    show("One of them with all it needs: radnet task list NAME")


def prepare(
    name: Annotated[str, typer.Argument(help="Task, see radnet task list.")],
    source: Annotated[Path, typer.Argument(help="The download: a directory, or a zip or tar file.")],
    out: NewSet,
    split: Annotated[
        Literal["auto", "own", "keyed"],
        typer.Option(
            help="own: the split that the data came with. keyed: by the hash of the patient or group. auto: own where "
            "there is one.",
            rich_help_panel=SPLIT,
        ),
    ] = "auto",
    split_fractions: Annotated[
        str | None, typer.Option(help="keyed: shares of groups for train, val and test.", rich_help_panel=SPLIT)
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.9, help="own without val: this share of the training groups becomes it.", rich_help_panel=SPLIT
        ),
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option(
            "--drop-leaks",
            help="own: leave out of train and val what is in test as well, by group or byte by byte.",
            rich_help_panel=SPLIT,
        ),
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(help="The table. Default: SOURCE/labels.csv.", rich_help_panel=TABLE)
    ] = None,
    path_column: Annotated[
        str | None, typer.Option(help="Its column of paths below SOURCE.", rich_help_panel=TABLE)
    ] = None,
    label_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Its column of classes; given several times, each is a label of 0 and 1.", rich_help_panel=TABLE
        ),
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Its column of patients or groups.", rich_help_panel=TABLE)
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Its column of train, val and test.", rich_help_panel=TABLE)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16, help="Longer side in pixels to which larger images are averaged down.", rich_help_panel=FORM
        ),
    ] = None,
    shard_mib: Annotated[int, typer.Option(min=1, help="Largest size of a shard in MiB.", rich_help_panel=FORM)] = 256,
    secret: Secret = None,
    reject_list: Annotated[
        Path | None, typer.Option(help="CSV of every file not used, with its path and reason. Keep it in house.")
    ] = None,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
) -> None:
    """Convert the download of a data set to the shard set of a task.

    Groups become keyed hashes, files that are not used are counted with their reason, a leak between the sides of the
    data set's own split is reported.
    """
    from radnet.cli.build import checked_secret, fractions_of
    from radnet.cli.reports import show_rejects
    from radnet.cli.task_tables import show_report
    from radnet.configs import validated
    from radnet.scans.keys import load_secret
    from radnet.transfer.prepare import PrepareOptions, is_public, prepare_task
    from radnet.transfer.tasks import task_named

    given: dict[str, Any] = {
        "split": split,
        "split_fractions": fractions_of(split_fractions) if split_fractions else None,
        "val_share": val_share,
        "drop_leaks": drop_leaks or None,
        "csv": csv,
        "path_column": path_column,
        "label_columns": tuple(label_column) if label_column else None,
        "group_column": group_column,
        "split_column": split_column,
        "size": size,
        "shard_bytes": shard_mib * 2**20,
    }
    options = validated(
        PrepareOptions, {key: value for key, value in given.items() if value is not None}, "radnet task prepare"
    )
    task = task_named(name)
    checked = checked_secret(secret, source, out, reject_list)
    hasher = None if secret is None and is_public(task) else load_secret(checked)
    with show_rejects(reject_list) as rejects:
        report = prepare_task(task, source, out, hasher, options, jobs=jobs, overwrite=overwrite)
        rejects += report.rejects
        show_report(report, out)
