"""The study's question asked again of its own runs: RadNet weights against ImageNet weights, arms as they were trained.

Only arms that were really trained are compared, run against run, with Welch's test (repeats are independent
trainings) and, where both arms used the same seeds, the paired t test beside it. p values are Holm-corrected in the
family that `FAMILY` states. Cells that are withheld belong to the family too: their p values are taken as 1, so a
corrected p value here is never smaller than with all values known.

Repeats differ in their seed alone; one pretrained checkpoint stands for each arm and slices of one scan for many
items, so these p values are about finetuning seeds and claim more than the study can know.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from radnet.leaderboard.published.study import CellKey, Run, Study, base_task, primary_metrics
from radnet.pvalues import holm

REFERENCE = "SimCLR_I1k"
ARMS = ("SimCLR_R", "SimCLR_RF")
EXPERIMENTS = ("E1", "E2", "E4")
CT_TASKS = ("R", "LiTS")
ALPHA = 0.05

FAMILY = (
    "The family holds every primary metric of every task in E1, E2 and E4, SimCLR_R and SimCLR_RF each against "
    "SimCLR_I1k. A second family holds those of them on CT (R and LiTS)."
)


@dataclass(frozen=True)
class Test:
    """One comparison of the family.

    Attributes:
        cell: Cell of the arm.
        metric: The metric.
        meaning: It in words.
        ct: Whether the task is on CT.
        difference: Mean of the arm less mean of ImageNet; None when either is withheld.
        low: Lower end of its 95 % interval (Welch).
        high: Upper end.
        welch: p value of Welch's test.
        paired: p value of the paired t test, None when the seeds differ.
        welch_holm: Holm-corrected in the whole family.
        paired_holm: The same of the paired test.
        welch_holm_ct: Holm-corrected in the family of CT, None elsewhere.
        runs: Runs of the arm and of ImageNet.
    """

    cell: CellKey
    metric: str
    meaning: str
    ct: bool
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    welch: float | None = None
    paired: float | None = None
    welch_holm: float | None = None
    paired_holm: float | None = None
    welch_holm_ct: float | None = None
    runs: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Analysis:
    """All tests of the family.

    Attributes:
        tests: Every comparison, withheld ones without numbers.
    """

    tests: tuple[Test, ...]

    @property
    def known(self) -> list[Test]:
        """Comparisons whose values are all public."""
        return [test for test in self.tests if test.difference is not None]

    def survivors(self, *, ct: bool = False) -> list[Test]:
        """Comparisons that survive Holm's correction of Welch's test at 5 %."""
        return [
            test
            for test in self.tests
            if (p := test.welch_holm_ct if ct else test.welch_holm) is not None and p <= ALPHA
        ]

    def sentence(self, *, ct: bool = False) -> str:
        """The outcome in a plain sentence."""
        tests = [test for test in self.tests if test.ct or not ct]
        known = [test for test in tests if test.difference is not None]
        survivors = self.survivors(ct=ct)
        ours = sum(1 for test in survivors if (test.difference or 0) > 0)
        withheld = len(tests) - len(known)
        missing = f"; {withheld} are withheld and count as p = 1" if withheld else ""
        where = " on CT" if ct else ""
        return (
            f"Of {len(tests)} comparisons{where}, {len(known)} can be tested{missing}. "
            f"{len(survivors)} survive{'s' if len(survivors) == 1 else ''} Holm's "
            f"correction at 5 %: {len(survivors) - ours} in favour of ImageNet, {ours} in favour of RadNet."
        )


def analyse(study: Study) -> Analysis:
    """Test every comparison of the family."""
    planned = {plan.cell for plan in study.plans}
    tests = []
    for plan in study.plans:
        cell = plan.cell
        reference = replace(cell, pretraining=REFERENCE)
        if cell.experiment in EXPERIMENTS and cell.pretraining in ARMS and reference in planned:
            for metric, meaning in primary_metrics(cell.task).items():
                own, other = study.values(cell, metric), study.values(reference, metric)
                tests.append(_test(cell, metric, meaning, own, other))
    welch = _corrected([test.welch for test in tests])
    paired = _corrected([test.paired for test in tests])
    inside = iter(_corrected([test.welch for test in tests if test.ct]))
    return Analysis(
        tuple(
            replace(test, welch_holm=one, paired_holm=two, welch_holm_ct=next(inside) if test.ct else None)
            for test, one, two in zip(tests, welch, paired, strict=True)
        )
    )


def _test(cell: CellKey, metric: str, meaning: str, own: Sequence[Run], other: Sequence[Run]) -> Test:
    test = Test(cell, metric, meaning, base_task(cell.task) in CT_TASKS, runs=(len(own), len(other)))
    if len(own) < 2 or len(other) < 2:
        return test
    a, b = [run.value for run in own], [run.value for run in other]
    difference = statistics.fmean(a) - statistics.fmean(b)
    if statistics.stdev(a) == statistics.stdev(b) == 0:  # no spread, no test
        return replace(test, difference=difference, low=difference, high=difference, welch=1.0)
    welch = stats.ttest_ind(a, b, equal_var=False)
    interval = welch.confidence_interval(0.95)
    paired = None
    if [run.seed for run in own] == [run.seed for run in other]:
        p = float(stats.ttest_rel(a, b).pvalue)
        paired = p if p == p else None
    return replace(
        test,
        difference=difference,
        low=float(interval.low),
        high=float(interval.high),
        welch=float(welch.pvalue),
        paired=paired,
    )


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm within the whole family, unknown p values taken as 1."""
    corrected = holm([1.0 if p is None else p for p in p_values])
    return [None if p is None else one for p, one in zip(p_values, corrected, strict=True)]
