"""The names that data sets give to the sides of their splits."""

from collections.abc import Mapping
from types import MappingProxyType

from radnet.errors import UsageError

SIDES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training", "tr"), "train"),
        **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
        **dict.fromkeys(("test", "testing", "te"), "test"),
    }
)
"""Name in lower case -> side."""


def side_named(name: str) -> str | None:
    """The side of this name, or None."""
    return SIDES.get(name.strip().casefold())


def side_of(name: str, line: int, file: object) -> str:
    """The side of this name.

    Raises:
        UsageError: It is the name of none.
    """
    side = side_named(name)
    if side is None:
        raise UsageError(
            f"Line {line}: this is no side of a split", seen=name, file=str(file), fix="Known: train, val, test"
        )
    return side
