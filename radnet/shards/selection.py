"""Which series of an archive enter a set: rules on their tags, as `--include` and `--exclude` take them."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase

from radnet.errors import UsageError, did_you_mean
from radnet.scans.scan import ScanTags
from radnet.scans.sources import SeriesSource

LABEL_PREFIX = "label_"
NUMBERS = ("slices", "kvp", "slice_thickness_mm")
TAGS = ("modality", "slices", *(field.name for field in fields(ScanTags)))
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_RULE = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|=)\s*(.*?)\s*")


@dataclass(frozen=True)
class Rule:
    """One rule on one tag.

    Attributes:
        tag: One of `TAGS`, or `label_NAME`.
        comparison: "=" or one of < > <= >=.
        value: A number; for "=" patterns (`*` and `?`, letters of any case) of which one must fit, joined by commas.
    """

    tag: str
    comparison: str
    value: str

    def fits(self, source: SeriesSource) -> bool:
        """Whether a series keeps the rule; where it does not say, it does not."""
        values = _values(source, self.tag)
        if self.comparison != "=":
            return any(_COMPARISONS[self.comparison](float(value), float(self.value)) for value in values)
        patterns = [pattern.strip().casefold() for pattern in self.value.split(",")]
        return any(fnmatchcase(value.casefold(), pattern) for value in values for pattern in patterns)


def parse_rule(text: str, flag: str = "--include") -> Rule:
    """A rule as a person types it: `kernel=B3*,B4*`, `slice_thickness_mm<=3`, `label_study=a`.

    Args:
        text: The rule.
        flag: Where it stood, for the message.

    Raises:
        UsageError: It is no rule, or of no tag.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(f"{flag} takes TAG=PATTERN or TAG<NUMBER", seen=text, fix=f"For example {flag} 'kernel=B3*'")
    tag, comparison, value = match.groups()
    if tag not in TAGS and not tag.startswith(LABEL_PREFIX):
        raise UsageError(f"{flag} names no tag of a series", seen=tag, fix=did_you_mean(tag, (*TAGS, "label_NAME")))
    if comparison != "=":
        if tag not in NUMBERS:
            raise UsageError(f"{tag} is no number", seen=text, fix=f"Use {tag}=PATTERN; numbers: {', '.join(NUMBERS)}")
        try:
            float(value)
        except ValueError as error:
            raise UsageError(f"{flag} compares with no number", seen=text, fix=f"For example {tag}<=3") from error
    return Rule(tag, comparison, value)


def selected(source: SeriesSource, include: Sequence[Rule], exclude: Sequence[Rule]) -> bool:
    """Whether a series keeps every rule of `include` and none of `exclude`."""
    return all(rule.fits(source) for rule in include) and not any(rule.fits(source) for rule in exclude)


def _values(source: SeriesSource, tag: str) -> list[str]:
    """What a series says under a tag, as texts; nothing where it is not known."""
    if tag.startswith(LABEL_PREFIX):
        name = tag.removeprefix(LABEL_PREFIX)
        return [value for label, value in source.labels if label == name]
    value = getattr(source, tag) if tag in ("modality", "slices") else getattr(source.tags, tag)
    if isinstance(value, tuple):
        return [str(part) for part in value]
    if value is None or value == "":
        return []
    return [str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)]
