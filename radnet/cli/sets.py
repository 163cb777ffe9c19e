"""`radnet shards verify, info, show, merge, subset, diff`: caring for finished sets."""

from pathlib import Path
from typing import Annotated

import typer

from radnet.cli.build import NewSet, Overwrite

OneSet = Annotated[Path, typer.Argument(help="A shard set.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of tables.")]
ShardMib = Annotated[int, typer.Option(min=1, help="Largest size of a shard in MiB.")]
Regions = Annotated[list[str] | None, typer.Option(help="Only this body region; may be given several times.")]
Splits = Annotated[list[str] | None, typer.Option(help="Only this split; may be given several times.")]
Series = Annotated[list[str] | None, typer.Option(help="Only the series of this key; may be given several times.")]


def register(shards: typer.Typer) -> None:
    """Add the verbs to `radnet shards`."""
    for verb in (verify, info, show, merge, subset, diff):
        shards.command(verb.__name__)(verb)


def verify(
    shards: OneSet,
    full: Annotated[bool, typer.Option("--full", help="Read every byte and decode every slice.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes of --full.")] = 1,
) -> None:
    """Check a set: sizes and counts, with --full every byte. Exit code 1 when anything is wrong."""
    from radnet.cli.set_tables import problems_table
    from radnet.console import say, show
    from radnet.errors import RadnetError
    from radnet.shards.verify import verify_set

    found = verify_set(shards, full=full, jobs=jobs)
    if found.problems:
        show(problems_table(found.problems, "what is wrong"))
    if found.notes:
        show(problems_table(found.notes, "what is odd and does no harm"))
    if found.problems:
        files = len({problem.file for problem in found.problems})
        raise RadnetError(
            f"The set is not what it was: {len(found.problems)} problem(s) in {files} file(s)",
            file=shards,
            fix="Copy the files named above again from their source, or build the set again",
        )
    depth = "every byte was read" if full else "sizes and counts agree; --full reads every byte"
    say(f"no problem in {found.samples} slices, {found.shards} shard(s): {depth}")


def info(shards: OneSet, as_json: AsJson = False) -> None:
    """What a set holds: counts by region, split, scanner and more, what was left out, and its settings."""
    import json
    from dataclasses import asdict

    from radnet.cli.reports import removed_tags_table, set_table
    from radnet.cli.set_tables import census_table, reject_counts_table, settings_table
    from radnet.console import show
    from radnet.shards import ShardSet
    from radnet.shards.census import take_census

    manifest = ShardSet.open(shards).manifest
    census = take_census(shards, manifest)
    if as_json:
        about = manifest.model_dump(mode="json", exclude={"shards", "index", "rejects"})
        size = sum(shard.bytes for shard in manifest.shards)
        files = {"shards": len(manifest.shards), "bytes": size}
        typer.echo(json.dumps({**about, **files, **asdict(census)}, indent=2, ensure_ascii=False))
        return
    show(set_table(manifest))
    show(census_table(census))
    if census.rejects:
        show(reject_counts_table(census))
    if manifest.removed_tags:
        show(removed_tags_table(manifest))
    show(settings_table(manifest))


def show(
    shards: OneSet,
    out: Annotated[Path, typer.Argument(help="PNG file to write.")],
    columns: Annotated[int, typer.Option(min=1, max=64, help="Slices of a row.")] = 8,
    windows: Annotated[
        str, typer.Option(help="HU windows, joined by commas: brain, soft_tissue, lung, bone, full.")
    ] = "soft_tissue,lung,bone",
    split: Annotated[str | None, typer.Option(help="Only slices of this split.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed shows other slices.")] = 0,
    masks: Annotated[bool, typer.Option("--masks", help="Draw the outlines of masks.")] = False,
) -> None:
    """Draw a contact sheet: one row a body region, one block a window."""
    from radnet.console import say
    from radnet.shards.sheet import draw_sheet

    names = [name.strip() for name in windows.split(",")]
    count = draw_sheet(shards, out, columns=columns, windows=names, split=split, seed=seed, masks=masks)
    say(f"contact sheet of {count} slices: {out}")


def merge(
    out: NewSet,
    shards: Annotated[list[Path], typer.Argument(help="Sets to merge, two or more.")],
    shard_mib: ShardMib = 256,
    overwrite: Overwrite = False,
) -> None:
    """Make one set of several. Slices are copied as they are; one that is in two sets is stored once.

    The sets must have been built with the same secret and split fractions. Other fractions are refused; another
    secret cannot be noticed, and the same patient would then count as two and could be on both sides of the split.
    """
    from radnet.cli.reports import set_table
    from radnet.console import say, show, warn
    from radnet.shards.merge import merge_sets

    report = merge_sets(out, shards, shard_bytes=shard_mib * 2**20, overwrite=overwrite)
    show(set_table(report.manifest))
    if report.repeated:
        say(f"{report.repeated} slices were in more than one set and are stored once")
    if report.otherwise:
        warn(f"of {report.otherwise} of these slices the sets say different things (labels, mask); one was kept")
    say(f"shard set: {out}")


def subset(
    shards: OneSet,
    out: NewSet,
    patients: Annotated[
        str | None, typer.Option(help="A file with one patient key a line, or a number of patients to draw.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of the patients of each split; a smaller share is part of a larger.")
    ] = None,
    region: Regions = None,
    split: Splits = None,
    series: Series = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other patients.")] = 0,
    shard_mib: ShardMib = 256,
    overwrite: Overwrite = False,
) -> None:
    """Make a smaller set of a part of one. Slices are copied as they are; what is left out is counted."""
    from radnet.cli.reports import set_table
    from radnet.console import say, show
    from radnet.shards.subset import Selection, subset_set

    count = int(patients) if patients is not None and patients.isdecimal() else None
    selection = Selection(
        patients=() if patients is None or count is not None else _keys_of(Path(patients)),
        regions=tuple(region or ()),
        splits=tuple(split or ()),
        series=tuple(series or ()),
        fraction=fraction,
        count=count,
        seed=seed,
    )
    show(set_table(subset_set(shards, out, selection, shard_bytes=shard_mib * 2**20, overwrite=overwrite)))
    say(f"shard set: {out}")


def diff(
    first: Annotated[Path, typer.Argument(help="A shard set.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """New, gone and changed patients of the second set against the first. Exit code 0 whether or not they differ."""
    import json
    from dataclasses import asdict

    from radnet.cli.set_tables import difference_tables
    from radnet.console import say, show
    from radnet.shards.diff import diff_sets

    difference = diff_sets(first, second)
    if as_json:
        typer.echo(json.dumps(asdict(difference), indent=2))
        return
    for table in difference_tables(difference):
        show(table)
    say("identical content" if difference.identical else "the sets differ")


def _keys_of(file: Path) -> tuple[str, ...]:
    from radnet.errors import UsageError

    try:
        keys = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "--patients takes a number, or a text file with one patient key a line",
            seen=str(file),
            fix="Check the path",
        ) from error
    if not keys:
        raise UsageError("The file names no patient", file=file, fix="Write one patient key a line")
    return keys
