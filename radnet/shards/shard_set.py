"""A finished shard set on a local disk, opened for reading at offsets."""

import os
import zlib
from collections import OrderedDict
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.hashing import sha256_of_file
from radnet.shards.cache import DEFAULT_CACHE_BYTES
from radnet.shards.codec import DamagedFrameError
from radnet.shards.locations import COPY_AGAIN, IMAGE_FORMATS, Locations, read_key, read_locations, read_splits
from radnet.shards.manifest import Manifest, ShardFile, read_manifest
from radnet.shards.pictures import Image, decode_image
from radnet.shards.splits import SPLITS

MAX_OPEN_SHARDS = 64
REMOTE = ("http://", "https://", "pipe:")


class ShardSet:
    """Random access to the samples of a set; picklable, and safe to use after a fork.

    Rows of `index` are samples; a sample is named by its row number everywhere in radnet.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str, *, cache: Path | None = None, cache_bytes: int = DEFAULT_CACHE_BYTES) -> "ShardSet":
        """Open a set after a quick check: manifest and tables there, every shard there with its size.

        Args:
            path: Directory of the set, `http://…`, `https://…`, or a `pipe:` command in which `{file}` stands for the
                name of a file. A command is run by the shell: take it from nobody you do not trust.
            cache: Directory for the files of a set that is not local; see `radnet.shards.cache`.
            cache_bytes: Shards in the cache take no more than this.

        Raises:
            UsageError: `path` is no finished shard set.
            RadnetError: A file is missing or has another size than the manifest says.
        """
        if isinstance(path, str) and path.startswith(REMOTE):
            from radnet.shards.remote import open_remote  # it builds on this module

            return open_remote(path, cache, cache_bytes)
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
        """One row a sample with all columns, for tasks and tables; streaming does without it.

        See `shards/README.md` for the columns.

        Raises:
            RadnetError: The file is not the one that the manifest describes.
        """
        return pd.read_parquet(self._index_file)

    @cached_property
    def _index_file(self) -> Path:
        """The index, after its hash was checked once."""
        file = self.path / self.manifest.index.file
        if sha256_of_file(file) != self.manifest.index.sha256:
            raise RadnetError(
                "The index is damaged: its hash is not the one in the manifest", file=file, fix=COPY_AGAIN
            )
        return file

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of one split ("train", "val", "test"), or of all samples.

        Raises:
            UsageError: There is no split of this name.
        """
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        if split not in SPLITS:
            raise UsageError("No such split", seen=split, fix=did_you_mean(split, SPLITS))
        return np.flatnonzero(self._splits == SPLITS.index(split)).astype(np.int64)

    def prepare_for_workers(self) -> None:
        """Load what `read_image` needs, so that forked workers share it instead of loading it each.

        Raises:
            RadnetError: The index is damaged or names places that cannot be.
        """
        _ = self._images

    def read_image(self, row: int) -> Image:
        """One image: int16 Hounsfield units (Y, X), uint16 arbitrary units (Y, X), or a uint8 picture.

        A picture is grey (Y, X) or RGB (Y, X, 3). The dtype says the unit; CT is always int16.

        Raises:
            RadnetError: The shard is missing, cut or damaged at this sample.
        """
        return self._read(self._images, row)

    def shard_of(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Number of the shard that holds each row, int32, (N,)."""
        return self._images.shard[rows]

    def read_mask(self, row: int) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """Mask of one slice, uint8 or uint16, shape (Y, X); None where the sample has none.

        Raises:
            RadnetError: The shard is missing, cut or damaged at this sample.
        """
        if self._masks.offset[row] < 0:
            return None
        return self._read(self._masks, row)

    @cached_property
    def _images(self) -> Locations:
        return read_locations(self._index_file, self.manifest, "image")

    @cached_property
    def _masks(self) -> Locations:
        return read_locations(self._index_file, self.manifest, "mask")

    @cached_property
    def _splits(self) -> NDArray[np.uint8]:
        return read_splits(self._index_file, self.manifest)

    def _read(self, members: Locations, row: int) -> Image:
        size = int(members.size[row])
        try:
            data = self._bytes(self.manifest.shards[members.shard[row]], int(members.offset[row]), size)
        except OSError as error:
            raise self._damaged(row, f"the shard cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise self._damaged(row, f"{size} bytes were expected and {len(data)} are there")
        if zlib.crc32(data) != members.crc32[row]:
            raise self._damaged(row, "its bytes are not the ones that were written (CRC-32)")
        try:
            return decode_image(data, IMAGE_FORMATS[members.format[row]])
        except DamagedFrameError as error:
            raise self._damaged(row, str(error)) from error

    def _bytes(self, shard: ShardFile, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor(shard.file), size, offset)

    def _shard_path(self, shard: ShardFile) -> Path:
        return self.path / shard.file

    def _damaged(self, row: int, why: str) -> RadnetError:
        return RadnetError(
            f"Sample {read_key(self._index_file, row)} is damaged: {why}",
            file=self._shard_path(self.manifest.shards[self._images.shard[row]]),
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
