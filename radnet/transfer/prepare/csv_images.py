"""The generic task of images: a CSV of labels and groups, or a folder a class."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from radnet.errors import UsageError
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.folders import class_folders
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.sides import side_of
from radnet.transfer.prepare.tables import Table, binary_label, path_below, read_table
from radnet.transfer.tasks import TaskKind, require_classes

TABLE = "labels.csv"
PATHS = ("path", "file", "image", "filename", "file_name", "image_path")
LABELS = ("label", "class", "target", "diagnosis")
GROUPS = ("group", "patient", "patient_id", "subject")
SPLITS = ("split", "fold_name")
LABEL = "class"
"""Name of the label in the set, after `label_`."""
MOST_CLASSES = 2000


class Images(Converter):
    """Images with a CSV, or in a folder a class, with or without folders of a split above them."""

    takes: ClassVar[frozenset[str]] = frozenset({"csv", "path_column", "label_columns", "group_column", "split_column"})

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        options = request.options
        file = options.csv or request.source / TABLE
        if options.csv is None and not file.is_file():
            given = sorted(options.model_fields_set & (self.takes - {"csv"}))
            if given:
                raise UsageError(
                    "The source has no table to which this option could belong",
                    seen="--" + given[0].replace("_", "-"),
                    file=file,
                    fix="Name the table with --csv",
                )
            return _from_folders(request)
        return _from_table(request, read_table(file))


def _from_folders(request: Request) -> Conversion:
    entries = class_folders(request.source, label=LABEL)
    counts = Counter(value for entry in entries for _, value in entry.labels)
    classes = _checked(sorted(counts), counts, "single", request.source)
    return Conversion(
        listed_images(request.source, entries, request),
        modalities=("PICTURE",),
        classes=classes,
        notes=(f"labels from {len(classes)} folders; each image stands for itself, as nothing says who is on it",),
    )


def _from_table(request: Request, table: Table) -> Conversion:
    options = request.options
    path_at = table.position(options.path_column) if options.path_column else table.position(*PATHS)
    group_at = table.position(options.group_column) if options.group_column else table.find(*GROUPS)
    split_at = table.position(options.split_column) if options.split_column else table.find(*SPLITS)
    names = options.label_columns or (table.columns[table.position(*LABELS)],)
    label_at = [table.position(name) for name in names]
    multi = len(names) > 1
    seen: Counter[str] = Counter()
    entries = []
    for line, cells in table.rows:
        labels: list[tuple[str, str]] = []
        for name, at in zip(names, label_at, strict=True):
            value = binary_label(cells[at], table, line, name) if multi else cells[at] or None
            if value is not None:
                labels.append((request.task.column_of(name).removeprefix("label_") if multi else LABEL, value))
                seen[name if multi else value] += value != "0" if multi else 1
        side = None
        if split_at is not None and cells[split_at]:
            side = side_of(cells[split_at], line, table.file)
        entries.append(
            ImageEntry(
                path=path_below(request.source, cells[path_at], table, line),
                labels=tuple(sorted(labels)),
                group=(cells[group_at] or None) if group_at is not None else None,
                split=side,
            )
        )
    classes = _checked(names if multi else sorted(seen), seen, "multi" if multi else "single", table.file)
    notes = [f"{table.file.name}: paths in {table.columns[path_at]!r}, labels in {', '.join(map(repr, names))}"]
    notes.append(
        f"groups in {table.columns[group_at]!r}"
        if group_at is not None
        else "no column of groups: each image stands for itself; two of one person may be on two sides"
    )
    if split_at is not None:
        notes.append(f"a split of its own in {table.columns[split_at]!r}")
    inventory = listed_images(request.source, entries, request, table=table.file)
    modalities = tuple(sorted({source.modality for source in inventory.series})) or ("PICTURE",)
    return Conversion(
        inventory,
        modalities=modalities,
        kind="multi" if multi else "single",
        classes=classes,
        notes=("; ".join(notes),),
    )


def _checked(classes: Sequence[str], counts: Counter[str], kind: TaskKind, file: Path) -> tuple[str, ...]:
    """Refuse what is no set of classes."""
    require_classes(classes, kind)
    if len(classes) > MOST_CLASSES:
        raise UsageError(
            f"The label has {len(classes)} values, which is no set of classes",
            seen=list(classes[:3]),
            file=file,
            fix="Name another --label-column",
        )
    if not counts.total():
        raise UsageError("No image has a label", file=file, fix="Name another --label-column")
    return tuple(classes)
