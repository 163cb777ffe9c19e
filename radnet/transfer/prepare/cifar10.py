"""CIFAR-10: the binary version of the download, or pictures in folders train/CLASS and test/CLASS."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.folders import class_folders
from radnet.transfer.prepare.images import ImageEntry, listed_images
from radnet.transfer.prepare.staged import Stage

FILES = {**{f"data_batch_{number}.bin": "train" for number in range(1, 6)}, "test_batch.bin": "test"}
PICKLES = ("data_batch_1", "test_batch", "batches.meta")
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE
"""One byte of class, then the red, green and blue planes, row by row (the data set's page)."""
LABEL = "class"


class Cifar10(Converter):
    """See the module."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter.convert`."""
        binaries = [path for name in FILES for path in sorted(request.source.rglob(name))]
        if binaries:
            entries = list(_from_binary(binaries, request))
            return Conversion(listed_images(request.staging, entries, request), modalities=("PICTURE",))
        if any(list(request.source.rglob(name)) for name in PICKLES):
            raise UsageError(
                "This is the Python version of CIFAR-10, whose files are pickles: reading them could run code",
                file=request.source,
                fix="Download the binary version (cifar-10-binary.tar.gz)",
            )
        entries = class_folders(request.source, label=LABEL)
        _require_known(entries, request)
        return Conversion(listed_images(request.source, entries, request), modalities=("PICTURE",))


def _from_binary(files: list[Path], request: Request) -> Iterator[ImageEntry]:
    names = [path.name for path in files]
    lacking = sorted(set(FILES) - set(names))
    if lacking or len(names) != len(FILES):
        what = f"{lacking[0]} is missing" if lacking else "it holds a batch twice"
        raise UsageError(
            f"The binary version of CIFAR-10 has six files: {what}", seen=sorted(names), file=request.source
        )
    stage = Stage(request.staging)
    for file in files:
        split = FILES[file.name]
        for number, (label, pixels) in enumerate(_records(file, len(request.task.classes))):
            path = stage.add(f"{file.stem}/{number:05d}.png", pixels, like=file)
            yield ImageEntry(path, ((LABEL, request.task.classes[label]),), split=split)


def _records(file: Path, classes: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    data = np.fromfile(file, np.uint8)
    if not len(data) or len(data) % RECORD_BYTES:
        raise UsageError(
            f"The file is no whole number of records of {RECORD_BYTES} bytes: it was cut",
            seen=len(data),
            file=file,
            fix="Download it again",
        )
    for record in data.reshape(-1, RECORD_BYTES):
        if record[0] >= classes:
            raise UsageError("A record has a class beyond 9", seen=int(record[0]), file=file, fix="Download it again")
        yield int(record[0]), np.ascontiguousarray(record[1:].reshape(3, SIDE, SIDE).transpose(1, 2, 0))


def _require_known(entries: list[ImageEntry], request: Request) -> None:
    found = {value for entry in entries for _, value in entry.labels}
    unknown = sorted(found - set(request.task.classes))
    if unknown:
        raise UsageError(
            "A folder is no class of CIFAR-10", seen=unknown[0], file=request.source, fix="Use the task images"
        )
