"""The leaderboard in a terminal."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from radnet.leaderboard.cells import cells_of, columns_of
from radnet.leaderboard.markdown import EMPTY
from radnet.leaderboard.tables import Table, build_tables
from radnet.records import ResultRecord


def render_terminal(records: Iterable[ResultRecord]) -> RenderableType:
    """Every table with its notes, for `radnet.console.show`.

    Args:
        records: Result records of any number of tasks and protocols.
    """
    tables = build_tables(records)
    if not tables:
        return Text(EMPTY.strip().replace("`", ""))
    return Group(*(part for table in tables for part in _parts(table)))


def _parts(table: Table) -> list[RenderableType]:
    grid = Grid(title=Text(table.title), title_justify="left")
    for column in columns_of(table):
        grid.add_column(Text(column), overflow="fold")
    for row in table.rows:
        style = "" if row.available else "dim"
        grid.add_row(*(Text(cell) for cell in cells_of(row, table)), style=style)
    return [grid, *(Text(f"- {note}") for note in table.notes), Text("")]
