"""Everything that turns predictions into statements: intervals, differences, corrections, power, and convergence.

`radnet.transfer.statistics.comparisons` builds on the metrics, which build on this package: import it by its name.
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
    "within_reach",
]
