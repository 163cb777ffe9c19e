"""NIH ChestX-ray14: 112,120 radiographs of 30,805 patients with up to 14 findings each (Wang et al., CVPR 2017).

The download: `Data_Entry_2017.csv` (or `_v2020`), images in `images/` or `images_001/images/` …, and the published
split by patients in `train_val_list.txt` and `test_list.txt`. A `labels.csv` with a column a finding is taken as well.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from radnet.errors import UsageError, did_you_mean
from radnet.scans.pictures import is_picture_name
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.sides import side_of
from radnet.transfer.prepare.tables import Table, binary_label, path_below, read_table

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
NOTHING = "No Finding"


class ChestXray14(Converter):
    """See the module."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        file = next((request.source / name for name in TABLES if (request.source / name).is_file()), None)
        if file is not None:
            table = read_table(file)
            entries = list(_from_download(table, request))
        elif (request.source / "labels.csv").is_file():
            table = read_table(request.source / "labels.csv")
            entries = list(_from_columns(table, request))
        else:
            raise UsageError(
                f"The table {TABLES[1]} of the download is missing",
                seen=sorted(path.name for path in request.source.iterdir())[:8],
                file=request.source,
                fix="Give the directory that holds it, train_val_list.txt, test_list.txt and images/",
            )
        return Conversion(
            listed_images(request.source, entries, request, table=table.file), modalities=("PICTURE",), kind="multi"
        )


def _from_download(table: Table, request: Request) -> Iterator[ImageEntry]:
    name_at, findings_at, patient_at = map(table.position, ("Image Index", "Finding Labels", "Patient ID"))
    places = {path.name: path for path in sorted(request.source.rglob("*")) if is_picture_name(path)}
    sides = _published_split(request.source)
    for line, cells in table.rows:
        name = cells[name_at]
        path = path_below(request.source, name, table, line)
        found = frozenset(cells[findings_at].split("|"))
        unknown = found - {NOTHING} - set(request.task.classes)
        if unknown or (NOTHING in found and len(found) > 1):
            seen = min(unknown) if unknown else cells[findings_at]
            raise table.error(line, "these are no findings", seen, did_you_mean(seen, (*request.task.classes, NOTHING)))
        yield ImageEntry(
            path=places.get(name, path),
            labels=_labels(request, {finding: "1" if finding in found else "0" for finding in request.task.classes}),
            group=cells[patient_at] or None,
            split=sides.get(name),
        )


def _published_split(source: Path) -> Mapping[str, str]:
    """Name of an image -> side; empty without the two lists."""
    there = [name for name in LISTS if (source / name).is_file()]
    if len(there) == 1:
        lacking = next(name for name in LISTS if name not in there)
        raise UsageError(f"Of the published split, {lacking} is missing", file=source, fix="Add it or remove both")
    sides: dict[str, str] = {}
    for name in there:
        for line in (source / name).read_text(encoding="utf-8", errors="replace").split():
            if sides.setdefault(line, LISTS[name]) != LISTS[name]:
                raise UsageError("An image is in both lists of the published split", seen=line, file=source / name)
    return sides


def _from_columns(table: Table, request: Request) -> Iterator[ImageEntry]:
    path_at, patient_at = table.position("file", "path", "Image Index"), table.position("patient", "Patient ID")
    split_at = table.find("split", "source_split")
    columns = [(finding, table.position(finding)) for finding in request.task.classes]
    for line, cells in table.rows:
        values = {finding: binary_label(cells[at], table, line, finding) for finding, at in columns}
        side = cells[split_at] if split_at is not None else ""
        yield ImageEntry(
            path=path_below(request.source, cells[path_at], table, line),
            labels=_labels(request, {finding: value for finding, value in values.items() if value is not None}),
            group=cells[patient_at] or None,
            split=side_of(side, line, table.file) if side else None,
        )


def _labels(request: Request, values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    named = ((request.task.column_of(name).removeprefix("label_"), value) for name, value in values.items())
    return tuple(sorted(named))
