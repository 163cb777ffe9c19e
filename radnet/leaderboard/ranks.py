"""How far a rank can be trusted: the ranks of a table's rows when its test patients are drawn again.

Rows that were resampled on the same draws (`radnet.records.Resampled`) are ranked on each of them, so patients that
are hard for all rows do not count. Where a record kept no resamples, values are drawn from a normal distribution
with the row's interval instead, independently of the other rows; that overstates how often neighbours change places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radnet.pvalues import Z_95
from radnet.records import ResultRecord

if TYPE_CHECKING:
    from radnet.leaderboard.tables import Value

DRAWS = 400
"""Draws where records kept none."""

SEED = 20_230_630
"""Seed of those draws: a page is a function of its records alone."""


@dataclass(frozen=True)
class Stability:
    """Ranks of a row over the resamples.

    Attributes:
        low: Best rank of the middle 95 % of the resamples.
        high: Worst rank of the middle 95 %.
        first: Share of the resamples in which the row is best, or shares the first place.
        paired: Whether all rows were resampled together; otherwise the ranks come from the intervals alone.
    """

    low: int
    high: int
    first: float
    paired: bool


def stabilities(rows: Sequence[Sequence[ResultRecord]], values: "Sequence[Value]") -> list[Stability]:
    """Stability of each row's rank.

    Args:
        rows: Records (seeds) of each row.
        values: The primary metric of each row.
    """
    if not rows:
        return []
    shared = _shared_draws(rows)
    drawn = _from_intervals(values) if shared is None else shared
    # ties share the better rank, as in the table
    ranks = 1 + (drawn[None, :, :] > drawn[:, None, :]).sum(1)
    low, high = np.quantile(ranks, [0.025, 0.975], axis=1, method="closest_observation")
    first = (ranks == 1).mean(1)
    return [
        Stability(int(low[place]), int(high[place]), round(float(first[place]), 4), shared is not None)
        for place in range(len(rows))
    ]


def _shared_draws(rows: Sequence[Sequence[ResultRecord]]) -> NDArray[np.float64] | None:
    """Values of all rows on the same resamples, one seed after the other, (rows, draws); None where not to be had."""
    lines = []
    expected: list[tuple[str, int]] | None = None
    for records in rows:
        kept = [record.resampled for record in sorted(records, key=lambda record: record.seed) if record.resampled]
        draws = [(sampled.draws, len(sampled.values)) for sampled in kept]
        if len(draws) < len(records) or (expected is not None and draws != expected):
            return None
        expected = draws
        lines.append(np.concatenate([np.array(sampled.values, dtype=np.float64) for sampled in kept]))
    drawn: NDArray[np.float64] = np.stack(lines)
    drawn = drawn[:, np.isfinite(drawn).all(0)]
    return drawn if drawn.shape[1] > 1 else None


def _from_intervals(values: "Sequence[Value]") -> NDArray[np.float64]:
    noise = np.random.default_rng(SEED).standard_normal((len(values), DRAWS))
    centre = np.array([value.mean for value in values])
    error = np.array([(value.high - value.low) / (2 * Z_95) for value in values])
    return np.asarray(centre[:, None] + noise * error[:, None])
