"""The volumes of a shard set: which slices make one, with how many sequences, on what grid.

Shape legend: N slices of all volumes, Z slices of one, C sequences.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radnet.console import warn
from radnet.errors import RadnetError, UsageError
from radnet.scans.structures import OVERLAP
from radnet.shards import ShardSet
from radnet.transfer.segmentation.structures import MaskSettings
from radnet.transfer.splits import SliceSplit
from radnet.views.recipe import ViewRecipe

SEQUENCE, STUDY = "label_sequence", "label_study"
"""Index columns of sets with several sequences a study: which one a series is, and which study of the patient."""


@dataclass(frozen=True)
class Volume:
    """One volume with its mask.

    Attributes:
        key: Keyed hash of its (first) series, and so the same in every build of the archive.
        patient: Patient key.
        rows: Rows of the index, int64, (Z, C), from inferior to superior.
        spacing_mm: Distances along (Z, Y, X).
        shape: (Z, Y, X) of the stored slices: the grid on which it is scored.
        bits: Whether its mask holds bit sets.
    """

    key: str
    patient: str
    rows: NDArray[np.int64]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    bits: bool

    @property
    def diagonal_mm(self) -> float:
        """Length of its diagonal: no distance between two of its surfaces is larger."""
        return float(np.linalg.norm(np.array(self.shape) * self.spacing_mm))


@dataclass(frozen=True)
class VolumeSplit(SliceSplit):
    """The slices of one split that make volumes with masks, for `SegmentProtocol`.

    Attributes:
        volumes: The volumes.
        masks: What their masks mean.
        places: (volume, slice) of each slice, int64, (N, 2), in the order of the volumes.
        left_out: Why slices of this split make no volume -> volumes that are missing for it.
    """

    volumes: tuple[Volume, ...]
    masks: MaskSettings
    places: NDArray[np.int64]
    left_out: Mapping[str, int]

    @classmethod
    def of(
        cls,
        shards: ShardSet,
        volumes: Sequence[Volume],
        masks: MaskSettings,
        view: ViewRecipe,
        left_out: Mapping[str, int] | None = None,
    ) -> "VolumeSplit":
        """The split of these volumes.

        Args:
            shards: The set that holds them.
            volumes: The volumes.
            masks: What their masks mean.
            view: What the model sees of one image of a slice; of sequence c its channel c is taken.
            left_out: See `find_volumes`.
        """
        sequences = len(masks.sequences)
        if sequences and view.shapes[0][0] != sequences:
            raise ValueError(f"a view of {sequences} channels is needed, not of {view.shapes[0][0]}")
        places = [(number, z) for number, volume in enumerate(volumes) for z in range(len(volume.rows))]
        rows = [volume.rows[:, 0] for volume in volumes]
        return cls(
            shards=shards,
            rows=np.concatenate(rows) if rows else np.zeros(0, np.int64),
            target=None,
            patients=np.array([volumes[number].patient for number, _ in places], dtype=np.str_),
            view=view,
            volumes=tuple(volumes),
            masks=masks,
            places=np.array(places, dtype=np.int64).reshape(-1, 2),
            left_out=left_out or {},
        )

    @property
    def stored_patients(self) -> NDArray[np.str_]:
        """Patient of each stored slice of the volumes, of every sequence."""
        return np.array([volume.patient for volume in self.volumes for _ in range(volume.rows.size)], dtype=np.str_)

    @property
    def size(self) -> int:
        """Side of the view."""
        return self.view.shapes[0][1]

    def picture(self, position: int, *, seed: int, epoch: int = 0) -> NDArray[np.float32]:
        """See `SliceSplit.picture`; of a study with sequences, their views side by side, (C, H, W)."""
        number, z = self.places[position]
        rows = self.volumes[number].rows[z]
        if len(rows) == 1:
            return super().picture(position, seed=seed, epoch=epoch)
        views = [
            self.view(self.shards.read_image(int(row)), np.random.default_rng([seed, epoch, int(row)]))[0]
            for row in rows
        ]
        return np.stack([view[channel] for channel, view in enumerate(views)]).astype(np.float32)

    def inside(self, position: int) -> NDArray[np.bool_]:
        """Which pixels of a slice belong to each structure, on its stored grid, bool (K, Y, X).

        Raises:
            RadnetError: The slice has no mask, one of another size, or one with labels that the task does not know.
        """
        number, z = self.places[position]
        volume = self.volumes[number]
        mask = self.shards.read_mask(int(volume.rows[z, 0]))
        if mask is None or mask.shape != volume.shape[1:]:
            raise RadnetError(
                f"Slice {z} of volume {volume.key} has the size {volume.shape[1:]} and its mask another",
                seen=None if mask is None else mask.shape,
                file=self.shards.path,
                fix="Build the set again",
            )
        self.masks.require_known(self.masks.unknown(mask, bits=volume.bits), f"volume {volume.key}")
        return self.masks.of_mask(mask, bits=volume.bits)


def find_volumes(
    shards: ShardSet, rows: NDArray[np.int64], masks: MaskSettings
) -> tuple[tuple[Volume, ...], dict[str, int]]:
    """The volumes that these rows make; what cannot be one is named in a warning.

    Args:
        shards: The set.
        rows: Rows of its index, of one split; rows without a mask take no part.
        masks: What the masks mean; with sequences, the series of a study become one volume.

    Returns:
        The volumes, ordered by key; and why others take no part -> how many.

    Raises:
        UsageError: The set has no masks, or no column that tells sequences apart.
    """
    index = shards.index
    if not len(index["mask_offset"].dropna()):
        raise UsageError(
            "The set has no masks",
            file=shards.path,
            fix="Name them in the column mask of metadata.csv and build the set again, or take another task",
        )
    table = index.iloc[rows]
    table = table[table["mask_offset"].notna()]
    if not masks.sequences:
        parts = [[part] for _, part in table.groupby("series_key", sort=True)]
    else:
        parts = _studies(table, masks.sequences, shards)
    found = [_volume(part) for part in parts if part]
    left = Counter(one for one in found if isinstance(one, str))
    left.update({"sequences_incomplete": sum(not part for part in parts)})
    left_out = {WORDS[reason]: count for reason, count in sorted(left.items()) if count}
    for words, count in left_out.items():
        warn(f"{count} volumes of {shards.path} take no part: {words}")
    return tuple(sorted((one for one in found if isinstance(one, Volume)), key=lambda volume: volume.key)), left_out


WORDS = {
    "slices_missing": "slices between others are not stored, so distances would be wrong",
    "spacing_unknown": "the distance between slices or pixels is not known",
    "grids_differ": "their sequences lie on different grids",
    "sequences_incomplete": "a sequence is missing or there twice",
}


def _studies(table: pd.DataFrame, sequences: Sequence[str], shards: ShardSet) -> list[list[pd.DataFrame]]:
    """The series of each study in the order of the sequences; an empty list where one is missing."""
    if SEQUENCE not in table.columns:
        raise UsageError(
            f"The set has no column {SEQUENCE}, which tells the sequences of a study apart",
            file=shards.path,
            fix="Prepare it with radnet task prepare, or add the column label_sequence to metadata.csv",
        )
    studies: list[list[pd.DataFrame]] = []
    study = table[STUDY].fillna("") if STUDY in table.columns else pd.Series("", index=table.index)
    for _, part in table.groupby([table["patient_key"], study], sort=True):
        series = {name: one for name, one in part.groupby(SEQUENCE) if len(set(one["series_key"])) == 1}
        studies.append([series[name] for name in sequences] if set(sequences) <= set(series) else [])
    return studies


def _volume(parts: Sequence[pd.DataFrame]) -> Volume | str:
    """The volume of a series, or of the sequences of a study, or why there is none."""
    ordered = [part.sort_values("slice") for part in parts]
    first = ordered[0]
    numbers = first["slice"].to_numpy()
    steps = set(np.diff(numbers).tolist()) or {1}
    if len(steps) > 1:
        return "slices_missing"
    spacing_mm = [first[f"spacing_{axis}_mm"].iloc[0] for axis in "zyx"]
    if any(pd.isna(value) or value <= 0 for value in spacing_mm):
        return "spacing_unknown"
    sides = ["rows", "columns"]
    for other in ordered[1:]:
        if not np.array_equal(other["slice"], numbers) or not np.array_equal(other[sides], first[sides]):
            return "grids_differ"
    return Volume(
        key=str(first["series_key"].iloc[0]),
        patient=str(first["patient_key"].iloc[0]),
        rows=np.stack([part.index.to_numpy(dtype=np.int64) for part in ordered], axis=1),
        spacing_mm=(float(spacing_mm[0]) * steps.pop(), float(spacing_mm[1]), float(spacing_mm[2])),
        shape=(len(first), int(first["rows"].iloc[0]), int(first["columns"].iloc[0])),
        bits=OVERLAP in str(first["notes"].iloc[0]).split(";"),
    )
