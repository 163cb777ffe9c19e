"""What the records say in plain sentences: where a model beats ImageNet weights, where nothing is shown, and why."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from radnet.leaderboard.comparisons import Verdict
from radnet.leaderboard.tables import Row, Table, task_labels

NOT_COMPARED = "not compared with ImageNet"
BEGINNINGS = {
    Verdict.BETTER: "beats ImageNet on",
    Verdict.WORSE: "loses to ImageNet on",
    Verdict.NO_DIFFERENCE: "no difference shown on",
    Verdict.TOO_FEW: "not enough patients to tell on",
}


@dataclass(frozen=True)
class Claim:
    """All that is known of one model under one protocol, fraction and condition.

    Attributes:
        model: Label of the model.
        arm: Its side of the comparison.
        protocol: Name of the protocol.
        fraction: Share of the training items.
        condition: What was done to the images, in words; empty for nothing.
        synthetic: Whether synthetic data take part.
        tasks: Verdict -> tasks with their difference ("liver (+0.021)"), in the order of tasks.
        uncompared: Tasks without a comparison.
    """

    model: str
    arm: str
    protocol: str
    fraction: float
    condition: str
    synthetic: bool
    tasks: dict[Verdict, tuple[str, ...]]
    uncompared: tuple[str, ...]

    @property
    def setting(self) -> str:
        """Protocol, fraction and condition in words."""
        words = f"{self.protocol}, {100 * self.fraction:g} % of the training items"
        return words + (f", {self.condition}" if self.condition else "")

    @property
    def sentence(self) -> str:
        """The claim without its subject ("beats ImageNet on …; no difference shown on …")."""
        parts = [
            f"{BEGINNINGS[verdict]} {_listed(self.tasks[verdict])}" for verdict in Verdict if verdict in self.tasks
        ]
        if self.uncompared:
            parts.append(f"{NOT_COMPARED} on {_listed(self.uncompared)}")
        return "; ".join(parts) + "."


def claims_of(tables: Iterable[Table]) -> list[Claim]:
    """One claim a model, protocol, fraction and condition; in-domain models first, random weights last.

    A model without any comparison under a setting makes no claim there.
    """
    tables = list(tables)
    labels = task_labels(tables)
    groups: dict[tuple[str, ...], list[tuple[Table, Row]]] = defaultdict(list)
    for table in tables:
        for row in table.rows:
            if row.available and row.model.arm != "imagenet":
                condition = table.condition.words if table.condition else ""
                order = str(("in-domain", "other", "random").index(row.model.arm))
                key = (
                    order,
                    row.label,
                    table.protocol.name,
                    table.protocol.hash,
                    f"{1 - table.fraction:.6f}",
                    condition,
                )
                groups[key].append((table, row))
    claims = [_claim(groups[key], labels) for key in sorted(groups)]
    return [claim for claim in claims if claim.tasks]


def _claim(found: list[tuple[Table, Row]], labels: Mapping[tuple[str, str], str]) -> Claim:
    tasks: dict[Verdict, list[str]] = defaultdict(list)
    uncompared = []
    for table, row in found:
        name = labels[table.task.name, table.task.manifest_hash]
        if row.comparison is None:
            uncompared.append(name)
        else:
            tasks[row.comparison.verdict].append(f"{name} ({row.comparison.value:+.3f})")
    table, row = found[0]
    return Claim(
        model=row.label,
        arm=row.model.arm,
        protocol=table.protocol.name,
        fraction=table.fraction,
        condition=table.condition.words if table.condition else "",
        synthetic=any(row.synthetic for _, row in found),
        tasks={verdict: tuple(names) for verdict, names in tasks.items()},
        uncompared=tuple(uncompared),
    )


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
