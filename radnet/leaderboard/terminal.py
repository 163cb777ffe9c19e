"""The leaderboard in a terminal: the columns that answer the question; LEADERBOARD.md has them all."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from radnet.leaderboard.cells import cells_of, columns_of
from radnet.leaderboard.claims import claims_of
from radnet.leaderboard.markdown import EMPTY
from radnet.leaderboard.tables import Table, build_tables
from radnet.records import ResultRecord

MOST_ROWS = 200
"""Rows that somebody still reads in a terminal."""


def render_terminal(records: Iterable[ResultRecord]) -> RenderableType:
    """Every table, for `radnet.console.show`.

    Args:
        records: Result records of any number of tasks and protocols.
    """
    return render_tables(build_tables(records))


def render_tables(tables: Sequence[Table]) -> RenderableType:
    """As `render_terminal`, of tables that are built already; beyond `MOST_ROWS` rows what they say instead of them."""
    rows = sum(len(table.rows) for table in tables)
    if rows > MOST_ROWS:
        claims = [Text(f"- {claim.model} ({claim.setting}): {claim.sentence}") for claim in claims_of(tables)]
        more = [] if len(claims) <= MOST_ROWS else [Text(f"… and {len(claims) - MOST_ROWS} more findings")]
        return Group(Text(f"{rows} rows in {len(tables)} tables: the pages show them."), *claims[:MOST_ROWS], *more)
    if not tables:
        return Text(EMPTY.strip().replace("`", ""))
    return Group(*(part for table in tables for part in _parts(table)))


def _parts(table: Table) -> list[RenderableType]:
    grid = Grid(title=Text(table.title), title_justify="left")
    columns = columns_of(table)
    shown = [number for number, name in enumerate(columns) if _is_shown(name, table)]
    for number in shown:
        grid.add_column(Text(columns[number]), overflow="fold")
    for row in table.rows:
        cells = cells_of(row, table)
        grid.add_row(*(Text(cells[number]) for number in shown), style="" if row.available else "dim")
    return [grid, *(Text(f"- {note}") for note in table.notes), Text("")]


def _is_shown(column: str, table: Table) -> bool:
    return (
        column in ("rank", "model", "against the best")
        or column.startswith(f"{table.task.metric} [")
        or " vs " in column
    )
