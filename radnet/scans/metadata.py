"""What a person says about the scans: `metadata.csv`, one row a NIfTI file or DICOM directory."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from radnet.errors import UsageError, did_you_mean
from radnet.scans.regions import METADATA_SOURCE, body_region_of
from radnet.scans.scan import REGIONS, UNKNOWN_REGION
from radnet.scans.text import safe_text

FILE_NAME = "metadata.csv"
COLUMNS = (
    *("path", "patient", "body_region", "modality", "synthetic", "manufacturer", "kernel", "kvp"),
    *("slice_thickness_mm", "contrast", "mask"),
)
LABEL_COLUMN = re.compile(r"label_([A-Za-z0-9_]+)")
TRUE, FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


@dataclass(frozen=True, slots=True)
class MetadataRow:
    """One row; None wherever the cell is empty.

    Attributes:
        line: Line of the file, for messages.
        path: As written.
        patient: Identifies a person and stays inside `radnet.scans`.
        body_region: One of `REGIONS` or unknown.
        modality: Upper case.
        labels: (name, value) pairs that hold for the whole series.
        split: "train", "val" or "test" where the data came with a split that is kept. No column of a CSV gives it.
    """

    line: int
    path: str
    patient: str | None = None
    body_region: str | None = None
    modality: str | None = None
    synthetic: bool | None = None
    manufacturer: str | None = None
    kernel: str | None = None
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    contrast: bool | None = None
    mask: Path | None = None
    labels: tuple[tuple[str, str], ...] = ()
    split: str | None = None


@dataclass(frozen=True)
class MetadataTable:
    """All rows by the real path of their file or directory.

    Attributes:
        file: Where it was read; None when there is no metadata.
        rows: Real path -> row.
        masks: Real paths of all masks named.
        complete: Whether files that it does not name are none of the archive's images; they are then not even opened.
    """

    file: Path | None = None
    rows: Mapping[Path, MetadataRow] = field(default_factory=dict)
    masks: frozenset[Path] = frozenset()
    complete: bool = False

    def row_of(self, real_path: Path) -> tuple[Path, MetadataRow] | None:
        """The row of a file: its own, or that of the nearest directory above it, with the row's real path."""
        for place in (real_path, *real_path.parents):
            if place in self.rows:
                return place, self.rows[place]
        return None


def read_metadata(file: Path | None, root: Path) -> MetadataTable:
    """Read and check a metadata CSV.

    Columns: path (relative to the archive), and optionally patient, body_region, modality, synthetic, manufacturer,
    kernel, kvp, slice_thickness_mm, contrast, mask (NIfTI, DICOM SEG or RTSTRUCT, relative to the archive) and
    label_NAME.

    Args:
        file: The CSV; None means `metadata.csv` in the archive when there is one.
        root: The archive.

    Raises:
        UsageError: The file is missing or malformed; the message names the line.
    """
    if file is None:
        file = root / FILE_NAME
        if not file.is_file():
            return MetadataTable()
    frame = read_csv(file, COLUMNS)
    rows: dict[Path, MetadataRow] = {}
    for line, cells in csv_rows(frame):
        real_path = resolve_path(cells.get("path", ""), root, file, line, "path")
        if real_path in rows:
            raise _error("Two rows describe one path", cells["path"], file, line, "Remove one of them")
        rows[real_path] = _row(cells, root, file, line)
    return MetadataTable(file, rows, frozenset(row.mask for row in rows.values() if row.mask))


def read_csv(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV with every cell as stripped text, empty where there is nothing.

    Args:
        file: The CSV, UTF-8.
        columns: Known columns; `label_NAME` is known besides, and "path" must be there.

    Raises:
        UsageError: Not readable as CSV, or a column is unknown, doubled or missing.
    """
    try:
        # without a header row pandas cannot rename doubled columns, which would hide them
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", header=None)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        message = "The table cannot be read" if file.exists() else "No such file"
        raise UsageError(message, file=file, fix="Give a UTF-8 CSV with a header row") from error
    table = table.fillna("").apply(lambda column: column.str.strip())
    names = list(table.iloc[0])
    for name in names:
        if name not in columns and not LABEL_COLUMN.fullmatch(name):
            raise UsageError("Unknown column", seen=name, file=file, fix=did_you_mean(name, (*columns, "label_NAME")))
        if names.count(name) > 1:
            raise UsageError("The column occurs twice", seen=name, file=file, fix="Remove one of them")
    if "path" not in names:
        raise UsageError("The column path is missing", seen=names, file=file, fix="Add it: one path a row")
    rows: pd.DataFrame = table.iloc[1:].set_axis(names, axis=1)
    return rows


def csv_rows(frame: pd.DataFrame) -> list[tuple[int, dict[str, str]]]:
    """(line in the file, column -> cell) of each row that is not empty."""
    records = [(line, dict(zip(frame.columns, cells, strict=True))) for line, *cells in frame.itertuples()]
    return [(int(line) + 1, record) for line, record in records if any(record.values())]


def resolve_path(cell: str, root: Path, file: Path, line: int, column: str) -> Path:
    """The real path that a cell names, relative to the archive.

    Raises:
        UsageError: The cell is empty or there is no such file or directory.
    """
    if not cell:
        raise _error(f"The cell in column {column} is empty", cell, file, line, "Fill it in")
    path = root / cell
    if not path.exists():
        try:
            known = [entry.name for entry in path.parent.iterdir()]
        except OSError:
            known = []
        fix = did_you_mean(path.name, known) if known else "Paths are relative to the archive"
        raise _error(f"The {column} does not exist in the archive", cell, file, line, fix)
    return path.resolve()


def labels_of(cells: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The non-empty label cells of a row as (name, value), sorted by name."""
    found = {column: LABEL_COLUMN.fullmatch(column) for column in cells}
    return tuple(sorted((match[1], cells[column]) for column, match in found.items() if match and cells[column]))


def _row(cells: Mapping[str, str], root: Path, file: Path, line: int) -> MetadataRow:
    def text(column: str) -> str | None:
        return cells.get(column) or None

    def number(column: str) -> float | None:
        try:
            value = float(cells[column]) if text(column) else None
        except ValueError:
            value = math.nan
        if value is not None and not 0 < value < math.inf:
            raise _error(f"{column} must be a positive number", cells[column], file, line, "Correct or empty the cell")
        return value

    def flag(column: str) -> bool | None:
        word = cells.get(column, "").casefold()
        if word and word not in TRUE | FALSE:
            raise _error(f"{column} must be true or false", cells[column], file, line, "Correct or empty the cell")
        return word in TRUE if word else None

    mask_cell = text("mask")
    modality = text("modality")
    return MetadataRow(
        line=line,
        path=cells["path"],
        patient=text("patient"),
        body_region=_region(cells.get("body_region", ""), file, line),
        modality=modality.upper() if modality else None,
        synthetic=flag("synthetic"),
        manufacturer=safe_text(text("manufacturer")) or None,
        kernel=safe_text(text("kernel")) or None,
        kvp=number("kvp"),
        slice_thickness_mm=number("slice_thickness_mm"),
        contrast=flag("contrast"),
        mask=resolve_path(mask_cell, root, file, line, "mask") if mask_cell else None,
        labels=labels_of(cells),
    )


def _region(cell: str, file: Path, line: int) -> str | None:
    """A class name as it stands, other text by the rule for DICOM texts."""
    if not cell:
        return None
    if cell in (*REGIONS, UNKNOWN_REGION):
        return cell
    region = body_region_of({METADATA_SOURCE: cell}).region
    if region == UNKNOWN_REGION:
        fix = (
            f"{did_you_mean(cell, (*REGIONS, UNKNOWN_REGION))}; the classes are {', '.join(REGIONS)}, {UNKNOWN_REGION}"
        )
        raise _error("body_region names no region, or several", cell, file, line, fix)
    return region


def _error(what: str, seen: object, file: Path, line: int, fix: str) -> UsageError:
    return UsageError(f"Line {line}: {what}", seen=seen, file=file, fix=fix)
