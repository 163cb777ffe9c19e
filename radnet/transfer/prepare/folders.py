"""A folder a class, with or without a folder a side of the split above it."""

from pathlib import Path

from radnet.errors import UsageError
from radnet.scans.pictures import is_picture_name
from radnet.transfer.prepare.images import ImageEntry
from radnet.transfer.prepare.sides import side_named


def class_folders(root: Path, *, label: str) -> list[ImageEntry]:
    """The images of ROOT/CLASS/… or ROOT/SIDE/CLASS/… as entries.

    Args:
        root: The directory.
        label: Name of the label, without `label_`.

    Raises:
        UsageError: There are no such folders with pictures in them, or the folders of a split and others side by side.
    """
    folders = _subfolders(root)
    sided = [folder for folder in folders if side_named(folder.name)]
    if sided and len(sided) < len(folders):
        other = next(folder for folder in folders if folder not in sided)
        raise UsageError(
            "Some folders are called as the sides of a split and others are not",
            seen=[sided[0].name, other.name],
            file=root,
            fix="Give SPLIT/CLASS/… or CLASS/…, or a table with --csv",
        )
    entries: list[ImageEntry] = []
    if sided:
        for folder in sided:
            entries += _images(folder, label, side_named(folder.name))
    else:
        entries += _images(root, label, None)
    if not entries:
        raise UsageError(
            "There is neither a table of labels nor a folder a class with PNG or JPEG files",
            seen=[folder.name for folder in folders[:10]],
            file=root,
            fix="Give CLASS/… or SPLIT/CLASS/…, or name the table with --csv",
        )
    return entries


def _images(root: Path, label: str, split: str | None) -> list[ImageEntry]:
    return [
        ImageEntry(path, ((label, folder.name),), split=split)
        for folder in _subfolders(root)
        for path in sorted(folder.rglob("*"))
        if is_picture_name(path) and path.is_file()
    ]


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
