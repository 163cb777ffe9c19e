import errno
import os
import pickle
import shutil
import subprocess
from concurrent import futures
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from radnet.errors import RadnetError
from radnet.pretrain.checkpoints import (
    Checkpoint,
    CheckpointWriter,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    newest_loadable,
    save_checkpoint,
    step_of,
)


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


def test_every_nth_stays_beside_the_newest(tmp_path: Path) -> None:
    for step in range(10, 80, 10):
        save_checkpoint(tmp_path, _checkpoint(step), keep=1, keep_every=30)
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == [30, 60, 70]


def test_what_is_written_beside_the_training_is_what_was_there_when_it_was_asked_for(tmp_path: Path) -> None:
    checkpoint = _checkpoint(3)
    writer = CheckpointWriter(tmp_path, keep=1)
    writer.save(checkpoint)
    checkpoint.method["w"].zero_()
    writer.wait()
    writer.close()
    newest = newest_loadable(tmp_path)
    assert newest is not None
    found = newest[1]
    assert torch.equal(found.method["w"], torch.full((2,), 3.0))


@pytest.mark.parametrize("ask", ["check", "wait", "save"])
def test_a_disk_that_fills_in_the_background_is_said_at_the_next_occasion(tmp_path: Path, ask: str) -> None:
    """On a file system of 100 KiB; the second checkpoint takes some 400."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        writer = CheckpointWriter(disk, keep=1)
        writer.save(_checkpoint(1))
        writer.wait()
        writer.save(replace(_checkpoint(2), method={"w": torch.zeros(100_000)}))
        if ask == "check":
            futures.wait([writer.writing])
        with pytest.raises(RadnetError, match="disk is full"):
            writer.save(_checkpoint(3)) if ask == "save" else getattr(writer, ask)()
        writer.close()
        assert [path.name for path in disk.iterdir()] == ["step-000000001.pt"]
        assert load_checkpoint(disk / "step-000000001.pt").step == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


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
