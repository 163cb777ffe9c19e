"""A finished shard set on a local disk, opened for reading at offsets."""

import os
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.hashing import sha256_of_file
from radnet.shards.codec import DamagedFrameError, decode
from radnet.shards.manifest import Manifest, read_manifest
from radnet.shards.splits import SPLITS

MAX_OPEN_SHARDS = 64
COPY_AGAIN = "Copy the set again from its source, or build it again"


@dataclass(frozen=True)
class _Locations:
    """Where one kind of member lies, one entry a row of the index; `offset` is -1 where a sample has none."""

    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    crc32: NDArray[np.int64]


class ShardSet:
    """Random access to the samples of a set; picklable, and safe to use after a fork.

    Rows of `index` are samples; a sample is named by its row number everywhere in radnet.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str) -> "ShardSet":
        """Open a set after a quick check: manifest and tables there, every shard there with its size.

        Raises:
            UsageError: `path` is no finished shard set.
            RadnetError: A file is missing or has another size than the manifest says.
        """
        path = Path(path)
        if not path.is_dir():
            raise UsageError(
                "No such shard set", file=path, fix="Build it with: radnet shards build ARCHIVE OUT, or check the path"
            )
        manifest = read_manifest(path)
        tables = (manifest.index.file, manifest.rejects.file)
        for name in (*tables, *(shard.file for shard in manifest.shards)):
            if Path(name).name != name:
                raise UsageError("The manifest names a file outside its directory", seen=name, file=path)
            if not (path / name).is_file():
                raise RadnetError("A file of the shard set is missing", file=path / name, fix=COPY_AGAIN)
        for shard in manifest.shards:
            size = (path / shard.file).stat().st_size
            if size != shard.bytes:
                raise RadnetError(
                    f"A shard has {size} bytes, the manifest says {shard.bytes}",
                    file=path / shard.file,
                    fix=COPY_AGAIN,
                )
        return cls(path, manifest)

    def __len__(self) -> int:
        return self.manifest.totals.samples

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._descriptors = OrderedDict()

    def __del__(self) -> None:
        self.close()

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row a sample; see `shards/README.md` for the columns.

        Raises:
            RadnetError: The file is not the one that the manifest describes.
        """
        file = self.path / self.manifest.index.file
        if sha256_of_file(file) != self.manifest.index.sha256:
            raise RadnetError(
                "The index is damaged: its hash is not the one in the manifest", file=file, fix=COPY_AGAIN
            )
        return pd.read_parquet(file)

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of one split ("train", "val", "test"), or of all samples.

        Raises:
            UsageError: There is no split of this name.
        """
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        if split not in SPLITS:
            raise UsageError("No such split", seen=split, fix=did_you_mean(split, SPLITS))
        return np.flatnonzero(self.index["split"] == split).astype(np.int64)

    def prepare_for_workers(self) -> None:
        """Load what `read_image` needs, so that forked workers share it instead of loading it each."""
        _ = self._images

    def read_image(self, row: int) -> NDArray[np.int16]:
        """HU of one slice, int16, shape (Y, X).

        Raises:
            RadnetError: The shard is missing, cut or damaged at this sample.
        """
        image = self._read(self._images, row)
        if image.dtype != np.int16:
            raise self._damaged(row, f"int16 was expected and {image.dtype} is there")
        return image  # type: ignore[return-value]

    def read_mask(self, row: int) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """Mask of one slice, uint8 or uint16, shape (Y, X); None where the sample has none.

        Raises:
            RadnetError: The shard is missing, cut or damaged at this sample.
        """
        if self._masks.offset[row] < 0:
            return None
        return self._read(self._masks, row)  # type: ignore[return-value]

    @cached_property
    def _images(self) -> _Locations:
        return self._locations("image")

    @cached_property
    def _masks(self) -> _Locations:
        return self._locations("mask")

    def _locations(self, member: str) -> _Locations:
        names = [shard.file for shard in self.manifest.shards]
        numbers = {
            what: self.index[f"{member}_{what}"].fillna(-1).to_numpy(dtype=np.int64)
            for what in ("offset", "bytes", "crc32")
        }
        # numbers of shards instead of their names: a few bytes a sample, and shared by forked workers
        shard = np.asarray(pd.Categorical(self.index["shard"], categories=names).codes, dtype=np.int32)
        return _Locations(shard, numbers["offset"], numbers["bytes"], numbers["crc32"])

    def _read(self, members: _Locations, row: int) -> NDArray[np.int16] | NDArray[np.uint8] | NDArray[np.uint16]:
        size = int(members.size[row])
        try:
            descriptor = self._descriptor(self.manifest.shards[members.shard[row]].file)
            data = os.pread(descriptor, size, int(members.offset[row]))
        except OSError as error:
            raise self._damaged(row, f"the shard cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise self._damaged(row, f"{size} bytes were expected and {len(data)} are there")
        if zlib.crc32(data) != members.crc32[row]:
            raise self._damaged(row, "its bytes are not the ones that were written (CRC-32)")
        try:
            return decode(data)
        except DamagedFrameError as error:
            raise self._damaged(row, str(error)) from error

    def _damaged(self, row: int, why: str) -> RadnetError:
        entry = self.index.iloc[row]
        return RadnetError(
            f"Sample {entry['key']} is damaged: {why}",
            file=self.path / str(entry["shard"]),
            fix="Copy the shard again from its source, or build the set again",
        )

    def _descriptor(self, shard: str) -> int:
        """An open file descriptor of a shard; the least recently used one is closed when there are too many."""
        if shard in self._descriptors:
            self._descriptors.move_to_end(shard)
            return self._descriptors[shard]
        if len(self._descriptors) >= MAX_OPEN_SHARDS:
            os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[shard] = os.open(self.path / shard, os.O_RDONLY)
        return self._descriptors[shard]

    def close(self) -> None:
        """Close all open shards; the next read opens them again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
