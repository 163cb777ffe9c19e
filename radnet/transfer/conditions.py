"""Conditions: what is done to training or test images of a task before a model sees them. One YAML each.

Noise on grey values follows the reference study's experiment E3; the shifts of CT (dose, kernel, slice thickness,
window) ask how a model bears another scanner protocol at test time. The validation images stay as they are, so a
choice made on them knows nothing of a shift.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radnet.configs import group_settings, validated
from radnet.console import warn
from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.records import Condition
from radnet.shards import ShardSet
from radnet.transfer.changed_set import ChangedSet, SliceChange, SlicePlace
from radnet.views import EvaluationView, window_policy
from radnet.views.ct_shifts import low_dose, smoother_kernel
from radnet.views.noisy import NoisyView
from radnet.views.settings import recipe_of, require

NONE = "none"
LEAST_BLUR_PX = 0.25
"""A Gaussian of a smaller deviation leaves whole HU as they are."""


class Change(ABC):
    """One kind of change; a subclass is a frozen dataclass of its settings."""

    kind: ClassVar[str]

    def view(self, view: EvaluationView) -> EvaluationView:
        """The view under this change; the same one where slices are changed instead."""
        return view

    def slices(self) -> SliceChange | None:
        """The change of stored slices, None where the view is changed instead."""
        return None


@dataclass(frozen=True)
class GaussianNoise(Change):
    """Gaussian noise on grey values; `std` is a share of their range."""

    kind: ClassVar[str] = "gaussian_noise"
    std: float

    def __post_init__(self) -> None:
        require(0 < self.std < 1, "std lies between 0 and 1", self.std, f"condition {self.kind}", "For example 0.01")

    def view(self, view: EvaluationView) -> EvaluationView:
        """See `Change`."""
        own = {field.name: getattr(view, field.name) for field in fields(EvaluationView)}
        return NoisyView(**own, noise=self.kind.removesuffix("_noise"), noise_std=self.std)


@dataclass(frozen=True)
class RicianNoise(GaussianNoise):
    """Noise as in the magnitude of an MR image; `std` is that of each part of the complex signal."""

    kind: ClassVar[str] = "rician_noise"


@dataclass(frozen=True)
class Window(Change):
    """Another window in HU than the task's, as a reader or an export would have set it."""

    kind: ClassVar[str] = "window"
    center: float
    width: float

    def view(self, view: EvaluationView) -> EvaluationView:
        """See `Change`."""
        return replace(view, window=window_policy({"policy": "fixed", "center": self.center, "width": self.width}))


class _OfSlices(Change, SliceChange):
    def slices(self) -> SliceChange:
        """See `Change`."""
        return self


@dataclass(frozen=True)
class Dose(_OfSlices):
    """A share of the dose: noise with the spectrum of CT, see `radnet.views.ct_shifts.low_dose`."""

    kind: ClassVar[str] = "dose"
    dose: float
    full_dose_noise_hu: float = 12.0
    peak_per_mm: float = 0.3

    def __post_init__(self) -> None:
        require(0 < self.dose < 1, "dose lies between 0 and 1", self.dose, "condition dose", "For example 0.25")
        for name in ("full_dose_noise_hu", "peak_per_mm"):
            value = getattr(self, name)
            require(value > 0, f"{name} is positive", value, "condition dose", "Leave it out for the default")

    def change(self, place: SlicePlace, generator: np.random.Generator) -> NDArray[np.int16]:
        """See `SliceChange`."""
        return low_dose(
            place.hu(),
            generator,
            dose=self.dose,
            full_dose_noise_hu=self.full_dose_noise_hu,
            peak_per_mm=self.peak_per_mm,
            spacing_mm=place.pixel_mm(),
        )


@dataclass(frozen=True)
class KernelBlur(_OfSlices):
    """A smoother reconstruction kernel: a Gaussian blur with a standard deviation in mm."""

    kind: ClassVar[str] = "kernel_blur"
    sigma_mm: float

    def __post_init__(self) -> None:
        require(self.sigma_mm > 0, "sigma_mm is positive", self.sigma_mm, "condition kernel_blur", "For example 0.8")

    def change(self, place: SlicePlace, generator: np.random.Generator) -> NDArray[np.int16]:
        """See `SliceChange`; the generator is not used."""
        return smoother_kernel(place.hu(), sigma_mm=self.sigma_mm, spacing_mm=place.pixel_mm())

    def without_effect(self, spacing_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `SliceChange`: the pixels are too coarse."""
        return np.asarray(self.sigma_mm < LEAST_BLUR_PX * spacing_mm[:, 1:].max(1))


@dataclass(frozen=True)
class SliceThickness(_OfSlices):
    """Thicker slices: the mean of neighbours, weighted by how much of them lies in a box of this thickness."""

    kind: ClassVar[str] = "slice_thickness"
    thickness_mm: float

    def __post_init__(self) -> None:
        where = "condition slice_thickness"
        require(self.thickness_mm > 0, "thickness_mm is positive", self.thickness_mm, where, "For example 5")

    def change(self, place: SlicePlace, generator: np.random.Generator) -> NDArray[np.int16]:
        """See `SliceChange`; the generator is not used."""
        return place.slab(self.thickness_mm)

    def without_effect(self, spacing_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `SliceChange`: the slices are as thick already."""
        return np.asarray(spacing_mm[:, 0] >= self.thickness_mm)


KINDS: Mapping[str, type[Change]] = {
    kind.kind: kind for kind in (GaussianNoise, RicianNoise, Dose, KernelBlur, SliceThickness, Window)
}
"""Every kind of change by name."""


class _ConditionSettings(BaseModel):
    """`configs/condition/NAME.yaml`. Not `on`, as records say: YAML 1.1 reads that word as true."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    images: Literal["train", "test", "train and test"] = "test"
    settings: dict[str, Any] = Field(default_factory=dict)


def condition_from_settings(settings: Mapping[str, Any]) -> Condition | None:
    """The condition that a `condition` part of a config describes, every setting written out; None for "none".

    Raises:
        UsageError: An unknown kind or setting, or a wrong value.
    """
    given = validated(_ConditionSettings, settings, "the condition")
    if given.name == NONE:
        return None
    if given.name not in KINDS:
        raise UsageError("There is no condition of this kind", seen=given.name, fix=did_you_mean(given.name, KINDS))
    change = recipe_of(KINDS[given.name], given.settings, f"condition {given.name}")
    written = {field.name: getattr(change, field.name) for field in fields(change)}  # type: ignore[arg-type]
    return Condition(name=given.name, on=given.images, settings=written)


def condition_named(name: str, **changed: Any) -> Condition | None:
    """A condition that ships with radnet, with some of its entries changed (`images="test"`).

    Raises:
        UsageError: There is none of this name.
    """
    return condition_from_settings({**group_settings("condition", name), **changed})


def applies(condition: Condition | None, split: str) -> bool:
    """Whether the images of "train", "val" or "test" are changed."""
    return condition is not None and split in condition.on.split(" and ")


def under(
    condition: Condition | None, split: str, shards: ShardSet, view: EvaluationView, *, seed: int
) -> tuple[ShardSet, EvaluationView]:
    """Set and view through which the images of one split are seen.

    Args:
        condition: The condition, None for none.
        split: "train", "val" or "test".
        shards: The set.
        view: The task's view for the model.
        seed: Of noise on slices; that on grey values is drawn by the generator that the view is called with.

    Raises:
        RadnetError: The condition is one of CT, and the set holds none.
    """
    if condition is None or not applies(condition, split):
        return shards, view
    change = recipe_of(KINDS[condition.name], condition.settings, f"condition {condition.name}")
    slices = change.slices()
    if (slices is not None or isinstance(change, Window)) and shards.manifest.modality != "CT":
        raise RadnetError(
            f"The condition {condition.name!r} is one of CT; this set holds something else",
            seen=shards.manifest.modality,
            file=shards.path,
            fix="Take gaussian_noise, or rician_noise for MR",
        )
    if slices is not None:
        shards = ChangedSet(shards, slices, seed)
        _check_effect(condition, shards, split)
    return shards, change.view(view)


def _check_effect(condition: Condition, shards: ChangedSet, split: str) -> None:
    """Refuse a condition that changes nothing, say so where it leaves some slices as they are."""
    rows = shards.source.rows(split)
    without = int(shards.slice_change.without_effect(shards.geometry.spacing_mm[rows]).sum())
    if without and without == len(rows):
        raise RadnetError(
            f"The condition {condition.name!r} changes no {split} image of this set: its slices or pixels are too far "
            "apart",
            seen=condition.settings,
            file=shards.path,
            fix="Give a stronger one as condition.settings.…, or use a set of finer slices",
        )
    if without:
        warn(f"{condition.name} leaves {without} of {len(rows)} {split} images as they are: they are as coarse already")
