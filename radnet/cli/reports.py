"""Tables that commands show."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from rich.table import Table

from radnet.console import say, show
from radnet.files import explained_disk_errors
from radnet.scans.archive import Reject
from radnet.shards.manifest import Manifest
from radnet.shards.plan import BuildPlan

EXAMPLES = 3


def set_table(manifest: Manifest) -> Table:
    """Totals of a shard set."""
    totals = manifest.totals
    synthetic = {"none": "", "some": " (partly synthetic)", "all": " (synthetic)"}[manifest.synthetic]
    table = Table(title=f"shard set {manifest.name}{synthetic}", show_header=False)
    table.add_row("slices, series, patients", f"{totals.samples}, {totals.series}, {totals.patients}")
    patients = totals.patients_by_split
    slices = totals.samples_by_split
    by_split = ", ".join(f"{name} {slices[name]} of {count} patients" for name, count in patients.items())
    table.add_row("slices by split", by_split)
    table.add_row("slices by region", ", ".join(f"{name} {count}" for name, count in totals.samples_by_region.items()))
    if totals.dropped_slices:
        dropped = ", ".join(f"{reason} {count}" for reason, count in totals.dropped_slices.items())
        table.add_row("slices left out", dropped)
    size_mb = sum(shard.bytes for shard in manifest.shards) / 1e6
    table.add_row("shards", f"{len(manifest.shards)}, {size_mb:.1f} MB")
    table.add_row("files that became no slice", str(totals.rejected_files))
    table.add_row("content", manifest.content_hash()[:16])
    return table


def plan_table(plan: BuildPlan) -> Table:
    """What a build would make, from headers alone."""
    table = Table(title="what would be built, from headers alone", show_header=False)
    table.add_row("files seen", str(plan.files_seen))
    table.add_row("slices, series", f"{plan.slices}, {plan.series}")
    table.add_row("patients by split", ", ".join(f"{name} {count}" for name, count in plan.patients_by_split.items()))
    for tag, counts in plan.slices_by.items():
        table.add_row(f"slices by {tag}", ", ".join(f"{value} {count}" for value, count in counts.items()))
    table.add_row("not known yet", "damaged pixels, repeated slices, slices of air")
    return table


def removed_tags_table(manifest: Manifest) -> Table:
    """Names of what the files said and the set does not."""
    table = Table(title="in the files and not in the set (de-identification)", show_header=False)
    counts: dict[int, list[str]] = {}
    for name, files in manifest.removed_tags.items():
        counts.setdefault(files, []).append(name)
    for files in sorted(counts, reverse=True):
        table.add_row(f"{files} files", ", ".join(sorted(counts[files])))
    return table


def rejects_table(rejects: Sequence[Reject]) -> Table:
    """Files not used, by reason, with a few paths: for the terminal, never for a set."""
    table = Table(title="what was not used", show_lines=False)
    for column in ("reason", "files", "slices", "what was wrong", "for example"):
        table.add_column(column, overflow="fold")
    for reason in sorted({reject.reason for reject in rejects}):
        same = [reject for reject in rejects if reject.reason == reason]
        paths = [printable(reject.path) for reject in same[:EXAMPLES]]
        examples = ", ".join(paths) + (", …" if len(same) > EXAMPLES else "")
        counts = sum(reject.files for reject in same), sum(reject.slices for reject in same)
        table.add_row(reason, *(str(count or "") for count in counts), same[0].sentence, examples)
    return table


def printable(path: str) -> str:
    """A path with the bytes that are no UTF-8 as escapes, which every terminal takes."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def write_reject_list(rejects: Sequence[Reject], path: Path) -> None:
    """Every file not used as CSV, paths included, byte for byte as they are."""
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = csv.DictWriter(file, [field.name for field in fields(Reject)], lineterminator="\n")
            table.writeheader()
            table.writerows(map(vars, rejects))


@contextmanager
def show_rejects(reject_list: Path | None) -> Iterator[list[Reject]]:
    """Show, and write, what was not used, also when the work fails for it."""
    rejects: list[Reject] = []
    try:
        yield rejects
    except Exception as error:
        rejects += getattr(error, "rejects", ())
        raise
    finally:
        if rejects:
            show(rejects_table(rejects))
        if rejects and reject_list is not None:
            write_reject_list(rejects, reject_list)
            say(f"every file not used: {reject_list}")
