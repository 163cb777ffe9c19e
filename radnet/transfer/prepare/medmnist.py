"""Any two-dimensional MedMNIST file: arrays {train,val,test}_images and _labels in an .npz, read without pickle.

Names of classes: Yang et al., MedMNIST v2 (Scientific Data 2023), table of data sets.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.medmnist_classes import classes_of
from radnet.transfer.prepare.staged import Stage

SIDES = ("train", "val", "test")
LABEL = "class"
ROWS_A_READ = 512


class MedMnist(Converter):
    """See the module."""

    public: ClassVar[bool] = True
    files: ClassVar[tuple[str, ...]] = (".npz",)

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        file = _file(request.source)
        with _opened(file) as npz:
            labels = {side: _labels(npz, file, side) for side in SIDES if f"{side}_images.npy" in npz.namelist()}
            if not labels:
                raise UsageError(
                    "This is no MedMNIST file: it has no arrays train_images, val_images or test_images",
                    seen=sorted(npz.namelist())[:8],
                    file=file,
                )
            width = {of_side.shape[1] for of_side in labels.values()}
            if len(width) != 1:
                raise UsageError("The sides have labels of different widths", seen=sorted(width), file=file)
            kind: Literal["single", "multi"] = "multi" if width.pop() > 1 else "single"
            classes = _classes(file, labels, kind)
            stage = Stage(request.staging)
            entries: list[ImageEntry] = []
            for side, of_side in labels.items():
                names = [_label_pairs(row, classes, kind, request) for row in of_side]
                for number, pixels in enumerate(_images(npz, file, side, len(of_side))):
                    path = stage.add(f"{side}/{number:06d}.png", pixels, like=file)
                    entries.append(ImageEntry(path, names[number], split=side))
        return Conversion(
            listed_images(request.staging, entries, request),
            modalities=("PICTURE",),
            kind=kind,
            classes=classes,
            notes=(f"{file.name}: {len(classes)} classes; nothing in it says who is on an image",),
        )


def _file(source: Path) -> Path:
    """The .npz that a source is, or the only one in it."""
    if source.is_file():
        return source
    found = sorted(source.glob("*.npz"))
    if len(found) != 1:
        raise UsageError(
            "One MedMNIST .npz was expected", seen=[path.name for path in found], file=source, fix="Name the file"
        )
    return found[0]


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"The .npz cannot be read ({error})", file=file, fix="Download it again") from error


def _header(opened: IO[bytes], file: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array; what would need pickle is refused."""
    try:
        version = np.lib.format.read_magic(opened)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(opened)
    except ValueError as error:
        raise UsageError(f"The array {name} cannot be read ({error})", file=file, fix="Download it again") from error
    if dtype.hasobject:
        raise UsageError(
            f"The array {name} holds objects, which would be pickles: reading them could run code", file=file
        )
    if fortran and len(shape) > 1:
        raise UsageError(f"The array {name} is stored column by column, as no MedMNIST file is", file=file)
    return shape, dtype


def _labels(npz: zipfile.ZipFile, file: Path, side: str) -> NDArray[np.int64]:
    """Labels of a side, int64, (N, 1) or (N, K)."""
    name = f"{side}_labels.npy"
    if name not in npz.namelist():
        raise UsageError(f"The array {side}_labels is missing", seen=sorted(npz.namelist()), file=file)
    with npz.open(name) as opened:
        shape, dtype = _header(opened, file, name)
        data = opened.read()
    if dtype.kind not in "iub" or len(data) != int(np.prod(shape)) * dtype.itemsize:
        raise UsageError(f"The array {name} holds no whole numbers, or was cut", seen=f"{dtype} {shape}", file=file)
    labels = np.frombuffer(data, dtype).reshape(shape).astype(np.int64)
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.ndim != 2 or not labels.size or labels.min() < 0:
        raise UsageError(f"The array {name} holds no labels (N, 1) or (N, K)", seen=shape, file=file)
    return labels


def _images(npz: zipfile.ZipFile, file: Path, side: str, count: int) -> Iterator[NDArray[np.uint8]]:
    """The images of a side, a few hundred in memory at a time."""
    name = f"{side}_images.npy"
    with npz.open(name) as opened:
        shape, dtype = _header(opened, file, name)
        if dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3):
            fix = "A file of volumes (…MNIST3D) is no task of images" if len(shape) == 4 else None
            raise UsageError(f"The array {name} holds no images of 8 bits", seen=f"{dtype} {shape}", file=file, fix=fix)
        if shape[0] != count:
            raise UsageError(f"{side} has {shape[0]} images and {count} labels", file=file, fix="Download it again")
        each = int(np.prod(shape[1:]))
        left = count
        while left:
            rows = min(left, ROWS_A_READ)
            data = opened.read(rows * each)
            if len(data) != rows * each:
                raise UsageError(f"The array {name} was cut", file=file, fix="Download it again")
            yield from np.frombuffer(data, np.uint8).reshape(rows, *shape[1:])
            left -= rows


def _classes(file: Path, labels: dict[str, NDArray[np.int64]], kind: str) -> tuple[str, ...]:
    highest = max(int(of_side.max()) for of_side in labels.values())
    count = next(iter(labels.values())).shape[1] if kind == "multi" else highest + 1
    if kind == "multi" and highest > 1:
        raise UsageError("Several labels an image must be 0 or 1", seen=highest, file=file)
    if count < 2:
        raise UsageError("A task needs two classes", seen=count, file=file)
    known = classes_of(file.stem)
    if known is not None and len(known) >= count:
        return known
    return tuple(str(number) for number in range(count))


def _label_pairs(
    row: NDArray[np.int64], classes: tuple[str, ...], kind: str, request: Request
) -> tuple[tuple[str, str], ...]:
    if kind == "single":
        return ((LABEL, classes[int(row[0])]),)
    columns = (request.task.column_of(name).removeprefix("label_") for name in classes)
    return tuple(sorted((name, str(int(value))) for name, value in zip(columns, row, strict=True)))
