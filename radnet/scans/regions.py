"""The body region of a scan, read from the free texts of its header.

Texts are compared by whole words, never by parts of words, so that "Darm" is no arm and "Alarm" neither. Capital
letters, underscores, hyphens and digits separate words ("ThoraxNativ", "CT_Abdomen-1.5"). Sides, contrast and all
other words do not matter.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from radnet.scans import region_words as words
from radnet.scans.scan import UNKNOWN_REGION

METADATA_SOURCE = "metadata.csv"
SEVERAL_REGIONS = "several"
NO_REGION = ""
FIELD_ORDER = (
    METADATA_SOURCE,
    "BodyPartExamined",
    "ProtocolName",
    "SeriesDescription",
    "StudyDescription",
    "RequestedProcedureDescription",
)
UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}
WORD = re.compile(r"[^\W\d_]+")
HUMP = re.compile(r"(?<=[a-zäöüß]{2})(?=[A-ZÄÖÜ])|(?<=[A-ZÄÖÜ]{2})(?=[A-ZÄÖÜ][a-zäöüß]{2})")
"""Between small letters and a capital, and before the last capital of many: ThoraxCT, CTThorax, but not cCT."""
LONGEST_PHRASE = 5


@dataclass(frozen=True)
class RegionMatch:
    """The outcome of a search.

    Attributes:
        region: One of `radnet.scans.scan.REGIONS`, or unknown.
        source: Name of the text that told; empty when unknown.
    """

    region: str = UNKNOWN_REGION
    source: str = ""


def body_region_of(texts: Mapping[str, str]) -> RegionMatch:
    """Find the body region that texts name.

    The texts are asked in the order of `FIELD_ORDER`. The first that names exactly one region decides. One that names
    several ("Thorax/Abdomen") ends the search with unknown: the scan shows more than one class.

    Args:
        texts: Name of a header field (or `METADATA_SOURCE`) -> its text.
    """
    for field in FIELD_ORDER:
        found = regions_in(texts.get(field, ""))
        if len(found) > 1 or SEVERAL_REGIONS in found:
            return RegionMatch()
        if found:
            return RegionMatch(next(iter(found)), field)
    return RegionMatch()


def regions_in(text: str) -> frozenset[str]:
    """All regions that a text names; `SEVERAL_REGIONS` among them for words such as "polytrauma"."""
    found: set[str] = set()
    adjective = False
    for region in _named(_split(text)):
        adjective |= region == "thorax_adjective"
        found.add(region)
    found -= {NO_REGION, "thorax_adjective"}
    if adjective and "spine" not in found:
        found.add("thorax")
    return frozenset(found)


def _split(text: str) -> list[str]:
    """Words in lower case, umlauts written out, split at capitals inside words that are otherwise small."""
    composed = unicodedata.normalize("NFKC", text)
    return [_plain(word) for part in HUMP.split(composed) for word in WORD.findall(part)]


def _plain(word: str) -> str:
    lower = word.lower()
    for umlaut, letters in UMLAUTS.items():
        lower = lower.replace(umlaut, letters)
    return lower


def _named(tokens: list[str]) -> Iterator[str]:
    """The region of each word or phrase, longest phrase first, each word used once."""
    table, settings = _table(), _setting_words()
    at = 0
    while at < len(tokens):
        for length in range(min(LONGEST_PHRASE, len(tokens) - at), 0, -1):
            region = table.get(" ".join(tokens[at : at + length]))
            if region is None:
                continue
            after = tokens[at + length] if at + length < len(tokens) else ""
            if after not in settings:
                yield region
            at += length
            break
        else:
            at += 1


@cache
def _table() -> Mapping[str, str]:
    """Every spelling of every word and phrase -> region."""
    table: dict[str, str] = {}
    for region, listed in (
        ("head_neck", words.HEAD_NECK),
        ("thorax", words.THORAX),
        ("thorax_adjective", words.THORAX_ADJECTIVES),
        ("abdomen", words.ABDOMEN),
        ("extremities", words.EXTREMITIES),
        ("hip_pelvis", words.HIP_PELVIS),
        ("spine", words.SPINE),
        (SEVERAL_REGIONS, words.SEVERAL),
    ):
        for word in listed.split():
            table |= dict.fromkeys(_spellings(word.replace("_", " ")), region)
    for region, phrases in words.PHRASES.items():
        for phrase in phrases.split(";"):
            table |= dict.fromkeys(_spellings(phrase.strip()), region)
    return table


@cache
def _setting_words() -> frozenset[str]:
    return frozenset(words.SETTING_WORDS.split())


def _spellings(phrase: str) -> set[str]:
    """With umlauts written out, and with their dots lost."""
    bare = phrase.translate(str.maketrans("äöü", "aou"))
    return {_plain(phrase), _plain(bare)}
