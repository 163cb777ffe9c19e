from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.pretrain.runs_for_tests import Launcher


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Bit-identical sums need one thread count, and two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launcher]:
    """Start `radnet pretrain` in processes of its own; whatever is left at the end is killed."""
    directory = tmp_path / "said"
    directory.mkdir()
    launcher = Launcher(directory)
    yield launcher
    for ranks in launcher.started:
        for process in ranks.processes:
            process.kill()
            process.join()
