"""What is wrong with a set, as `radnet.shards.verify` finds it."""

from dataclasses import dataclass

LONGEST_NAME = 60


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        file: Name of the file in the set's directory.
        sample: Key of the sample, or "" where the whole file is meant.
        what: What is wrong, a sentence without its full stop.
        note: Whether it does no harm to the set (a file that does not belong to it).
    """

    file: str
    sample: str
    what: str
    note: bool = False


def quoted(text: object) -> str:
    """A word from a file of unknown origin, on one line, without control characters, cut where it is long."""
    shown = repr(text)
    return shown if len(shown) <= LONGEST_NAME else shown[:LONGEST_NAME] + "…"
