"""Recipes from settings: every mistake in them is told to the person who wrote them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from radnet.errors import UsageError, did_you_mean

Recipe = TypeVar("Recipe")


def recipe_of(kind: type[Recipe], settings: Mapping[str, Any], where: str) -> Recipe:
    """A frozen dataclass from settings of the right names and types; lists become tuples.

    Args:
        kind: The dataclass.
        settings: Its fields; those left out keep their defaults.
        where: What these settings are of ("the SimCLR views"), for the message.

    Raises:
        UsageError: A setting is unknown, missing, or has a wrong value.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise UsageError(f"There is no such setting of {where}", seen=key, fix=did_you_mean(str(key), known))
    try:
        return TypeAdapter(kind).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"A setting of {where} is wrong: {name}: {first['msg']}", seen=first["input"], fix=f"Correct {name}"
        ) from error


def require(good: bool, what: str, seen: object, where: str, fix: str) -> None:
    """Refuse a value that has the right type but makes no sense.

    Args:
        good: Whether it makes sense.
        what: What must hold ("crop_scale is a range within 0 and 1").
        seen: The value.
        where: What the setting is of.
        fix: An example.

    Raises:
        UsageError: `good` is false.
    """
    if not good:
        raise UsageError(f"A setting of {where} is wrong: {what}", seen=seen, fix=fix)
