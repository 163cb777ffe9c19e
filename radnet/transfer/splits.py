"""What protocols learn from: the items of one split, as frozen features or as slices, with labels and patients.

Labels come in two forms. Single-label: int64 class numbers, (N,). Multi-label (findings that may occur together):
int64 of 0 and 1, (N, K).

Shape legend: N items, M rows of a stored matrix, D feature dimensions, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.shards import ShardSet
from radnet.views.recipe import ViewRecipe

BLOCK_VALUES = 1 << 20
"""Feature values that are brought to memory at once: 4 MiB of float32, a few times that while they are worked on."""


@dataclass(frozen=True)
class FeatureRows:
    """Rows of a stored feature matrix that stay where they are, memory-mapped, until they are asked for.

    Stands wherever a float32 array (N, D) does: `np.asarray`, `len`, `shape`, slices and arrays of positions work,
    and only what is asked for is read.

    Attributes:
        matrix: float32, (M, D), usually memory-mapped.
        rows: Row of the matrix of each item, int64, (N,); ascending is quickest.
    """

    matrix: NDArray[np.float32]
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return (len(self.rows), self.matrix.shape[1])

    @property
    def ndim(self) -> int:
        """Number of axes of the matrix."""
        return self.matrix.ndim

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of the matrix."""
        return self.matrix.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> NDArray[np.float32]:
        return np.asarray(self.matrix[self.rows[chosen]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("rows of a stored matrix cannot be an array without being read")
        return np.asarray(self[:], dtype=dtype)


Features = NDArray[np.float32] | FeatureRows
"""float32, (N, D): in memory, or on disk until they are read."""


def blocks(features: Features, values: int | None = None) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The features piece by piece, in order: (positions, float32 (n, D)), of at most about `values` numbers each."""
    step = max(1, (BLOCK_VALUES if values is None else values) // max(1, features.shape[1]))
    for start in range(0, len(features), step):
        place = slice(start, min(start + step, len(features)))
        yield place, np.asarray(features[place])


def check_features(features: Features) -> None:
    """Refuse features that are no finite float32 matrix.

    Raises:
        ValueError: Another dtype or number of axes.
        RadnetError: A value is NaN or infinite.
    """
    if features.ndim != 2 or features.dtype != np.float32:
        raise ValueError(f"features must be float32 of shape (N, D), not {features.dtype} of {features.shape}")
    # A sum of squares in float64 is finite exactly when all values are, and needs no array of flags.
    broken = sum(
        int((~np.isfinite(np.einsum("nd,nd->n", block, block, dtype=np.float64))).sum())
        for _, block in blocks(features)
    )
    if broken:
        raise RadnetError(
            f"The backbone gives features that are NaN or infinite for {broken} of {len(features)} items",
            fix="Check the weights (a diverged run?) and the precision of the feature extraction",
        )


def check_target(target: NDArray[np.int64], items: int) -> None:
    """Refuse labels that are neither class numbers (N,) nor 0 and 1 of shape (N, K).

    Raises:
        ValueError: Another dtype, shape or value.
    """
    if target.dtype != np.int64 or target.ndim not in (1, 2) or len(target) != items:
        raise ValueError(f"target must be int64 of shape (N,) or (N, K), not {target.dtype} of {target.shape}")
    if target.size and target.min() < 0:
        raise ValueError("target holds a negative class number")
    if target.ndim == 2 and target.size and target.max() > 1:
        raise ValueError(f"a target of shape (N, K) holds 0 and 1 only, not {target.max()}")


def _check_patients(patients: NDArray[np.str_], items: int) -> None:
    if patients.shape != (items,) or patients.dtype.kind != "U":
        raise ValueError(f"patients must be text of shape (N,), not {patients.dtype} {patients.shape}")


@dataclass(frozen=True)
class FeatureSplit:
    """Features of one split with their labels.

    Attributes:
        features: float32, shape (N, D), finite; may lie on disk.
        target: int64: class number of each item (N,), or 0 and 1 for each class (N, K).
        patients: Patient key of each item, text, shape (N,).
    """

    features: Features
    target: NDArray[np.int64]
    patients: NDArray[np.str_]

    def __post_init__(self) -> None:
        check_features(self.features)
        check_target(self.target, len(self.features))
        _check_patients(self.patients, len(self.target))

    def __len__(self) -> int:
        return len(self.target)

    @property
    def multi_label(self) -> bool:
        """Whether an item can belong to several classes."""
        return self.target.ndim == 2


@dataclass(frozen=True)
class SliceSplit:
    """Slices of one split with their labels, for protocols that train the model itself.

    Attributes:
        shards: The set that holds them.
        rows: Row of each slice in the set's index, int64, (N,). Masks are read by `shards.read_mask(row)`.
        target: As in `FeatureSplit`; None where the labels are the masks.
        patients: Patient key of each slice, text, shape (N,).
        view: What the model sees of a slice: a recipe of one view, float32 (C, H, W), normalised for the model.
            Training-time or test-time noise and shifts are part of the recipe; chance comes from the generator that
            `picture` seeds. Augmentation is the protocol's and comes on top.
    """

    shards: ShardSet
    rows: NDArray[np.int64]
    target: NDArray[np.int64] | None
    patients: NDArray[np.str_]
    view: ViewRecipe

    def __post_init__(self) -> None:
        if self.rows.ndim != 1 or self.rows.dtype != np.int64:
            raise ValueError(f"rows must be int64 of shape (N,), not {self.rows.dtype} of {self.rows.shape}")
        if self.target is not None:
            check_target(self.target, len(self.rows))
        _check_patients(self.patients, len(self.rows))
        if len(self.view.shapes) != 1:
            raise ValueError(f"a recipe of one view is needed, not of {len(self.view.shapes)}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def multi_label(self) -> bool:
        """Whether a slice can belong to several classes."""
        return self.target is not None and self.target.ndim == 2

    def picture(self, position: int, *, seed: int, epoch: int = 0) -> NDArray[np.float32]:
        """The view of one slice, float32 (C, H, W); its chance is a pure function of (seed, epoch, row).

        Raises:
            RadnetError: The slice cannot be read.
        """
        row = int(self.rows[position])
        generator = np.random.default_rng([seed, epoch, row])
        return np.asarray(self.view(self.shards.read_image(row), generator)[0], dtype=np.float32)
