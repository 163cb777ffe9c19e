"""p values that several floors need: correction for many comparisons, and what an interval says about its p value."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

Z_95 = float(ndtri(0.975))
Z_POWER_80 = float(ndtri(0.8))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p values, in the order given (Holm 1979, Scandinavian Journal of Statistics 6).

    The correction controls the chance of any false finding in the family whatever the dependence between the tests.

    Args:
        p_values: p values of one family, each in [0, 1].

    Raises:
        ValueError: A value is no probability.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not bool(np.all((p >= 0) & (p <= 1))):
        raise ValueError(f"p values must be a flat sequence of numbers in [0, 1], not {p_values!r}")
    order = np.argsort(p, kind="stable")
    stepped = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in corrected]


def p_from_interval(value: float, low: float, high: float) -> float:
    """Approximate two-sided p value of a difference from its 95 % interval.

    Altman & Bland 2011, "How to obtain the P value from a confidence interval", BMJ 343:d2304: the interval's width
    gives the standard error, the ratio to it a z value.

    Args:
        value: The difference.
        low: Lower end.
        high: Upper end.

    Returns:
        p in [0, 1]; 1 for no difference, 0 where the interval has no width and the difference is not 0.
    """
    if value == 0:
        return 1.0
    error = (high - low) / (2 * Z_95)
    return float(2 * ndtr(-abs(value) / error)) if error > 0 else 0.0


def detectable_from_interval(low: float, high: float) -> float:
    """The smallest true difference that would be found with 80 % power at 5 %, from the width of a 95 % interval."""
    return (high - low) / (2 * Z_95) * (Z_95 + Z_POWER_80)


def mixed_degrees(seed_share: float, seeds: int, patients: int) -> float:
    """Degrees of freedom of a mean over seeds and patients: between the S - 1 of the seeds and the P - 1 of patients.

    1 / d is the mean of both 1 / d, weighted with their shares in the variance. Satterthwaite's rule (1946, Biometrics
    Bulletin 2) squares the shares, which trusts a share that was itself estimated from a few seeds too much (see
    `radnet.transfer.statistics.seeds`, which measured both).

    Args:
        seed_share: Part of the variance that is of the seeds, in [0, 1].
        seeds: Number of seeds S; one counts as two.
        patients: Number of patients P; fewer than two count as two.
    """
    return 1 / (seed_share / max(seeds - 1, 1) + (1 - seed_share) / max(patients - 1, 1))


def p_from_t(value: float, error: float, degrees: float) -> float:
    """Two-sided p value of a difference with its standard error, from the t distribution.

    Returns:
        p in [0, 1]; 1 for no difference, 0 where the error is 0 and the difference is not.
    """
    if value == 0:
        return 1.0
    return float(2 * stdtr(degrees, -abs(value) / error)) if error > 0 else 0.0


def t_reach(error: float, degrees: float) -> float:
    """Half the width of the 95 % interval that a standard error and the t distribution give."""
    return float(stdtrit(degrees, 0.975)) * error


def detectable_from_t(error: float, degrees: float) -> float:
    """The smallest true difference that would be found with 80 % power at 5 % (Bloom 1995, Evaluation Review 19)."""
    return float(stdtrit(degrees, 0.975) + stdtrit(degrees, 0.8)) * error
