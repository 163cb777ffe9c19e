"""COVID-CT: slices cut out of publications (Yang et al., arXiv 2003.13865), with the published split or without.

The download: directories `CT_COVID` and `CT_NonCOVID` (in `Images-processed/`, perhaps still packed), and lists of
names in `Data-split/`. A `labels.csv` with file, label and group is taken as well.

The images name no patient. Those of one publication begin with its title ("TITLE-p8-67%1.png") and are one group, those
that are numbered ("12%1.png") are one a number.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from radnet.errors import UsageError
from radnet.scans.pictures import is_picture_name
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.tables import Table, path_below, read_table
from radnet.transfer.prepare.unpack import unpacked_files

FOLDERS = {"CT_COVID": "covid", "CT_NonCOVID": "noncovid"}
LIST = re.compile(r"(train|val|test)CT_(COVID|NonCOVID)\.txt")
PAGE = re.compile(r"-p\d+-\d+.*$|%\d+$")
LABEL = "class"


class CovidCt(Converter):
    """See the module."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        file = request.source / "labels.csv"
        if file.is_file():
            table = read_table(file)
            inventory = listed_images(request.source, _from_table(table, request), request, table=file)
            return Conversion(inventory, modalities=("PICTURE",))
        root, folders = _folders(request)
        sides = _published_split(request.source)
        images = {
            (name, path.name): path
            for name, folder in folders.items()
            for path in sorted(folder.iterdir())
            if is_picture_name(path)
        }
        for name, image in sides:  # what a list names and no directory holds is counted as missing
            images.setdefault((name, image), folders[name] / image)
        entries = [
            ImageEntry(path, ((LABEL, FOLDERS[name]),), group_of(path.stem), sides.get((name, image)))
            for (name, image), path in images.items()
        ]
        return Conversion(
            listed_images(root, entries, request),
            modalities=("PICTURE",),
            notes=("groups are publications, as the file names tell them; the images name no patient",),
        )


def group_of(stem: str) -> str:
    """What the images of one publication, or of one number, have in common."""
    return PAGE.sub("", PAGE.sub("", stem))


def _folders(request: Request) -> tuple[Path, dict[str, Path]]:
    """The common root, and the directory of each class, unpacked where it is not yet."""
    found: dict[str, Path] = {}
    for name in FOLDERS:
        place = next((path for path in sorted(request.source.rglob(name)) if path.is_dir()), None)
        if place is not None:
            found[name] = place
    if len(found) == len(FOLDERS):
        return request.source, found
    packed = {name: next(iter(sorted(request.source.rglob(f"{name}.zip"))), None) for name in FOLDERS}
    for name, file in packed.items():
        if file is None:
            raise UsageError(
                f"The directory {name} of the download is missing",
                seen=sorted(path.name for path in request.source.iterdir())[:8],
                file=request.source,
                fix="Give the directory that holds CT_COVID and CT_NonCOVID, or their zip files",
            )
        unpacked_files(file, request.staging / f"of_{name}")
        inside = [path for path in sorted((request.staging / f"of_{name}").rglob(name)) if path.is_dir()]
        found[name] = inside[0] if inside else request.staging / f"of_{name}"
    return request.staging, found


def _published_split(source: Path) -> Mapping[tuple[str, str], str]:
    """(directory, name of an image) -> side; empty without the lists."""
    sides: dict[tuple[str, str], str] = {}
    for file in sorted(source.rglob("*.txt")):
        match = LIST.fullmatch(file.name)
        if match is None:
            continue
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.strip():
                if "/" in line or "\\" in line:
                    raise UsageError("A list of the published split holds a path, not a name", seen=line, file=file)
                sides[f"CT_{match[2]}", line.strip()] = match[1]
    return sides


def _from_table(table: Table, request: Request) -> Iterator[ImageEntry]:
    path_at, label_at = table.position("file", "path"), table.position("label")
    group_at, split_at = table.position("group", "patient"), table.find("split")
    for line, cells in table.rows:
        if cells[label_at] not in request.task.classes:
            raise table.error(line, "this is no class of the task", cells[label_at], "covid or noncovid")
        yield ImageEntry(
            path=path_below(request.source, cells[path_at], table, line),
            labels=((LABEL, cells[label_at]),),
            group=cells[group_at] or None,
            split=cells[split_at] or None if split_at is not None else None,
        )
