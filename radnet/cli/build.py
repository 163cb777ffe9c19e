"""`radnet shards build`: an archive becomes a shard set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from radnet.scans.keys import KeyedHash

WORK, CHOICE, FORM = "How the work is done", "Which scans and slices", "What the set is like"

Archive = Annotated[Path, typer.Argument(help="Directory of DICOM and NIfTI files, at any depth.")]
NewSet = Annotated[Path, typer.Argument(help="Shard set to make.")]
Jobs = Annotated[
    int, typer.Option(min=1, help="Worker processes; the result is the same for any number.", rich_help_panel=WORK)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Secret = Annotated[
    Path | None,
    typer.Option(
        help="File with the secret behind the patient keys; made on first use, readable by you only. "
        "Default: radnet/secret in your configuration directory. Keep it: the same secret gives the same keys."
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        help="Only series that keep this rule on a tag: TAG=PATTERN,PATTERN or TAG<NUMBER, for example "
        "'kernel=B3*', 'slice_thickness_mm<=3', 'label_study=a'. May be given several times: all must hold.",
        rich_help_panel=CHOICE,
    ),
]
OtherRules = Annotated[
    list[str] | None,
    typer.Option(help="No series that keeps this rule; written like --include.", rich_help_panel=CHOICE),
]


def build(
    archive: Archive,
    out: NewSet,
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV about the scans (path, patient, body_region, …). Default: ARCHIVE/metadata.csv."),
    ] = None,
    secret: Secret = None,
    reject_list: Annotated[
        Path | None,
        typer.Option(help="CSV of every file not used, with its path and reason. It may identify: keep it in house."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be built, from headers alone, and build nothing.")
    ] = False,
    overwrite: Overwrite = False,
    modality: Annotated[
        str,
        typer.Option(
            help="Which images to take, joined by commas: CT, MR, CR and DX (radiographs), PICTURE (PNG and JPEG). "
            "Only CT is stored in Hounsfield units.",
            rich_help_panel=CHOICE,
        ),
    ] = "CT",
    include: Rules = None,
    exclude: OtherRules = None,
    every: Annotated[
        int, typer.Option(min=1, help="Take every so manieth slice of a series.", rich_help_panel=CHOICE)
    ] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take so many series at most, for a trial.", rich_help_panel=CHOICE)
    ] = None,
    keep_air: Annotated[
        bool, typer.Option("--keep-air", help="Store slices without tissue as well.", rich_help_panel=CHOICE)
    ] = False,
    keep_duplicates: Annotated[
        bool,
        typer.Option("--keep-duplicates", help="Store slices again that are stored already.", rich_help_panel=CHOICE),
    ] = False,
    size: Annotated[
        str,
        typer.Option(
            help="native, or the longer side in pixels to which larger slices are averaged down.", rich_help_panel=FORM
        ),
    ] = "native",
    split_fractions: Annotated[
        str, typer.Option(help="Shares of patients for train, val and test.", rich_help_panel=FORM)
    ] = "0.7,0.1,0.2",
    shard_mib: Annotated[int, typer.Option(min=1, help="Largest size of a shard in MiB.", rich_help_panel=FORM)] = 256,
    jobs: Jobs = 1,
    backend: Annotated[
        Literal["processes", "dask", "ray"],
        typer.Option(help="Where the workers run. Dask and Ray: pip install 'radnet[dask]'.", rich_help_panel=WORK),
    ] = "processes",
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Address of a Dask scheduler or Ray cluster that runs already and sees the same paths. "
            "Without it, --jobs workers are started on this machine.",
            rich_help_panel=WORK,
        ),
    ] = None,
) -> None:
    """Turn an archive of CT scans into a shard set of int16 HU slices.

    Patients become keyed hashes, the split is a function of the patient, every file that is not used is counted
    with its reason. The set appears when it is complete; a build that was interrupted goes on when it is called again.
    """
    from radnet.cli.reports import plan_table, removed_tags_table, set_table, show_rejects
    from radnet.console import say, show
    from radnet.scans.keys import load_secret
    from radnet.shards.build import build_shards
    from radnet.shards.plan import plan_build
    from radnet.shards.settings import BuildSettings

    settings = BuildSettings(
        split_fractions=fractions_of(split_fractions),
        shard_bytes=shard_mib * 2**20,
        modalities=tuple(word.strip().upper() for word in modality.split(",")),
        size=_size(size),
        every=every,
        limit=limit,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        keep_air=keep_air,
        keep_duplicates=keep_duplicates,
    )
    secret = checked_secret(secret, archive, out, reject_list)
    with show_rejects(reject_list) as rejects:
        if dry_run:
            plan = plan_build(archive, _secret_for_plan(secret), settings, metadata=metadata, jobs=jobs)
            show(plan_table(plan))
            rejects += plan.rejects
            return
        report = build_shards(
            archive,
            out,
            load_secret(secret),
            settings,
            metadata=metadata,
            jobs=jobs,
            backend=backend,
            address=cluster,
            overwrite=overwrite,
        )
        show(set_table(report.manifest))
        if report.manifest.removed_tags:
            show(removed_tags_table(report.manifest))
        rejects += report.rejects
    say(f"shard set: {out}")


def default_secret() -> Path:
    """Where the secret lives unless named: outside of every archive and set."""
    return Path(typer.get_app_dir("radnet", force_posix=False)) / "secret"


def checked_secret(secret: Path | None, archive: Path, out: Path, reject_list: Path | None) -> Path:
    """Where the secret is, after a look at where it and the list of rejects must not be."""
    from radnet.errors import UsageError

    secret = secret or default_secret()
    for flag, path in (("--secret", secret), ("--reject-list", reject_list)):
        if path is not None and path.expanduser().resolve().is_relative_to(out.resolve()):
            raise UsageError(f"What {flag} names must never lie in a set", file=path, fix="Name a file outside of it")
    if secret.expanduser().resolve().is_relative_to(archive.resolve()):
        raise UsageError("The secret must not lie beside the scans", file=secret, fix="Name a file elsewhere")
    return secret


def _secret_for_plan(secret: Path) -> "KeyedHash":
    """The secret where there is one; a dry run makes no file, and then its splits are an example."""
    import secrets

    from radnet.console import say
    from radnet.scans.keys import SECRET_BYTES, KeyedHash, load_secret

    if secret.expanduser().exists():
        return load_secret(secret)
    say("There is no secret yet: the splits below are an example of what a build will draw")
    return KeyedHash(secrets.token_bytes(SECRET_BYTES))


def fractions_of(text: str) -> tuple[float, float, float]:
    """The shares that --split-fractions names."""
    from radnet.errors import UsageError
    from radnet.shards.splits import check_fractions

    try:
        return check_fractions([float(part) for part in text.split(",")])
    except ValueError as error:
        raise UsageError("--split-fractions takes three numbers", seen=text, fix="For example 0.7,0.1,0.2") from error


def _size(text: str) -> int | None:
    from radnet.errors import UsageError

    if text == "native":
        return None
    if not text.isdecimal():
        raise UsageError("--size takes native or a number of pixels", seen=text, fix="For example --size 256")
    return int(text)
