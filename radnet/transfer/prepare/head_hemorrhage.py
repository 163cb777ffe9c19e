"""Head CT hemorrhage: 200 slices with and without bleeding (Kaggle, felipekitamura/head-ct-hemorrhage).

The download: `labels.csv` with `id` and `hemorrhage`, and `head_ct/head_ct/000.png` …. It is said to hold one slice a
person. A `labels.csv` with file, hemorrhage and group, which joins slices that look alike, is taken as well.
"""

from collections.abc import Iterator
from typing import ClassVar

from radnet.errors import UsageError
from radnet.scans.pictures import is_picture_name
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.tables import Table, binary_label, path_below, read_table

LABEL = "hemorrhage"
VALUES = {"0": "absent", "1": "present"}


class HeadHemorrhage(Converter):
    """See the module."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        file = request.source / "labels.csv"
        if not file.is_file():
            raise UsageError(
                "The table labels.csv of the download is missing",
                seen=sorted(path.name for path in request.source.iterdir())[:8],
                file=request.source,
                fix="Give the directory that holds it and head_ct/",
            )
        table = read_table(file)
        grouped = table.find("group", "patient") is not None
        return Conversion(
            listed_images(request.source, _entries(table, request), request, table=file),
            modalities=("PICTURE",),
            notes=() if grouped else ("each slice stands for itself: the data set is said to hold one a person",),
        )


def _entries(table: Table, request: Request) -> Iterator[ImageEntry]:
    path_at, id_at, group_at = table.find("file", "path"), table.find("id"), table.find("group", "patient")
    label_at = table.position("hemorrhage")
    if path_at is None and id_at is None:
        raise UsageError("The table has neither a column id nor file", seen=list(table.columns), file=table.file)
    by_number = {path.stem: path for path in sorted(request.source.rglob("*")) if is_picture_name(path)}
    for line, cells in table.rows:
        if path_at is not None:
            path = path_below(request.source, cells[path_at], table, line)
        else:
            number = cells[id_at or 0]
            if not number.isdecimal():
                raise table.error(line, "the id is no number", number, "Download it again")
            path = by_number.get(f"{int(number):03d}", request.source / f"{int(number):03d}.png")
        value = binary_label(cells[label_at], table, line, "hemorrhage")
        yield ImageEntry(
            path=path,
            labels=((LABEL, VALUES[value]),) if value is not None else (),
            group=cells[group_at] or None if group_at is not None else None,
        )
