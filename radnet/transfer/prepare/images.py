"""From a list of image files with labels to the inventory that a build takes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from radnet.errors import UsageError
from radnet.scans.archive import Inventory, Reject, take_inventory
from radnet.scans.metadata import MetadataRow, MetadataTable
from radnet.transfer.prepare.contract import Request

MISSING, NO_LABEL = "missing", "no_label"
MISSING_SENTENCE = "The labels name the image, but there is no such file"
NO_LABEL_SENTENCE = "The image is named, but without a label"
IMAGE_MODALITIES = ("PICTURE", "CR", "DX")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image as the labels of a data set name it.

    Attributes:
        path: The file, below the root of the list; it need not exist.
        labels: (name, value) pairs, the names without `label_`.
        group: Patient, or whatever must not be on two sides of a split; None where each image stands for itself.
        split: "train", "val" or "test" where the data came with a split.
    """

    path: Path
    labels: tuple[tuple[str, str], ...]
    group: str | None = None
    split: str | None = None


def listed_images(
    root: Path,
    entries: Iterable[ImageEntry],
    request: Request,
    *,
    table: Path | None = None,
    rejects: Iterable[Reject] = (),
    modalities: tuple[str, ...] = IMAGE_MODALITIES,
) -> Inventory:
    """The inventory of a list of images.

    Images that are listed and not there, or listed without a label, files that are there and not listed, and files
    that cannot be read are rejects, each counted once.

    Args:
        root: Directory below which all of them lie.
        entries: The list.
        request: The call; its hasher makes the keys.
        table: The file that the list was read from, which is no image.
        rejects: What the converter left out itself.
        modalities: Which images to take.

    Raises:
        UsageError: Two entries name one file, or no entry is there.
    """
    root = root.absolute()
    rows: dict[Path, MetadataRow] = {}
    refused = list(rejects)
    listed = 0
    for listed, entry in enumerate(entries, start=1):
        real = entry.path.resolve()
        if not real.is_file():
            name = entry.path.relative_to(root).as_posix()
            key = request.hasher.key("file", name)
            refused.append(Reject(name, key, MISSING, MISSING_SENTENCE))
            continue
        if real in rows:
            raise UsageError(
                "The labels name an image twice",
                seen=entry.path.relative_to(root).as_posix(),
                file=table or root,
                fix="Keep one of the two rows",
            )
        rows[real] = MetadataRow(
            line=listed, path=str(entry.path), patient=entry.group, labels=entry.labels, split=entry.split
        )
    if not rows:
        raise UsageError(
            f"None of the {listed} images that the labels name is there",
            seen=refused[-1].path if refused else None,
            file=root,
            fix="Check that SOURCE is the directory to which the paths of the table are relative",
        )
    metadata = MetadataTable(table, rows, complete=True)
    inventory = take_inventory(root, request.hasher, metadata=metadata, jobs=request.jobs, modalities=modalities)
    series = [source for source in inventory.series if source.labels]
    for source in inventory.series:
        if not source.labels:
            refused += source.unreadable(NO_LABEL, NO_LABEL_SENTENCE).rejects
    missing = sum(reject.reason == MISSING for reject in refused)
    ordered = tuple(sorted((*inventory.rejects, *refused), key=lambda reject: reject.path))
    return replace(inventory, series=tuple(series), rejects=ordered, files_seen=inventory.files_seen + missing)
