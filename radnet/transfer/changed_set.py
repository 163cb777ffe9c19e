"""A shard set whose slices are changed when they are read: a test set as another scanner protocol would have made it.

Shape legend: Y rows, X columns, Z slices.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.shards import ShardSet
from radnet.shards.pictures import Image
from radnet.views.ct_shifts import slab_weights, thick_slice


@dataclass(frozen=True)
class Geometry:
    """Where the slices of a set lie, one entry a row of the index.

    Attributes:
        series: int64, number of the series.
        slice: int64, number of the slice within its series, from inferior to superior.
        spacing_mm: float64, (N, 3): distance of slices, rows and columns; NaN where it is not known.
        order: int64, rows sorted by series and slice.
        place: int64, position of each row in `order`.
    """

    series: NDArray[np.int64]
    slice: NDArray[np.int64]
    spacing_mm: NDArray[np.float64]
    order: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, index: pd.DataFrame) -> "Geometry":
        """From the index of a set."""
        series = pd.factorize(index["series_key"])[0].astype(np.int64)
        number = index["slice"].fillna(0).to_numpy(dtype=np.int64)
        spacing = index[["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].to_numpy(dtype=np.float64)
        order = np.lexsort((number, series)).astype(np.int64)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return cls(series, number, spacing, order, place)

    def neighbours(self, row: int, within_mm: float) -> tuple[list[int], NDArray[np.float64]]:
        """Rows of the same series within a distance, this one among them, and their distances in mm, float64 (Z,)."""
        spacing_mm = self.spacing_mm[row, 0]
        found: list[int] = [row]
        for step in (-1, 1):
            place = int(self.place[row]) + step
            while 0 <= place < len(self.order):
                other = int(self.order[place])
                apart_mm = abs(self.slice[other] - self.slice[row]) * spacing_mm
                if self.series[other] != self.series[row] or apart_mm >= within_mm:
                    break
                found.append(other)
                place += step
        return found, (self.slice[found] - self.slice[row]) * spacing_mm


@dataclass(frozen=True)
class SlicePlace:
    """One slice with what lies around it."""

    shards: ShardSet
    geometry: Geometry
    row: int

    def hu(self, row: int | None = None) -> NDArray[np.int16]:
        """The slice, or another one of its series, int16 (Y, X).

        Raises:
            RadnetError: It is not in Hounsfield units.
        """
        image = self.shards.read_image(self.row if row is None else row)
        if image.dtype != np.int16:
            raise RadnetError(
                "This condition needs CT in Hounsfield units",
                seen=f"{image.dtype} {image.shape}",
                file=self.shards.path,
                fix="Take a condition of grey values (gaussian_noise, rician_noise)",
            )
        return np.asarray(image, dtype=np.int16)

    def pixel_mm(self) -> tuple[float, float]:
        """Distance of rows and of columns in mm.

        Raises:
            RadnetError: The set does not know it.
        """
        y_mm, x_mm = (float(mm) for mm in self.geometry.spacing_mm[self.row, 1:])
        self._require(y_mm, x_mm)
        return y_mm, x_mm

    def slab(self, thickness_mm: float) -> NDArray[np.int16]:
        """The mean of this slice and its neighbours over a box of this thickness, int16 (Y, X)."""
        spacing_mm = float(self.geometry.spacing_mm[self.row, 0])
        self._require(spacing_mm)
        rows, offsets_mm = self.geometry.neighbours(self.row, (thickness_mm + spacing_mm) / 2)
        weights = slab_weights(offsets_mm, spacing_mm=spacing_mm, thickness_mm=thickness_mm)
        return thick_slice([self.hu(row) for row in rows], weights)

    def _require(self, *spacing_mm: float) -> None:
        if not all(np.isfinite(mm) and mm > 0 for mm in spacing_mm):
            raise RadnetError(
                "The set does not know the distances of pixels or slices, which this condition needs",
                seen=self.geometry.spacing_mm[self.row].tolist(),
                file=self.shards.path,
                fix="Take a condition of grey values, or build the set from files that tell them",
            )


class SliceChange(ABC):
    """What is done to a slice; a subclass is a frozen dataclass of its settings."""

    kind: ClassVar[str]

    @abstractmethod
    def change(self, place: SlicePlace, generator: np.random.Generator) -> NDArray[np.int16]:
        """The changed slice, int16 (Y, X)."""

    def without_effect(self, spacing_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which slices it leaves as they are.

        Args:
            spacing_mm: Distance of slices, rows and columns of each slice, float64 (N, 3).
        """
        return np.zeros(len(spacing_mm), dtype=bool)

    def describe(self) -> dict[str, Any]:
        """Kind and settings as JSON values."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]


class ChangedSet(ShardSet):
    """A set whose images are changed when they are read; everything else, masks too, is that of the source.

    Args:
        source: The set.
        change: What is done to each slice.
        seed: Chance is a pure function of it and the row.
    """

    def __init__(self, source: ShardSet, change: SliceChange, seed: int) -> None:
        super().__init__(source.path, source.manifest)
        self.source, self.slice_change, self.seed = source, change, seed

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in ("source", "slice_change", "seed")}}

    @cached_property
    def index(self) -> pd.DataFrame:
        """See `ShardSet`."""
        return self.source.index

    @cached_property
    def geometry(self) -> Geometry:
        """Where the slices lie."""
        return Geometry.of(self.source.index)

    def prepare_for_workers(self) -> None:
        """See `ShardSet`."""
        self.source.prepare_for_workers()
        _ = self.geometry

    def read_image(self, row: int) -> Image:
        """See `ShardSet`; always int16 HU."""
        generator = np.random.default_rng([self.seed, row])
        return self.slice_change.change(SlicePlace(self.source, self.geometry, row), generator)

    def read_mask(self, row: int) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """See `ShardSet`."""
        return self.source.read_mask(row)

    def describe(self) -> dict[str, Any]:
        """What makes the images others than the source's, as JSON values."""
        return {**self.slice_change.describe(), "seed": self.seed}
