"""File verbs: paths and flags."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from radnet.cli import sets
from radnet.cli.build import Jobs, build

PhantomFormat = Literal["dicom", "nifti", "mixed"]


def register(app: typer.Typer) -> None:
    """Add the file verbs to the command line."""
    shards = typer.Typer(no_args_is_help=True, help="Shard sets: build, check, look at, join and cut them.")
    shards.command("build")(build)
    sets.register(shards)
    app.add_typer(shards, name="shards")
    app.command("phantom")(phantom)


def phantom(
    out: Annotated[Path, typer.Argument(help="Archive to make.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of synthetic patients.")] = 20,
    series: Annotated[int, typer.Option(min=1, help="Series of each patient.")] = 2,
    slices: Annotated[int, typer.Option(min=1, help="Slices of each series.")] = 40,
    size: Annotated[int, typer.Option(min=32, help="Rows and columns of a slice.")] = 256,
    file_format: Annotated[PhantomFormat, typer.Option("--format", help="What the scans are written as.")] = "mixed",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    jobs: Jobs = 1,
) -> None:
    """Make an archive of synthetic CT scans with organ masks and labels; nobody's anatomy."""
    from radnet.console import say
    from radnet.scans.phantom import write_phantom_archive

    write_phantom_archive(
        out,
        patients=patients,
        seed=seed,
        series_per_patient=series,
        slices=slices,
        size=size,
        file_format=file_format,
        jobs=jobs,
    )
    say(f"synthetic archive: {out}; build a set from it with: radnet shards build {out} OUT")
