"""Labels of single slices: `slices.csv` beside the metadata."""

from collections.abc import Mapping
from pathlib import Path

from radnet.errors import UsageError
from radnet.scans.metadata import csv_rows, labels_of, read_csv, resolve_path

FILE_NAME = "slices.csv"
COLUMNS = ("path", "slice")


def read_slice_labels(file: Path, root: Path) -> dict[Path, dict[int, tuple[tuple[str, str], ...]]]:
    """Read and check a slices CSV.

    Columns: path (relative to the archive, as in the metadata), slice (0 is the most inferior one), label_NAME.

    Args:
        file: The CSV; it may be missing.
        root: The archive.

    Returns:
        Real path of the series -> slice -> (name, value) pairs.

    Raises:
        UsageError: The file is malformed; the message names the line.
    """
    if not file.is_file():
        return {}
    labels: dict[Path, dict[int, tuple[tuple[str, str], ...]]] = {}
    for line, cells in csv_rows(read_csv(file, COLUMNS)):
        of_series = labels.setdefault(resolve_path(cells["path"], root, file, line, "path"), {})
        text = cells.get("slice", "")
        if not text.isdecimal():
            raise UsageError(f"Line {line}: slice must be a number from 0", seen=text, file=file, fix="Correct it")
        if int(text) in of_series:
            raise UsageError(f"Line {line}: Two rows describe one slice", seen=text, file=file, fix="Remove one")
        of_series[int(text)] = labels_of(cells)
    return labels


def labels_by_slice(
    slices: int,
    series_labels: tuple[tuple[str, str], ...],
    slice_labels: tuple[tuple[int, tuple[tuple[str, str], ...]], ...],
) -> Mapping[str, tuple[str | None, ...]]:
    """Label name -> one value a slice; a slice's own label wins over the series' one.

    Args:
        slices: Number of slices Z.
        series_labels: (name, value) pairs of every slice.
        slice_labels: (slice, pairs) of single slices.
    """
    columns: dict[str, list[str | None]] = {name: [value] * slices for name, value in series_labels}
    for index, pairs in slice_labels:
        for name, value in pairs:
            columns.setdefault(name, [None] * slices)[index] = value
    return {name: tuple(values) for name, values in sorted(columns.items())}
