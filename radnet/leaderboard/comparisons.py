"""Every row held against the ImageNet row of its table: paired difference, Holm-adjusted p value, verdict.

The reference of a row is the ImageNet row of the same architecture; where there is none, the best ImageNet row that
the record has a difference to. The family of Holm's correction is stated by `FAMILY`.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from radnet.pvalues import (
    Z_95,
    detectable_from_interval,
    detectable_from_t,
    holm,
    mixed_degrees,
    p_from_interval,
    p_from_t,
    t_reach,
)
from radnet.records import Difference

if TYPE_CHECKING:
    from radnet.leaderboard.tables import Row, Table

ALPHA = 0.05
MARGIN = 0.05
"""A design that cannot find a difference of this size says nothing about smaller ones."""

FEWEST_PATIENTS = 20
"""With fewer test patients neither a missing difference nor one that was found means anything."""

FAMILY = (
    "A family holds the rows of trained models (random weights are another family) that are held against ImageNet "
    "under one protocol, fraction and condition, over all tasks."
)


class Verdict(StrEnum):
    """What a comparison with ImageNet shows."""

    BETTER = "better than ImageNet"
    WORSE = "worse than ImageNet"
    NO_DIFFERENCE = "no difference shown"
    TOO_FEW = "not enough patients to tell"


@dataclass(frozen=True)
class Comparison:
    """One row against its ImageNet row, on the same test patients.

    Attributes:
        reference: Name of the ImageNet row.
        value: Difference of the primary metric; of several seeds the mean.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p value, uncorrected.
        p_holm: Corrected within the family.
        tested: Whether p is that of a test in the record; otherwise it comes from the width of the intervals.
        detectable: Smallest difference that the design finds with 80 % power.
        patients: Test patients.
        family: Number of comparisons in the family.
    """

    reference: str
    value: float
    low: float
    high: float
    p: float
    tested: bool
    detectable: float
    patients: int
    p_holm: float = 1.0
    family: int = 1

    @property
    def verdict(self) -> Verdict:
        """What it shows at 5 % in the family; with too few patients nothing, however small p is."""
        if self.patients < FEWEST_PATIENTS:
            return Verdict.TOO_FEW
        if self.p_holm <= ALPHA:
            return Verdict.BETTER if self.value > 0 else Verdict.WORSE
        return Verdict.TOO_FEW if self.detectable > MARGIN else Verdict.NO_DIFFERENCE


def compare(tables: Sequence["Table"]) -> list["Table"]:
    """The tables with every row's comparison, p values corrected within families."""
    found: dict[tuple[int, int], Comparison] = {}
    families: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, table in enumerate(tables):
        for place, row in enumerate(table.rows):
            comparison = _comparison(row, table)
            if comparison is not None:
                found[number, place] = comparison
                condition = "" if table.condition is None else table.condition.words
                key = (row.model.arm == "random", table.protocol.name, table.protocol.hash, table.fraction, condition)
                families[key].append((number, place))
    for members in families.values():
        corrected = holm([found[member].p for member in members])
        for member, p_holm in zip(members, corrected, strict=True):
            found[member] = replace(found[member], p_holm=p_holm, family=len(members))
    return [
        replace(
            table,
            rows=tuple(replace(row, comparison=found.get((number, place))) for place, row in enumerate(table.rows)),
        )
        for number, table in enumerate(tables)
    ]


def _comparison(row: "Row", table: "Table") -> Comparison | None:
    if row.model.arm == "imagenet" or not row.available:
        return None
    reference = _reference(row, table)
    if reference is None:
        return None
    name = f"{table.task.metric} vs {reference.model.name}"
    seeds = [record.differences[name] for record in row.records if record.differences and name in record.differences]
    patients = [record.counts.test_patients for record in row.records if record.counts is not None]
    return over_seeds(reference.label, seeds, min(patients, default=0))


def _reference(row: "Row", table: "Table") -> "Row | None":
    """The ImageNet row to compare with; among equals the best ranked one."""
    known = {name for record in row.records for name in record.differences or {}}
    candidates = [
        other
        for other in table.rows
        if other.model.arm == "imagenet" and other.available and f"{table.task.metric} vs {other.model.name}" in known
    ]
    same = [other for other in candidates if other.model.architecture == row.model.architecture]
    return next(iter(same or candidates), None)


def over_seeds(reference: str, seeds: Sequence[Difference], patients: int) -> Comparison:
    """One comparison from the differences of all seeds.

    Several seeds share their test patients, so what the patients add to the variance of the mean difference does not
    shrink with the number of seeds, while what the seeds add does: by the law of total variance the former is the mean
    of the seeds' own variances, the latter their spread divided by their number.

    Interval and p value are of the t distribution, whose degrees of freedom lie between those of the seeds and those
    of the patients (`mixed_degrees`, the rule of `radnet.transfer.statistics.seeds`): a spread seen on three seeds is
    no known one, and normal quantiles called a difference of nothing significant at 5 % in 18 % of simulated rows of
    three seeds. A seed's variance is read from its interval with the normal quantile (Altman & Bland 2011, BMJ
    343:d2304). Intervals of few patients were widened when they were made, so this errs towards a larger variance, by
    3 % of the error at 40 patients and 7 % at 20.

    p is never below the smallest p that a seed's own test gave. Those tests are exact for the choice of patients
    whatever the distribution (randomisation), and other seeds bring no other patients; what comes from the width of an
    interval knows nothing of how few ways there are to exchange the labels of four patients. The larger of a valid p
    and anything is valid, so this may cost power and never adds a finding.

    Under no difference p <= 0.05 in at most 5.7 % of the simulated rows (4 to 40 patients, 3 or 5 seeds, patients or
    seeds dominating), and p <= 0.005 in at most 1.1 %. Two seeds that dominate reach 8.5 % and 4 %: by chance they
    often lie close together, and nothing in them says so. Three seeds are the fewest to be trusted.

    Args:
        reference: Label of the ImageNet row.
        seeds: The difference of each seed, on the same test patients.
        patients: Number of these patients.
    """
    if len(seeds) == 1:
        (only,) = seeds
        p = p_from_interval(only.value, only.low, only.high) if only.p is None else only.p
        value, low, high, tested = only.value, only.low, only.high, only.p is not None
        detectable = detectable_from_interval(low, high) if only.detectable is None else only.detectable
    else:
        values = sorted(seed.value for seed in seeds)
        value, tested = statistics.fmean(values), False
        of_patients = statistics.fmean(sorted(((seed.high - seed.low) / (2 * Z_95)) ** 2 for seed in seeds))
        of_seeds = statistics.variance(values) / len(values)
        variance = of_patients + of_seeds
        error = math.sqrt(variance)
        degrees = mixed_degrees(of_seeds / variance if variance > 0 else 0.0, len(seeds), patients)
        low, high = value - t_reach(error, degrees), value + t_reach(error, degrees)
        p = max(p_from_t(value, error, degrees), min((seed.p for seed in seeds if seed.p is not None), default=0.0))
        detectable = detectable_from_t(error, degrees)
    return Comparison(
        reference=reference,
        value=value,
        low=low,
        high=high,
        p=p,
        tested=tested,
        detectable=detectable,
        patients=patients,
    )
