"""Tables about finished sets; narrow enough for a terminal of 80 columns."""

from collections.abc import Sequence

from rich.table import Table

from radnet.shards.census import Census
from radnet.shards.diff import Difference
from radnet.shards.manifest import Manifest
from radnet.shards.problems import Problem

MOST_VALUES = 12
"""So many values of a heading have a line of their own; scans have hundreds of sizes."""


def problems_table(problems: Sequence[Problem], title: str) -> Table:
    """One line a problem."""
    table = Table(title=title)
    for column in ("file", "sample", "what is wrong"):
        table.add_column(column, overflow="fold")
    for problem in problems:
        table.add_row(problem.file, problem.sample, problem.what)
    return table


def census_table(census: Census) -> Table:
    """Slices, series and patients of every value."""
    table = Table(title="what it holds")
    for column in ("by", "value"):
        table.add_column(column, overflow="fold")
    for column in ("slices", "series", "patients"):
        table.add_column(column, justify="right")
    for heading, values in census.by.items():
        for number, (value, count) in enumerate(list(values.items())[:MOST_VALUES]):
            last = number == len(values) - 1
            numbers = (str(count.slices), str(count.series), str(count.patients))
            table.add_row(heading if number == 0 else "", value, *numbers, end_section=last)
        if len(values) > MOST_VALUES:
            rest = list(values.values())[MOST_VALUES:]
            slices, series = sum(count.slices for count in rest), sum(count.series for count in rest)
            table.add_row("", f"{len(rest)} others (--json)", str(slices), str(series), "", end_section=True)
    return table


def reject_counts_table(census: Census) -> Table:
    """Files and slices not used, by reason, from a set's own table (which holds no paths)."""
    table = Table(title="what was not used")
    table.add_column("reason", overflow="fold")
    table.add_column("files", justify="right")
    table.add_column("slices", justify="right")
    table.add_column("what was wrong", overflow="fold")
    for reason, count in census.rejects.items():
        table.add_row(reason, str(count.files or ""), str(count.slices or ""), count.sentence)
    return table


def settings_table(manifest: Manifest) -> Table:
    """What shaped the set."""
    table = Table(
        title=f"settings (radnet {manifest.tool_version}, format {manifest.format_version})", show_header=False
    )
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in manifest.settings.items():
        table.add_row(name, str(value))
    return table


def difference_tables(difference: Difference) -> list[Table]:
    """Totals, and a line for every patient who is not the same."""
    totals = Table(title="totals")
    for column in ("", "first", "second"):
        totals.add_column(column)
    for what, (first, second) in difference.totals.items():
        totals.add_row(what.replace("_", " "), str(first), str(second))
    totals.add_row("series only here", str(difference.gone_series), str(difference.new_series))
    totals.add_row("patients only here", str(len(difference.gone)), str(len(difference.new)))
    totals.add_row("patients changed", str(len(difference.changed)), "")
    patients = Table(title="patients that differ")
    for column in ("patient", "what", "series", "slices"):
        patients.add_column(column, overflow="fold")
    for what, found in (("gone", difference.gone), ("new", difference.new)):
        for key, (series, slices) in found.items():
            patients.add_row(key, what, str(series), str(slices))
    for change in difference.changed:
        words = f"changed: {', '.join(change.aspects)}"
        if "split" in change.aspects:
            words += f" ({change.splits[0]} to {change.splits[1]})"
        patients.add_row(change.patient, words, *(f"{a} to {b}" for a, b in (change.series, change.slices)))
    return [totals, patients] if patients.row_count else [totals]
