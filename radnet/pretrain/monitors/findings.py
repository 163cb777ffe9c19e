"""Findings: what was seen, what it means, what to change; and how often to say so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from radnet.pretrain.monitors.advice import hints

Line = Mapping[str, float]
"""One line of `log.jsonl`."""


@dataclass(frozen=True)
class RunFacts:
    """What a diagnosis must know of a run besides its log.

    Attributes:
        settings: The run's settings as nested dictionaries.
        landmarks: See `Method.landmarks`.
        grace_steps: Steps in which a young network may look as if it learned nothing: the warm-up, or a twentieth of
            the run up to 2,000 steps, whichever is longer.
        window_steps: What lasts this many steps is no accident.
    """

    settings: Mapping[str, Any]
    landmarks: Mapping[str, float]
    grace_steps: int
    window_steps: int

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.settings["method"]["name"])


@dataclass(frozen=True)
class Finding:
    """Something about a run that its owner should know.

    Attributes:
        code: Short name, the same for the same kind of finding.
        step: Step at which it was made.
        seen: The numbers.
        means: What they mean.
        change: Settings to change, with their present values and the reason.
    """

    code: str
    step: int
    seen: str
    means: str
    change: tuple[str, ...]

    def text(self) -> str:
        """The finding as one paragraph."""
        advice = f" What to change: {'; '.join(self.change)}." if self.change else ""
        return f"{self.code} at step {self.step}: {self.seen}. {self.means}.{advice}"

    def as_line(self) -> dict[str, Any]:
        """The finding as a line of `diagnosis.jsonl`."""
        return {**vars(self), "change": list(self.change)}


def finding(code: str, step: int, seen: str, means: str, facts: RunFacts) -> Finding:
    """A finding with the hints that belong to it."""
    change = [hint.with_value(facts.settings) for hint in hints(code, facts.method)]
    return Finding(code, step, seen, means, tuple(one for one in change if one is not None))


@dataclass
class Bulletin:
    """Decides which findings are news: a new one at once, one that persists only after three times as many steps.

    Attributes:
        said: Finding code -> [step of the first report, step of the last one].
    """

    said: dict[str, list[int]] = field(default_factory=dict)

    def news(self, findings: list[Finding], window_steps: int) -> list[Finding]:
        """The findings worth reporting now.

        Args:
            findings: All that hold now.
            window_steps: Steps that a finding needs to be made.
        """
        fresh = []
        for one in findings:
            if one.code not in self.said:
                self.said[one.code] = [one.step, one.step]
                fresh.append(one)
                continue
            first, last = self.said[one.code]
            # 3, 12, 48, … windows after the first: often enough to be seen, seldom enough to be read
            if one.step - last >= 3 * max(last - first, window_steps):
                self.said[one.code] = [first, one.step]
                fresh.append(one)
        return fresh
