"""ImageNet (ILSVRC 2012): its training and validation images; the latter are the test side, as everywhere.

Layouts: train/SYNSET/… and val/SYNSET/…; the same with a flat val/ and the ground truth of the development kit
(`ILSVRC2012_validation_ground_truth.txt` with `meta.mat`) or of Kaggle (`LOC_val_solution.csv`); or files that begin
with their synset in one directory, which have no split of their own.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from radnet.errors import UsageError
from radnet.scans.pictures import is_picture_name
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.tables import read_table

LABEL = "synset"
SYNSET = re.compile(r"n\d{8}")
GROUND_TRUTH, META, SOLUTION = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "LOC_val_solution.csv"


class ImageNet(Converter):
    """See the module."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        wanted = frozenset(request.task.classes)
        entries = [entry for entry in _entries(request.source) if entry.labels[0][1] in wanted]
        if not entries:
            raise UsageError(
                f"No image of the {len(wanted)} classes of {request.task.name} lies in train/SYNSET or val/SYNSET",
                seen=sorted(path.name for path in request.source.iterdir())[:8],
                file=request.source,
                fix="Give the directory that holds train/ and val/, with one directory a synset (n01440764, …)",
            )
        return Conversion(
            listed_images(request.source, entries, request),
            modalities=("PICTURE",),
            notes=("the published validation images are the test side",) if any(e.split for e in entries) else (),
        )


def _entries(source: Path) -> Iterator[ImageEntry]:
    train, val = _side(source, "train"), _side(source, "val")
    if train is None and val is None:
        flat = ((path, SYNSET.match(path.name)) for path in sorted(source.iterdir()) if is_picture_name(path))
        yield from (ImageEntry(path, ((LABEL, found[0]),)) for path, found in flat if found)
        yield from _folders(source, None)
        return
    if train is not None:
        yield from _folders(train, "train")
    if val is not None:
        yield from _folders(val, "test")
        yield from _flat_val(source, val)


def _side(source: Path, name: str) -> Path | None:
    """The directory of a side: at the top, or in the tree of Kaggle's download."""
    places = (source / name, source / "Data/CLS-LOC" / name, source / "ILSVRC/Data/CLS-LOC" / name)
    return next((place for place in places if place.is_dir()), None)


def _folders(root: Path, split: str | None) -> Iterator[ImageEntry]:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and SYNSET.fullmatch(folder.name):
            for path in sorted(folder.iterdir()):
                if is_picture_name(path):
                    yield ImageEntry(path, ((LABEL, folder.name),), split=split)


def _flat_val(source: Path, val: Path) -> Iterator[ImageEntry]:
    images = [path for path in sorted(val.iterdir()) if is_picture_name(path)]
    if not images:
        return
    truth = _truth(source)
    for path in images:
        synset = truth.get(path.stem)
        if synset is None:
            raise UsageError("The ground truth does not name a validation image", seen=path.name, file=val)
        yield ImageEntry(path, ((LABEL, synset),), split="test")


def _truth(source: Path) -> Mapping[str, str]:
    """Name of a validation image without its ending -> synset."""
    solution = next(iter(sorted(source.rglob(SOLUTION))), None)
    if solution is not None:
        table = read_table(solution)
        name, answer = table.position("ImageId"), table.position("PredictionString")
        truth: dict[str, str] = {}
        for line, cells in table.rows:
            found = SYNSET.match(cells[answer])
            if found is None:
                raise table.error(line, "the answer does not begin with a synset", cells[answer], "Download it again")
            truth[cells[name]] = found[0]
        return truth
    labels = next(iter(sorted(source.rglob(GROUND_TRUTH))), None)
    meta = next(iter(sorted(source.rglob(META))), None)
    if labels is None or meta is None:
        raise UsageError(
            "The validation images lie in one directory, and nothing says of which class they are",
            file=source,
            fix=f"Add {GROUND_TRUTH} and {META} of the development kit or {SOLUTION}, or sort them into val/SYNSET/",
        )
    synsets = _synsets(meta)
    truth = {}
    for number, line_text in enumerate(labels.read_text(encoding="ascii", errors="replace").split(), start=1):
        if not line_text.isdecimal() or int(line_text) not in synsets:
            raise UsageError(f"Line {number}: no class number from 1 to 1000", seen=line_text, file=labels)
        truth[f"ILSVRC2012_val_{number:08d}"] = synsets[int(line_text)]
    return truth


def _synsets(meta: Path) -> Mapping[int, str]:
    """Class number of the challenge -> synset, from the development kit."""
    from scipy.io import loadmat

    try:
        content: Any = loadmat(meta, squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in content if int(row["num_children"]) == 0}
    except Exception as error:  # scipy raises what its parser meets
        raise UsageError(
            f"The file of the development kit cannot be read ({type(error).__name__})", file=meta
        ) from error
