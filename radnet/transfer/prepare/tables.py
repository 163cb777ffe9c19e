"""Reading the CSV files that come with data sets: every fault names its line."""

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from radnet.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Table:
    """A CSV as text.

    Attributes:
        file: Where it was read.
        columns: Names in the header, stripped.
        rows: (line in the file, one stripped cell a column); lines without any text are left out.
    """

    file: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def position(self, *names: str) -> int:
        """Position of the first of these columns that is there.

        Raises:
            UsageError: None is.
        """
        for name in names:
            if name in self.columns:
                return self.columns.index(name)
        raise UsageError(
            f"The table has no column {' or '.join(map(repr, names))}",
            seen=list(self.columns[:20]),
            file=self.file,
            fix=did_you_mean(names[0], self.columns),
        )

    def find(self, *names: str) -> int | None:
        """Position of the first of these columns that is there; None where none is."""
        return next((self.columns.index(name) for name in names if name in self.columns), None)

    def error(self, line: int, what: str, seen: object, fix: str) -> UsageError:
        """What is wrong in one line."""
        return UsageError(f"Line {line}: {what}", seen=seen, file=self.file, fix=fix)


def read_table(file: Path) -> Table:
    """Read a CSV with a header.

    Args:
        file: UTF-8; separated by comma, or by semicolon or tabulator where the header has no comma.

    Raises:
        UsageError: There is no such file, it is no UTF-8, empty, has a column twice, or a line has another number of
            cells than the header.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            head = opened.readline()
            delimiter = next((mark for mark in (",", ";", "\t") if mark in head), ",")
            opened.seek(0)
            reader = csv.reader(opened, delimiter=delimiter, strict=True)
            columns = tuple(cell.strip() for cell in next(reader, ()))
            rows = [(reader.line_num, tuple(cell.strip() for cell in cells)) for cells in reader]
    except FileNotFoundError as error:
        raise UsageError("No such table", file=file, fix="Check the path") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"The table cannot be read ({error})", file=file, fix="Give a UTF-8 CSV with a header row"
        ) from error
    if not any(columns):
        raise UsageError("The table is empty", file=file, fix="Give a UTF-8 CSV with a header row")
    while columns and not columns[-1]:  # a comma at the end of each line
        columns = columns[:-1]
        rows = [(line, cells[:-1] if cells and not cells[-1] else cells) for line, cells in rows]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UsageError("The table has a column twice", seen=twice[0], file=file, fix="Rename or remove one")
    kept = tuple((line, cells) for line, cells in rows if any(cells))
    for line, cells in kept:
        if len(cells) != len(columns):
            raise UsageError(
                f"Line {line}: it has {len(cells)} cells, the header {len(columns)}",
                seen=",".join(cells)[:80],
                file=file,
                fix="Quote cells that hold the separator",
            )
    return Table(file, columns, kept)


def path_below(root: Path, cell: str, table: Table, line: int) -> Path:
    """The file that a cell names, which may not lie outside of the source.

    Raises:
        UsageError: The cell is empty, absolute or leads upwards.
    """
    parts = PurePosixPath(cell.replace("\\", "/"))
    if not cell or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise table.error(line, "the path is not one below the source", cell, "Paths are relative to SOURCE")
    return root.joinpath(*parts.parts)


def binary_label(cell: str, table: Table, line: int, column: str) -> str | None:
    """Zero or one, also written as 0.0, true, no, …; None for an empty cell.

    Raises:
        UsageError: It says something else.
    """
    word = cell.casefold()
    if word in ("1", "1.0", "true", "yes"):
        return "1"
    if word in ("0", "0.0", "false", "no"):
        return "0"
    if word == "":
        return None
    raise table.error(line, f"the column {column} must be 0 or 1", cell, "Correct it, or leave the cell empty")
