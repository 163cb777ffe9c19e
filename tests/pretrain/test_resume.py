"""A run that is killed, stopped or half lost goes on as if nothing had been."""

import signal
from pathlib import Path

import numpy as np
import pytest

from radnet.models import ModelName, load_model
from radnet.pretrain.registry import METHODS
from radnet.shards import ShardSet
from tests.pretrain.runs_for_tests import Launcher, losses, steps_logged, tiny, wait_for

KILLS = 5


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_five_kills_at_random_steps_leave_the_losses_and_the_weights_as_they_were(
    method: str, world_size: int, phantom_set: ShardSet, tmp_path: Path, launch: Launcher
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ranks = launch(tiny(method, phantom_set, whole), world_size)
    assert set(ranks.wait()) == {0}, ranks.text()
    steps = len(losses(whole))
    fallen = 0
    for step in sorted(np.random.default_rng(world_size).choice(np.arange(1, steps), KILLS, replace=False)):
        ranks = launch(tiny(method, phantom_set, killed), world_size)
        wait_for(lambda after=step: steps_logged(killed) >= after, ranks)  # type: ignore[misc]
        ranks.send(signal.SIGKILL)
        fallen += set(ranks.wait()) == {-signal.SIGKILL}
        assert not (killed / "export").exists()
    assert fallen == KILLS
    ranks = launch(tiny(method, phantom_set, killed), world_size)
    assert set(ranks.wait()) == {0}, ranks.text()
    assert "continued at step" in ranks.text()
    assert losses(killed) == losses(whole)
    first, second = (load_model(ModelName.parse(f"run:{run}")).weights_sha256 for run in (whole, killed))
    assert first == second
