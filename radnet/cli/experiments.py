"""Experiment verbs: Hydra overrides, key=value."""

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Hydra overrides; defaults and meanings stand in configs/.", metavar="KEY=VALUE…"),
]
Defaults = Annotated[
    bool, typer.Option("--defaults", help="Print every setting with its default and meaning, and stop.")
]
Results = Annotated[Path, typer.Option(help="Directory of result records; the leaderboard is written there.")]


def register(app: typer.Typer) -> None:
    """Add the experiment verbs to the command line."""
    app.command("demo")(demo)
    app.command("pretrain")(pretrain)
    app.command("evaluate")(evaluate)
    app.command("benchmark")(benchmark)
    app.command("analyze")(analyze)
    app.command("leaderboard")(leaderboard)


def demo(
    out: Annotated[Path, typer.Argument(help="Where scans, shards and the run go.")] = Path("runs/demo"),
    results: Results = Path("results"),
    patients: Annotated[int | None, typer.Option(min=8, help="Synthetic patients; fewer: quicker, says less.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of pretraining; fewer: quicker, worse.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """The whole path on synthetic scans: archive, shards, pretraining, comparison, leaderboard."""
    from radnet.cli.demo import run_demo

    run_demo(out, results, patients=patients, epochs=epochs, overwrite=overwrite)


def pretrain(overrides: Overrides = None, defaults: Defaults = False) -> None:
    """Pretrain a backbone: radnet pretrain data=SET backbone=resnet50 epochs=100.

    Several processes: torchrun --standalone --nproc-per-node 2 -m radnet pretrain data=SET …
    The same command again continues an unfinished run.
    """
    if defaults:
        _show_defaults("pretrain", ("method", "views", "window", "experiment"))
        return
    from radnet.pretrain.run import pretrain as run

    run(overrides or [])


def evaluate(overrides: Overrides = None, defaults: Defaults = False) -> None:
    """Compare models on a task: radnet evaluate model=run:R data=SET task=body_region.

    protocol=linear (default) or protocol=knn. A record a model goes to results=DIRECTORY.
    """
    if defaults:
        _show_defaults("evaluate", ("task", "protocol"))
        return
    from radnet.console import show
    from radnet.leaderboard import render_terminal
    from radnet.transfer.run import evaluate_from_overrides

    show(render_terminal(evaluate_from_overrides(overrides or [])))


def analyze(overrides: Overrides = None, defaults: Defaults = False) -> None:
    """Look into the feature space: radnet analyze models=[M,…] tasks=[SET,…] out=DIR.

    CKA, neighbours, domain gap, spectra, maps: one page, figures and numbers. The same command continues a report.
    """
    if defaults:
        _show_defaults("analyze", ())
        return
    from radnet.cli.analyze import run_analyze

    run_analyze(overrides or [])


def benchmark(
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells with their cost, and run nothing.")
    ] = False,
    defaults: Defaults = False,
) -> None:
    """Run a suite of cells: radnet benchmark suite=mini. Again: only what is missing.

    Ends with a table of what ran, what failed and why; exit code 1 when a cell failed. Several workers:
    hydra/launcher=joblib jobs=4.
    """
    if defaults:
        _show_defaults("benchmark", ("suite", "condition"))
        return
    from radnet.cli.benchmark import run_suite

    code = run_suite(overrides or [], dry_run=dry_run)
    if code:
        raise typer.Exit(code)


def leaderboard(
    results: Results = Path("results"),
    published: Annotated[
        bool, typer.Option("--published", help="Show the tables of the reference study's published results.")
    ] = False,
    sources: Annotated[
        list[Path] | None,
        typer.Option("--import", help="Folder with results.csv, cells.csv, convergence.csv; may be given twice."),
    ] = None,
) -> None:
    """Regenerate LEADERBOARD.md, leaderboard.csv and the site from the result records.

    Files that are no valid records are named, skipped and counted; then the exit code is 1.
    """
    from radnet.console import say, show, warn
    from radnet.errors import UsageError
    from radnet.leaderboard import write_leaderboard
    from radnet.leaderboard.published import import_study
    from radnet.leaderboard.published.write import PAGE, show_published
    from radnet.leaderboard.terminal import render_tables

    kept = results / "published"
    if sources:
        study = import_study(sources, kept)
        say(f"published: {len(study.runs)} values of {len({run.cell for run in study.runs})} cells")
    written = write_leaderboard(results)
    if published and written.published is None:
        raise UsageError(
            "There are no published results here",
            file=kept,
            fix="Import them: radnet leaderboard --published --import DIRECTORY",
        )
    if published and written.published is not None:
        show(show_published(written.published))
        say(f"published:   {kept / PAGE}")
    else:
        show(render_tables(written.tables))
    for broken in written.broken:
        warn(str(broken.error))
    say(f"leaderboard: {written.page}")
    say(f"site:        {written.site}")
    written.require_whole()


def _show_defaults(name: str, groups: tuple[str, ...]) -> None:
    """The commented config files of a command, as they are."""
    from radnet.configs import config_directory, names_in
    from radnet.console import show

    directory = config_directory()
    show((directory / f"{name}.yaml").read_text(encoding="utf-8"))
    for group in groups:
        for member in names_in(group):
            show(f"# --- {group}={member}\n" + (directory / group / f"{member}.yaml").read_text(encoding="utf-8"))
