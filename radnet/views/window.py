"""Window policies: how Hounsfield units become grey values in [0, 1]. A decision, never an accident.

Shape legend: Y rows, X columns, C channels.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError, did_you_mean
from radnet.views.draws import uniform
from radnet.views.pixels import Levels, minmax_levels
from radnet.views.settings import recipe_of, require

CLINICAL_WINDOWS: dict[str, tuple[float, float]] = {
    "brain": (40, 80),
    "soft_tissue": (40, 400),
    "lung": (-600, 1500),
    "bone": (400, 1800),
    "full": (1023.5, 4095),
}
"""Name -> (center, width) in HU; "full" covers -1024…3071."""


@runtime_checkable
class WindowPolicy(Protocol):
    """A slice in HU -> grey values."""

    @property
    def channels(self) -> int:
        """Number of channels of the result."""
        ...

    def levels(self, hu: NDArray[Any], generator: np.random.Generator) -> Levels:
        """(low, width) in HU of each channel for the whole slice `hu` (Y, X): what a recipe maps its views with."""
        ...

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """Map HU (Y, X), any real dtype, to float32 (C, Y, X) in [0, 1]."""
        ...


def apply_levels(hu: NDArray[Any], levels: Levels) -> NDArray[np.float32]:
    """Grey values (C, Y, X) of (low, width) pairs, one a channel; see `apply_window`."""
    return np.stack(
        [
            apply_window(hu, low + width / 2, width) if np.isfinite(width) else np.zeros(hu.shape, np.float32)
            for low, width in levels
        ]
    )


def apply_window(hu: NDArray[Any], center: float, width: float) -> NDArray[np.float32]:
    """Grey values of one window: 0 at center - width/2 and below, 1 at center + width/2 and above.

    Args:
        hu: Any real dtype, any shape.
        center: Centre in HU.
        width: Width in HU, positive.

    Returns:
        float32 of the same shape, in [0, 1].
    """
    grey = hu.astype(np.float32)
    grey -= np.float32(center - width / 2)
    grey /= np.float32(width)
    return np.clip(grey, 0, 1, out=grey)


@dataclass(frozen=True)
class FixedWindow:
    """One window for every slice.

    Attributes:
        center: Centre in HU.
        width: Width in HU.
    """

    center: float = 40.0
    width: float = 400.0
    channels = 1

    def __post_init__(self) -> None:
        require(self.width > 0, "width is positive", self.width, "the fixed window", "For example width=400")

    def levels(self, hu: NDArray[Any], generator: np.random.Generator) -> Levels:
        """See `WindowPolicy`; neither slice nor generator is used."""
        return ((self.center - self.width / 2, self.width),)

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`; the generator is not used."""
        return apply_window(hu, self.center, self.width)[None]


@dataclass(frozen=True)
class RandomWindow:
    """A window drawn around the clinical ones, anew for every view.

    So a network meets one anatomy in many windows and cannot live on absolute grey values of one.

    Attributes:
        names: Clinical windows, of which one is taken at random.
        center_jitter: Greatest shift of its centre either way, as a share of its (changed) width.
        width_jitter: Greatest factor by which its width grows or shrinks, drawn log-uniformly; 1 leaves it.
    """

    names: tuple[str, ...] = tuple(CLINICAL_WINDOWS)
    center_jitter: float = 0.1
    width_jitter: float = 1.4
    channels = 1

    def __post_init__(self) -> None:
        where = "the random window"
        _require_clinical(self.names, where)
        require(self.center_jitter >= 0, "center_jitter is not negative", self.center_jitter, where, "For example 0.1")
        require(self.width_jitter >= 1, "width_jitter is at least 1", self.width_jitter, where, "For example 1.4")

    def levels(self, hu: NDArray[Any], generator: np.random.Generator) -> Levels:
        """See `WindowPolicy`; the slice is not used."""
        center, width = self.draw(generator)
        return ((center - width / 2, width),)

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`."""
        return apply_window(hu, *self.draw(generator))[None]

    def draw(self, generator: np.random.Generator) -> tuple[float, float]:
        """Centre and width of one random window in HU."""
        center, width = CLINICAL_WINDOWS[self.names[generator.integers(len(self.names))]]
        width *= self.width_jitter ** uniform(generator, -1, 1)
        center += uniform(generator, -self.center_jitter, self.center_jitter) * width
        return center, width


@dataclass(frozen=True)
class MultiWindow:
    """Several clinical windows as channels, for three-channel models that shall see more than one window.

    Attributes:
        names: The windows, one a channel.
    """

    names: tuple[str, ...] = ("soft_tissue", "lung", "bone")

    def __post_init__(self) -> None:
        _require_clinical(self.names, "the multi window")

    @property
    def channels(self) -> int:
        """One channel a window."""
        return len(self.names)

    def levels(self, hu: NDArray[Any], generator: np.random.Generator) -> Levels:
        """See `WindowPolicy`; neither slice nor generator is used."""
        windows = (CLINICAL_WINDOWS[name] for name in self.names)
        return tuple((center - width / 2, width) for center, width in windows)

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`; the generator is not used."""
        return np.stack([apply_window(hu, *CLINICAL_WINDOWS[name]) for name in self.names])


@dataclass(frozen=True)
class MinMaxWindow:
    """The reference study's scaling: each image from its own minimum to its own maximum.

    The whole slice counts, before any crop. Absolute HU are lost, a metal implant changes the whole picture; kept to
    rebuild the study. A constant slice becomes 0.
    """

    channels = 1

    def levels(self, hu: NDArray[Any], generator: np.random.Generator) -> Levels:
        """See `WindowPolicy`; the generator is not used."""
        return (minmax_levels(hu),)

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`; the generator is not used."""
        return apply_levels(hu, self.levels(hu, generator))


_POLICIES: dict[str, type[FixedWindow] | type[RandomWindow] | type[MultiWindow] | type[MinMaxWindow]] = {
    "fixed": FixedWindow,
    "random": RandomWindow,
    "multi": MultiWindow,
    "minmax": MinMaxWindow,
}


def window_policy(settings: Mapping[str, Any]) -> WindowPolicy:
    """The policy that settings describe: `{"policy": "fixed", "center": 40, "width": 400}`.

    Raises:
        UsageError: Unknown policy, key or value.
    """
    require(
        isinstance(settings, Mapping), "a window is a set of settings", settings, "the views", "window.policy=fixed"
    )
    arguments = dict(settings)
    name = str(arguments.pop("policy", ""))
    if name not in _POLICIES:
        raise UsageError("Unknown window policy", seen=name, fix=did_you_mean(name, _POLICIES))
    policy: WindowPolicy = recipe_of(_POLICIES[name], arguments, f"the {name} window")
    return policy


def describe_window(policy: WindowPolicy) -> dict[str, Any]:
    """The settings that `window_policy` turns back into the policy; they go into every export and record."""
    names: dict[type, str] = {cls: name for name, cls in _POLICIES.items()}
    settings: dict[str, Any] = asdict(policy)  # type: ignore[call-overload]
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    return {"policy": names[type(policy)], **values}


def _require_clinical(names: tuple[str, ...], where: str) -> None:
    for name in names:
        require(name in CLINICAL_WINDOWS, "Unknown clinical window", name, where, did_you_mean(name, CLINICAL_WINDOWS))
    require(bool(names), "names are one or more clinical windows", names, where, "For example names=[soft_tissue,lung]")
