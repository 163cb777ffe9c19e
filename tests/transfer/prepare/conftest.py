from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radnet.shards import ShardSet
from radnet.transfer.prepare import PrepareOptions, PrepareReport, prepare_task
from radnet.transfer.prepare.contract import PUBLIC_SECRET
from radnet.transfer.tasks import task_named

Prepare = Callable[..., tuple[PrepareReport, ShardSet]]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepare a set of a task from a source, with options."""

    def run(name: str, source: Path, *, out: str = "set", **options: Any) -> tuple[PrepareReport, ShardSet]:
        place = tmp_path / "made" / out
        report = prepare_task(task_named(name), source, place, PUBLIC_SECRET, PrepareOptions(**options))
        return report, ShardSet.open(place)

    return run
