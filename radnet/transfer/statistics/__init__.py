"""Everything that turns predictions into statements: intervals, differences, corrections, power, and convergence.

Holm's correction of a family of comparisons is made where the whole family is known: `radnet.leaderboard.comparisons`.
"""

from radnet.transfer.statistics.bootstrap import (
    Statistic,
    bootstrap_values,
    expanded_tail,
    holm,
    mean_of_units,
    paired_difference,
    paired_p_value,
    patient_bootstrap,
    patient_draws,
    percentile_interval,
    seed_patient_bootstrap,
)
from radnet.transfer.statistics.convergence import flat_since, within_reach
from radnet.transfer.statistics.power import smallest_detectable
from radnet.transfer.statistics.seeds import SeedsAndPatients, nested_bootstrap

__all__ = [
    "SeedsAndPatients",
    "Statistic",
    "bootstrap_values",
    "expanded_tail",
    "flat_since",
    "holm",
    "mean_of_units",
    "nested_bootstrap",
    "paired_difference",
    "paired_p_value",
    "patient_bootstrap",
    "patient_draws",
    "percentile_interval",
    "seed_patient_bootstrap",
    "smallest_detectable",
    "within_reach",
]
