"""Single values of a DICOM data set, or of one frame of it, as plain Python values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydicom import Dataset

from radnet.scans.sources import RefusedError


class Elements(Protocol):
    """What can be asked for elements by keyword."""

    @property
    def file_meta(self) -> Any:
        """The file meta of the file."""
        ...

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of an element."""
        ...


@dataclass(frozen=True)
class FrameElements:
    """The elements of one frame: those of its functional groups, then those of the whole file.

    Attributes:
        dataset: The file.
        own: Keyword -> value for this frame.
    """

    dataset: Dataset
    own: Mapping[str, Any]

    @property
    def file_meta(self) -> Any:
        """The file meta of the file."""
        return self.dataset.file_meta

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value for this frame."""
        return self.own[key] if key in self.own else self.dataset.get(key, default)


def value_of(elements: Elements, keyword: str) -> Any:
    """The value of an element, None when it is missing or cannot be understood."""
    try:
        return elements.get(keyword)
    except Exception:  # the conversion of a malformed value can raise anything
        return None


def parts_of(elements: Elements, keyword: str) -> list[str]:
    """The values of an element as texts."""
    value = value_of(elements, keyword)
    if value is None:
        return []
    return [str(part) for part in value] if not isinstance(value, str) and hasattr(value, "__iter__") else [str(value)]


def text_of(elements: Elements, keyword: str) -> str:
    """The values of an element as one text."""
    return " ".join(parts_of(elements, keyword)).strip()


def number_of(elements: Elements, keyword: str) -> float | None:
    """The first value of an element, None where it is no finite number."""
    try:
        number = float(parts_of(elements, keyword)[0])
    except (ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def positive_of(elements: Elements, keyword: str) -> float | None:
    """The first value of an element, None where it is no positive number."""
    number = number_of(elements, keyword)
    return number if number is not None and number > 0 else None


def numbers_of(elements: Elements, keyword: str, count: int, reason: str) -> tuple[float, ...]:
    """Exactly `count` finite numbers.

    Raises:
        RefusedError: There are others; with this reason.
    """
    try:
        numbers = tuple(float(part) for part in parts_of(elements, keyword))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise RefusedError(reason, f"{keyword} is missing or malformed")
    return numbers
