"""Versions of the result record: how the content of an older file becomes that of today's version.

Every version has its JSON schema in `results/schema/`, and every step from one to the next a function here. A step
works on the bare JSON, never on the classes of `radnet.records`, so it stays right when those change again.
"""

import json
from collections.abc import Callable
from typing import Any, Final, Literal, NoReturn

SCHEMA_VERSION: Final[Literal[2]] = 2

Content = dict[str, Any]


class UnreadableRecordError(ValueError):
    """The file holds no content that could be a record.

    Args:
        why: What is wrong.
        fix: What mends it, where that is not to evaluate the cell again.
    """

    def __init__(self, why: str, fix: str | None = None) -> None:
        super().__init__(why)
        self.fix = fix


def content_of(data: bytes) -> Content:
    """The content of a record's file, brought to `SCHEMA_VERSION`; its fields are not checked.

    Args:
        data: The file's bytes.

    Raises:
        UnreadableRecordError: No JSON object, a key twice, NaN or infinity, a number or a text that cannot be written
            again, no version, or one from the future.
    """
    try:
        content = json.loads(data, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        # JSON can say more than a page can show: it is written once here, so that one file alone pays for it.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except UnreadableRecordError:
        raise
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecordError(f"the file is no JSON ({error})") from error
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UnreadableRecordError(f"a text holds {half!r}, which is half of a character") from error
    except ValueError as error:
        raise UnreadableRecordError(f"a number is larger than a record may hold ({error})") from error
    if not isinstance(content, dict):
        raise UnreadableRecordError(f"an object was expected, not {type(content).__name__}")
    return migrated(content)


def migrated(content: Content) -> Content:
    """The content of a record of any version as that of `SCHEMA_VERSION`; the argument is left as it was.

    Raises:
        UnreadableRecordError: It has no version, or one that this radnet does not know.
    """
    version = content.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UnreadableRecordError(f"schema_version: a number from 1 to {SCHEMA_VERSION} is needed, not {version!r}")
    if version > SCHEMA_VERSION:
        raise UnreadableRecordError(
            f"schema_version: it was written in version {version} by a later radnet; this one knows versions up to "
            f"{SCHEMA_VERSION}",
            fix="Update radnet and run the command again",
        )
    for step in range(version, SCHEMA_VERSION):
        content = STEPS[step](content) | {"schema_version": step + 1}
    return content


def _from_1_to_2(content: Content) -> Content:
    """Facts that stood as loose words in `selected` get fields: the overlap, and metrics without a value."""
    if not isinstance(content.get("selected"), dict):
        return dict(content)
    selected = dict(content["selected"])
    changed: Content = {"selected": selected}
    if isinstance(selected.get("pretraining_overlap"), str):
        changed["overlap"] = {"checked": False, "message": selected.pop("pretraining_overlap")}
    if isinstance(selected.get("undefined_metrics"), dict):
        changed["undefined"] = selected.pop("undefined_metrics")
    return {**content, **changed}


STEPS: dict[int, Callable[[Content], Content]] = {1: _from_1_to_2}
"""Version -> the step to the next one."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Content:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        shown = twice.encode(errors="backslashreplace").decode()
        raise UnreadableRecordError(f"{shown}: the key stands twice in one object")
    return content


def _no_constant(constant: str) -> NoReturn:
    raise UnreadableRecordError(f"{constant} is no number that a record may hold")
