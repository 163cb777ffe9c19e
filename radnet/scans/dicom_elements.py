"""Single values of a DICOM data set, or of one frame of it, as plain Python values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Protocol

from pydicom import Dataset
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import AMBIGUOUS_VR

from radnet.scans.sources import RefusedError

SHORT_BYTES = 256
"""Values up to here are remembered."""


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
        return self.own[key] if key in self.own else value_of(self.dataset, key)


def value_of(elements: Elements, keyword: str) -> Any:
    """The value of an element, None when it is missing or cannot be understood."""
    try:
        if isinstance(elements, Dataset):  # by tag, which spares pydicom to look the keyword up several times
            element = elements.get(tag_of(keyword))
            return None if element is None else element.value
        return elements.get(keyword)
    except Exception:  # the conversion of a malformed value can raise anything
        return None


@cache
def tag_of(keyword: str) -> BaseTag:
    """The tag of a keyword of the standard."""
    return Tag(keyword)


def parts_of(elements: Elements, keyword: str) -> Sequence[str]:
    """The values of an element as texts."""
    if isinstance(elements, Dataset):
        tag = tag_of(keyword)
        try:
            raw = elements.get_item(tag)
        except Exception:  # it is not there, or is empty and of a representation that does not exist
            return ()
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) and len(raw.value) <= SHORT_BYTES:
            charset = elements.original_character_set
            said = charset if isinstance(charset, str) else tuple(charset)
            parts = _parts_of_raw(tag, raw.VR, raw.value, raw.is_implicit_VR, raw.is_little_endian, said)
            if parts is not None:
                return parts
    return _as_parts(value_of(elements, keyword))


def _as_parts(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    is_list = not isinstance(value, str) and hasattr(value, "__iter__")
    return tuple(str(part) for part in value) if is_list else (str(value),)


@lru_cache(maxsize=4096)
def _parts_of_raw(
    tag: BaseTag, vr: str | None, value: bytes, implicit: bool, little: bool, charset: str | tuple[str, ...]
) -> Sequence[str] | None:
    """The values of an element by its bytes: most are the same in all slices of a series, and conversion takes long.

    Returns:
        Empty when the bytes cannot be understood; None when other elements decide what they mean.
    """
    try:
        raw = RawDataElement(tag, vr, len(value), value, 0, implicit, little)
        element = convert_raw_data_element(raw, encoding=charset if isinstance(charset, str) else list(charset))
        return None if element.VR in AMBIGUOUS_VR or element.VR == "SQ" else _as_parts(element.value)
    except Exception:  # as in `value_of`
        return ()


def text_of(elements: Elements, keyword: str) -> str:
    """The values of an element as one text."""
    return " ".join(parts_of(elements, keyword)).strip()


def number_of(elements: Elements, keyword: str) -> float | None:
    """The first value of an element, None where it is no finite number."""
    try:
        number = float(parts_of(elements, keyword)[0])
    except (ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None


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
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise RefusedError(reason, f"{keyword} is missing or malformed")
    return numbers
