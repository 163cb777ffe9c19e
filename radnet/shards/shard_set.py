"""A finished shard set on a local disk, opened for reading at offsets."""

import os
from collections import OrderedDict
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.errors import RadnetError, UsageError
from radnet.shards.codec import DamagedFrameError, decode
from radnet.shards.manifest import Manifest, read_manifest

MAX_OPEN_SHARDS = 64


class ShardSet:
    """Random access to the samples of a set; picklable, and safe to use after a fork.

    Rows of `index` are samples; a sample is named by its row number everywhere in radnet.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str) -> "ShardSet":
        """Open a set after a quick check: manifest there, every shard there with its size.

        Raises:
            UsageError: `path` is no finished shard set.
            RadnetError: A shard is missing or has another size than the manifest says.
        """
        path = Path(path)
        if not path.is_dir():
            raise UsageError(
                "No such shard set", file=path, fix="Build it with: radnet shards build ARCHIVE OUT, or check the path"
            )
        manifest = read_manifest(path)
        for shard in manifest.shards:
            file = path / shard.file
            if Path(shard.file).name != shard.file:
                raise UsageError("The manifest names a shard outside its directory", seen=shard.file, file=path)
            size = file.stat().st_size if file.is_file() else None
            if size != shard.bytes:
                state = "is missing" if size is None else f"has {size} bytes, the manifest says {shard.bytes}"
                raise RadnetError(
                    f"A shard {state}", file=file, fix="Copy the set again from its source, or build it again"
                )
        return cls(path, manifest)

    def __len__(self) -> int:
        return self.manifest.totals.samples

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._descriptors = OrderedDict()

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row a sample; see `shards/README.md` for the columns."""
        table = pd.read_parquet(self.path / self.manifest.index.file)
        if len(table) != len(self):
            raise RadnetError(
                f"The index has {len(table)} rows, the manifest says {len(self)}", file=self.path, fix="Copy it again"
            )
        return table

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of one split ("train", "val", "test"), or of all samples."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        return np.flatnonzero(self.index["split"] == split).astype(np.int64)

    @cached_property
    def _locations(self) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.int64]]:
        table = self.index
        return (
            table["shard"].to_numpy(dtype=np.str_),
            table["image_offset"].to_numpy(dtype=np.int64),
            table["image_bytes"].to_numpy(dtype=np.int64),
        )

    def prepare_for_workers(self) -> None:
        """Load what `read_image` needs, so that forked workers share it instead of loading it each."""
        _ = self._locations

    def read_image(self, row: int) -> NDArray[np.int16]:
        """HU of one slice, int16, shape (Y, X).

        Raises:
            RadnetError: The shard is cut or damaged at this sample.
        """
        shards, offsets, sizes = self._locations
        data = self._read(str(shards[row]), int(offsets[row]), int(sizes[row]), row)
        return np.asarray(self._decode(data, row), dtype=np.int16)

    def read_mask(self, row: int) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """Mask of one slice, uint8 or uint16, shape (Y, X); None where the sample has none."""
        if "mask_offset" not in self.index.columns or pd.isna(self.index["mask_offset"].iloc[row]):
            return None
        entry = self.index.iloc[row]
        data = self._read(str(entry["shard"]), int(entry["mask_offset"]), int(entry["mask_bytes"]), row)
        return self._decode(data, row)  # type: ignore[return-value]

    def _decode(self, data: bytes, row: int) -> NDArray[np.int16] | NDArray[np.uint8] | NDArray[np.uint16]:
        try:
            return decode(data)
        except DamagedFrameError as error:
            raise self._damaged(row, str(error)) from error

    def _read(self, shard: str, offset: int, size: int, row: int) -> bytes:
        data = os.pread(self._descriptor(shard), size, offset)
        if len(data) != size:
            raise self._damaged(row, f"{size} bytes were expected and {len(data)} are there")
        return data

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
        """Close all open shards."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
