"""Processes of one attempt meet, whatever earlier attempts left in the store that torchrun keeps."""

import os
import threading
from datetime import timedelta

import pytest
from torch import distributed

from radnet.pretrain import meeting
from radnet.pretrain.meeting import store_of_this_attempt

LONG, SHORT = timedelta(seconds=60), timedelta(seconds=4)


class Attempts:
    """Processes as threads, all on one store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, world_size: int) -> None:
        self.kept = distributed.HashStore()
        self._world_size = world_size
        self._rank = threading.local()
        monkeypatch.setattr(
            meeting, "rendezvous", lambda *_, **__: iter([(self.kept, self._rank.value, self._world_size)])
        )

    def meet(self, ranks: list[int], timeout: timedelta = LONG) -> dict[int, distributed.Store]:
        found: dict[int, distributed.Store] = {}

        def come(rank: int) -> None:
            self._rank.value = rank
            try:
                found[rank] = store_of_this_attempt(timeout)[0]
            except RuntimeError:
                assert timeout == SHORT

        threads = [threading.Thread(target=come, args=(rank,)) for rank in ranks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


def test_an_attempt_finds_nothing_of_the_ones_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", timedelta(seconds=0.2))
    attempts = Attempts(monkeypatch, 3)
    for number in range(4):
        found = attempts.meet([2, 1, 0] if number % 2 else [0, 1, 2])
        assert sorted(found) == [0, 1, 2]
        assert not any(store.check(["address"]) for store in found.values())
        found[0].set("address", str(number))
        assert {store.get("address") for store in found.values()} == {str(number).encode()}


def test_an_attempt_that_never_was_complete_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", timedelta(seconds=0.2))
    attempts = Attempts(monkeypatch, 3)
    assert attempts.meet([0, 1], SHORT).keys() <= {1}  # rank 2 was killed before it came
    assert sorted(attempts.meet([1, 2, 0])) == [0, 1, 2]


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "WORLD_SIZE" not in os.environ
    assert not Attempts(monkeypatch, 2).meet([1], SHORT)
