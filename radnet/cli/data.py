"""File verbs: paths and flags."""

from pathlib import Path
from typing import Annotated, Literal

import typer

PhantomFormat = Literal["dicom", "nifti", "mixed"]
Archive = Annotated[Path, typer.Argument(help="Directory of DICOM and NIfTI files, at any depth.")]
NewSet = Annotated[Path, typer.Argument(help="Shard set to make.")]
Jobs = Annotated[int, typer.Option(min=1, help="Worker processes; the result is the same for any number.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Secret = Annotated[
    Path | None,
    typer.Option(
        help="File with the secret behind the patient keys; made on first use, readable by you only. "
        "Default: radnet/secret in your configuration directory. Keep it: the same secret gives the same keys."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the file verbs to the command line."""
    shards = typer.Typer(no_args_is_help=True, help="Shard sets: build and look at them.")
    shards.command("build")(build)
    shards.command("info")(info)
    app.add_typer(shards, name="shards")
    app.command("phantom")(phantom)
    app.command("export")(export)


def build(
    archive: Archive,
    out: NewSet,
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV about the scans (path, patient, body_region, …). Default: ARCHIVE/metadata.csv."),
    ] = None,
    secret: Secret = None,
    split_fractions: Annotated[str, typer.Option(help="Shares of patients for train, val and test.")] = "0.7,0.1,0.2",
    shard_mib: Annotated[int, typer.Option(min=1, help="Largest size of a shard in MiB.")] = 256,
    reject_list: Annotated[
        Path | None,
        typer.Option(help="CSV of every file not used, with its path and reason. It may identify: keep it in house."),
    ] = None,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
) -> None:
    """Turn an archive of CT scans into a shard set of int16 HU slices.

    Patients become keyed hashes, the split is a function of the patient, every file that is not used is counted
    with its reason. The set appears when it is complete.
    """
    from radnet.cli.reports import rejects_table, set_table, write_reject_list
    from radnet.console import say, show
    from radnet.errors import UsageError
    from radnet.scans.keys import load_secret
    from radnet.scans.sources import Reject
    from radnet.shards.build import BuildSettings, NothingToBuildError, build_shards
    from radnet.shards.splits import check_fractions

    try:
        fractions = check_fractions([float(part) for part in split_fractions.split(",")])
    except ValueError as error:
        raise UsageError(
            "--split-fractions takes three numbers", seen=split_fractions, fix="For example 0.7,0.1,0.2"
        ) from error
    secret = secret or default_secret()
    for flag, path in (("--secret", secret), ("--reject-list", reject_list)):
        if path is not None and path.expanduser().resolve().is_relative_to(out.resolve()):
            raise UsageError(f"What {flag} names must never lie in a set", file=path, fix="Name a file outside of it")
    if secret.expanduser().resolve().is_relative_to(archive.resolve()):
        raise UsageError("The secret must not lie beside the scans", file=secret, fix="Name a file elsewhere")
    rejects: tuple[Reject, ...] = ()
    try:
        report = build_shards(
            archive,
            out,
            load_secret(secret),
            BuildSettings(split_fractions=fractions, shard_bytes=shard_mib * 2**20),
            metadata=metadata,
            jobs=jobs,
            overwrite=overwrite,
        )
        show(set_table(report.manifest))
        rejects = report.rejects
    except NothingToBuildError as error:
        rejects = error.rejects
        raise
    finally:
        if rejects:
            show(rejects_table(rejects))
        if rejects and reject_list is not None:
            write_reject_list(rejects, reject_list)
            say(f"every file not used: {reject_list}")
    say(f"shard set: {out}")


def default_secret() -> Path:
    """Where the secret lives unless named: outside of every archive and set."""
    return Path(typer.get_app_dir("radnet", force_posix=False)) / "secret"


def info(shards: Annotated[Path, typer.Argument(help="A shard set.")]) -> None:
    """Totals of a shard set, and why files were not used."""
    import pandas as pd

    from radnet.cli.reports import reason_counts_table, set_table
    from radnet.console import show
    from radnet.shards import ShardSet

    opened = ShardSet.open(shards)
    show(set_table(opened.manifest))
    rejects = pd.read_parquet(shards / opened.manifest.rejects.file)
    if len(rejects):
        show(reason_counts_table(rejects))


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


def export(
    run: Annotated[Path, typer.Argument(help="A run directory of radnet pretrain, finished or not.")],
    out: Annotated[Path, typer.Argument(help="Directory of the export.")],
    overwrite: Overwrite = False,
) -> None:
    """Export a run's newest checkpoint so that timm.create_model("local-dir:OUT", pretrained=True) loads it."""
    from radnet.console import say
    from radnet.pretrain.run import export_run

    export_run(run, out, overwrite=overwrite)
    say(f'exported: timm.create_model("local-dir:{out}", pretrained=True, num_classes=0)')
