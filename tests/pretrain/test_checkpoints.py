import errno
import pickle
from pathlib import Path

import pytest
import torch

from radnet.errors import RadnetError
from radnet.pretrain.checkpoints import Checkpoint, load_checkpoint, newest_checkpoint, save_checkpoint


def _checkpoint(step: int) -> Checkpoint:
    weights = {"w": torch.full((2,), float(step))}
    return Checkpoint(step, 64, {"epoch": 1, "step": 2}, weights, {"state": {}})


def test_the_newest_is_found_and_the_oldest_go(tmp_path: Path) -> None:
    for step in (5, 90, 1000):
        save_checkpoint(tmp_path, _checkpoint(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000090.pt", "step-000001000.pt"]
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    loaded = load_checkpoint(newest)
    assert (loaded.step, loaded.stream) == (1000, {"epoch": 1, "step": 2})
    assert torch.equal(loaded.method["w"], torch.full((2,), 1000.0))


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, _checkpoint(1), keep=1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RadnetError, match="disk is full"):
        save_checkpoint(tmp_path, _checkpoint(2), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]


def test_a_damaged_or_foreign_file_is_named_and_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(RadnetError, match="cannot be loaded"):
        load_checkpoint(path)

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(RadnetError, match="cannot be loaded"):
        load_checkpoint(path)
    assert not (tmp_path / "executed").exists()
