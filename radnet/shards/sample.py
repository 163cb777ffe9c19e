"""One encoded slice on its way into a shard."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_SHARD_BYTES = 256 * 2**20
"""Largest size of a shard unless asked otherwise."""


@dataclass(frozen=True)
class Sample:
    """One slice, ready to be written.

    Attributes:
        image: Encoded slice (`.image.b2nd`), or the file of a picture (`.image.jpg`, `.image.png`).
        mask: Encoded mask slice (`.mask.b2nd`), or None.
        row: What the index and the `.json` member say of it, JSON values only; its `image_format` names the ending.
    """

    image: bytes
    mask: bytes | None
    row: Mapping[str, Any]
