"""The leaderboard as a markdown page that can also be read as plain text."""

from collections.abc import Iterable, Sequence

from radnet.leaderboard.cells import cells_of, columns_of
from radnet.leaderboard.claims import claims_of
from radnet.leaderboard.comparisons import FAMILY, FEWEST_PATIENTS, MARGIN
from radnet.leaderboard.tables import Table, build_tables
from radnet.records import ResultRecord

HASH_DIGITS = 12

INTRODUCTION = (
    """\
# Leaderboard

Made from the result records (`*.json`) below this directory by `radnet leaderboard`. Do not edit: change the
records and run the command again. The same records always give the same page.

How to read it:

- One table for each task, protocol and fraction of the training items. Rows are comparable within a table only: a
  table holds results on one test set (manifest) under one set of protocol settings.
- Rank is by the point estimate of the first metric; higher is better. Brackets hold the 95 % interval of a bootstrap
  over test patients, not slices.
- `interval overlaps the best's`: the order of the two rows may be chance. Overlap is a coarse guide: the sharper
  comparison is the paired difference on the same patients, in columns headed `… vs …` where it was computed. Two rows
  differ when that interval does not hold 0.
- `Holm p` is corrected for the number of comparisons with ImageNet.
  {family}
  With `~` p comes from the width of intervals: the record holds no test, or the row has several seeds. Of several
  seeds p is of a t distribution for seeds and patients together, and never below the smallest p of their own tests.
- `ranks`: the middle 95 % of the row's ranks when test patients are drawn again, and how often it is first. With `~`
  the records kept no resamples and the ranks come from the intervals alone.
- Not enough patients to tell: fewer than {patients} test patients, whatever p is; or no difference at 5 % with less
  than 80 % power to find a difference of {margin}. That is no evidence for equality.
- `synthetic`: scans or pretraining data were made by a phantom. Such numbers show that the path works and say
  nothing about patients.
- Unavailable rows have no number; the note below their table says why and how to mend it.
""".replace("{family}", FAMILY)
    .replace("{patients}", str(FEWEST_PATIENTS))
    .replace("{margin}", str(MARGIN))
)

EMPTY = "There are no results yet. `radnet evaluate` writes the first record; then run `radnet leaderboard` again.\n"


def render_markdown(records: Iterable[ResultRecord]) -> str:
    """The page: how to read it, then every table. The same records give the same bytes, in whatever order.

    Args:
        records: Result records of any number of tasks and protocols.
    """
    return markdown_page(build_tables(records))


def markdown_page(tables: Sequence[Table], broken: Sequence[tuple[str, str]] = ()) -> str:
    """The page of tables that are built already.

    Args:
        tables: The tables.
        broken: File and reason of every file that is no record.
    """
    parts = [INTRODUCTION]
    if broken:
        lines = "".join(f"- {plain(file)}: {plain(why)}\n" for file, why in broken)
        parts.append(f"## {len(broken)} broken files were skipped\n\n{lines}")
    claims = claims_of(tables)
    if claims:
        lines = "".join(f"- {plain(f'{claim.model} ({claim.setting}): {claim.sentence}')}\n" for claim in claims)
        parts.append(f"## What the records say\n\n{lines}")
    parts += map(_section, tables) if tables else [EMPTY]
    return "\n".join(parts)


def _section(table: Table) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in sorted(table.protocol.settings.items()))
    facts = (
        f"Test set: manifest `{table.task.manifest_hash[:HASH_DIGITS]}`, {len(table.task.classes)} classes. "
        f"Protocol: `{table.protocol.hash[:HASH_DIGITS]}`{f' ({plain(settings)})' if settings else ''}."
    )
    shown = grid(columns_of(table), [cells_of(row, table) for row in table.rows])
    notes = "".join(f"- {plain(note)}\n" for note in table.notes)
    return f"## {plain(table.title)}\n\n{facts}\n\n{shown}{chr(10) + notes if notes else ''}"


def plain(text: str) -> str:
    """Text that markdown shows as it is, on one line and within one cell."""
    for sign in "\\|*`<":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of markdown whose columns line up as plain text."""
    lines = [[plain(cell) for cell in line] for line in (columns, *rows)]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(columns))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([padded[0], rule, *padded[1:]]) + "\n"
