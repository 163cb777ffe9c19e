from itertools import pairwise

import pytest

from radnet.pretrain.schedules import warmup_cosine


def test_it_climbs_to_the_peak_and_ends_at_the_final_value() -> None:
    values = [warmup_cosine(step, total=100, warmup=10, peak=2.0, final=0.5) for step in range(101)]
    assert values[0] == pytest.approx(0.2)
    assert values[9] == values[10] == pytest.approx(2.0)
    assert values[55] == pytest.approx((2.0 + 0.5) / 2)
    assert values[100] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(values[10:]))


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert warmup_cosine(0, total=10, warmup=0, peak=1.0) == 1.0
