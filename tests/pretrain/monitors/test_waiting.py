"""Speed, the share of waiting, and what is said about it."""

import pytest

from radnet.pretrain.monitors.waiting import Pace, verdict


def test_the_pace_is_that_of_the_steps_since_the_last_reset() -> None:
    pace = Pace()
    pace.add(9.0, 10.0, 1)
    pace.reset()
    for _ in range(4):
        pace.add(waited_s=0.1, spent_s=0.5, slices=64)
    assert pace.slices_per_s == pytest.approx(128)
    assert pace.waiting_share == pytest.approx(0.2)


def test_a_pace_without_steps_is_zero() -> None:
    assert (Pace().slices_per_s, Pace().waiting_share) == (0, 0)


@pytest.mark.parametrize(
    ("share", "workers", "cores", "ranks", "words"),
    [
        (0.01, 4, 8, 1, "compute-bound"),
        (0.05, 4, 8, 1, "balanced"),
        (0.4, 4, 8, 1, "input-bound: 40 % of the time is spent waiting for data; raise workers (now 4 a rank, 8 cores"),
        (0.4, 4, 8, 2, "use more cores"),
        (0.4, 0, 8, 1, "set workers"),
    ],
)
def test_the_verdict_names_what_would_help(share: float, workers: int, cores: int, ranks: int, words: str) -> None:
    assert words in verdict(share, workers=workers, cores=cores, ranks=ranks)
