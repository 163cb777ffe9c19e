"""What a design could have seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from radnet.errors import RadnetError, UsageError
from radnet.transfer.statistics.bootstrap import Statistic, bootstrap_values, on_whole_set


def smallest_detectable(
    difference: Statistic,
    patients: NDArray[Any],
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    comparisons: int = 1,
    resamples: int = 2000,
    seed: int,
) -> float:
    """The smallest true difference that this design finds with the given power, two-sided.

    (t_{1 - alpha / 2m} + t_{power}) times the standard error of the paired difference, with P - 1 degrees of freedom
    (Bloom 1995, "Minimum Detectable Effects", Evaluation Review 19). The standard error is the bootstrap's on these
    test patients. Holm's correction tests the smallest p of a family of m at alpha / m, so that is what is asked of
    every comparison here; the later ones of a family have it easier. A null result with a large value here says that
    the test set was too small, not that the models are alike.

    Args:
        difference: Difference of the two models as a function of item weights.
        patients: Patient of each item, shape (N,).
        power: Probability with which the difference is to be found, above 0.5.
        alpha: Level of the family.
        comparisons: Number m of comparisons in the family.
        resamples: Bootstrap resamples.
        seed: Seed of the draws.

    Raises:
        UsageError: Power, level or number out of range.
        RadnetError: As `patient_bootstrap`.
    """
    if not (0.5 <= power < 1 and 0 < alpha < 1 and comparisons >= 1):
        raise UsageError(
            "Power lies in [0.5, 1), alpha in (0, 1), and a family has at least one comparison",
            seen={"power": power, "alpha": alpha, "comparisons": comparisons},
            fix="Take power 0.8, alpha 0.05",
        )
    _, count = on_whole_set(difference, patients)
    values = bootstrap_values(difference, patients, resamples=resamples, seed=seed)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise RadnetError("The difference is undefined on the resamples", fix="Use a task with more patients")
    error = float(np.sqrt(values.var() * count / (count - 1)))
    return float(stdtrit(count - 1, 1 - alpha / (2 * comparisons)) + stdtrit(count - 1, power)) * error
