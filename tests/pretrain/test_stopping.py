"""Who is left behind when torchrun ends, and two processes at one run."""

import os
import threading
import time
from pathlib import Path

import pytest

from radnet.errors import UsageError
from radnet.locks import waiting_lock
from radnet.pretrain import claim, stopping
from radnet.pretrain.run import pretrain
from radnet.shards import ShardSet
from tests.pretrain.runs_for_tests import losses, tiny


@pytest.mark.parametrize("is_there", [True, False])
def test_a_process_notices_that_its_torchrun_has_gone(is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "LOOK_EVERY_S", 0.01)
    with stopping.listening(os.getppid() if is_there else os.getpid()) as stop:
        until_s = time.monotonic() + (0.2 if is_there else 20)
        while stop.by is None and time.monotonic() < until_s:
            time.sleep(0.01)
    assert stop.by == (None if is_there else "the end of its torchrun")


def test_a_run_that_another_process_is_at_is_refused_in_the_end(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PATIENCE_S", 0.2)
    run = tmp_path / "run"
    with (
        waiting_lock(run / claim.LOCK, "this run"),
        pytest.raises(UsageError, match="Another process makes this run") as refusal,
    ):
        pretrain(tiny("simclr", phantom_set, run))
    assert str(run) in str(refusal.value)
    assert list(run.iterdir()) == []


def test_a_run_waits_for_one_that_is_leaving(phantom_set: ShardSet, tmp_path: Path) -> None:
    run, held = tmp_path / "run", threading.Event()

    def leave() -> None:
        with waiting_lock(run / claim.LOCK, "this run"):
            held.set()
            time.sleep(1.5)

    leaving = threading.Thread(target=leave)
    leaving.start()
    held.wait(20)
    pretrain(tiny("simclr", phantom_set, run, "epochs=1", "schedule.warmup_epochs=0"))
    leaving.join()
    assert len(losses(run)) == 9
    assert not (run / claim.LOCK).exists()
