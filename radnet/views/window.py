"""Window policies: how Hounsfield units become grey values in [0, 1]. A decision, never an accident.

Shape legend: Y rows, X columns, C channels.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError, did_you_mean

CLINICAL_WINDOWS: dict[str, tuple[float, float]] = {
    "brain": (40, 80),
    "soft_tissue": (40, 400),
    "lung": (-600, 1500),
    "bone": (400, 1800),
    "full": (1023.5, 4095),
}
"""Name -> (centre, width) in HU; "full" covers -1024…3071."""


class WindowPolicy(Protocol):
    """A slice in HU -> grey values."""

    channels: int

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """Map HU (Y, X), any real dtype, to float32 (C, Y, X) in [0, 1]."""
        ...


def apply_window(hu: NDArray[Any], centre: float, width: float) -> NDArray[np.float32]:
    """Grey values of one window: 0 at centre - width/2 and below, 1 at centre + width/2 and above."""
    grey = (hu.astype(np.float32) - np.float32(centre - width / 2)) * np.float32(1 / width)
    return np.clip(grey, 0, 1, out=grey)


def _check_width(width: float) -> None:
    if not width > 0:
        raise UsageError("A window needs a positive width in HU", seen=width, fix="For example width=400")


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
        _check_width(self.width)

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`; the generator is not used."""
        return apply_window(hu, self.center, self.width)[None]


@dataclass(frozen=True)
class RandomWindow:
    """A window drawn around the clinical ones, anew for every view.

    One of `names` is taken at random; its width is scaled by up to `width_jitter` either way (log-uniform) and its
    centre moved by up to `center_jitter` of the width. So a network meets one anatomy in many windows and cannot
    live on absolute grey values of one.
    """

    names: tuple[str, ...] = tuple(CLINICAL_WINDOWS)
    center_jitter: float = 0.1
    width_jitter: float = 1.4
    channels = 1

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in CLINICAL_WINDOWS:
                raise UsageError("Unknown clinical window", seen=name, fix=did_you_mean(name, CLINICAL_WINDOWS))
        if not self.names or self.width_jitter < 1:
            raise UsageError(
                "A random window needs names and a width_jitter of at least 1",
                seen=(self.names, self.width_jitter),
                fix="For example names=[soft_tissue,lung] width_jitter=1.4",
            )

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`."""
        center, width = CLINICAL_WINDOWS[self.names[generator.integers(len(self.names))]]
        limit = np.log(self.width_jitter)
        width *= float(np.exp(generator.uniform(-limit, limit)))
        center += float(generator.uniform(-self.center_jitter, self.center_jitter)) * width
        return apply_window(hu, center, width)[None]


@dataclass(frozen=True)
class MultiWindow:
    """Several clinical windows as channels, for three-channel models that shall see more than one window."""

    names: tuple[str, ...] = ("soft_tissue", "lung", "bone")

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in CLINICAL_WINDOWS:
                raise UsageError("Unknown clinical window", seen=name, fix=did_you_mean(name, CLINICAL_WINDOWS))

    @property
    def channels(self) -> int:
        """One channel a window."""
        return len(self.names)

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`; the generator is not used."""
        return np.stack([apply_window(hu, *CLINICAL_WINDOWS[name]) for name in self.names])


@dataclass(frozen=True)
class MinMaxWindow:
    """The reference study's scaling: each image from its own minimum to its own maximum.

    Absolute HU are lost, a metal implant changes the whole picture; kept to rebuild the study. A constant slice
    becomes 0.
    """

    channels = 1

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        """See `WindowPolicy`; the generator is not used."""
        low, high = float(hu.min()), float(hu.max())
        return apply_window(hu, (low + high) / 2, max(high - low, 1e-6))[None] * np.float32(high > low)


_POLICIES: dict[str, type] = {
    "fixed": FixedWindow,
    "random": RandomWindow,
    "multi": MultiWindow,
    "minmax": MinMaxWindow,
}


def window_policy(settings: dict[str, Any]) -> WindowPolicy:
    """The policy that settings describe: `{"policy": "fixed", "center": 40, "width": 400}`.

    Raises:
        UsageError: Unknown policy, key or value.
    """
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    name = str(arguments.pop("policy", ""))
    if name not in _POLICIES:
        raise UsageError("Unknown window policy", seen=name, fix=did_you_mean(name, _POLICIES))
    known = [field.name for field in fields(_POLICIES[name])]
    for key in arguments:
        if key not in known:
            raise UsageError(f"The {name!r} window has no setting {key!r}", fix=did_you_mean(key, known))
    policy: WindowPolicy = _POLICIES[name](**arguments)
    return policy


def describe_window(policy: WindowPolicy) -> dict[str, Any]:
    """The settings that `window_policy` turns back into the policy; they go into every export and record."""
    names = {cls: name for name, cls in _POLICIES.items()}
    settings: dict[str, Any] = asdict(policy)  # type: ignore[call-overload]
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    return {"policy": names[type(policy)], **values}
