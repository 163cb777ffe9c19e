import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from radnet.errors import UsageError
from radnet.scans import keys
from radnet.scans.keys import load_secret

STARTS = 4


def loaded(path: Path, gate: Any, found: Any) -> None:
    """Load a secret which no process saw when it looked, as happens to builds that start together."""
    write_first = keys._write_first

    def all_at_once(path: Path, text: str) -> None:
        gate.wait(20)
        write_first(path, text)

    keys._write_first = all_at_once
    found.put(load_secret(path).secret)


def test_builds_that_start_together_take_one_secret(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    gate, found = fork.Barrier(STARTS), fork.Queue()
    path = tmp_path / "new" / "secret"
    starts = [fork.Process(target=loaded, args=(path, gate, found)) for _ in range(STARTS)]
    for start in starts:
        start.start()
    secrets = {found.get(timeout=30) for _ in starts}
    for start in starts:
        start.join()
    assert secrets == {load_secret(path).secret}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_another_process_wrote_first_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    first = load_secret(path).secret
    monkeypatch.setattr(Path, "exists", lambda self, **_: False)  # as it was when this process looked
    assert load_secret(path).secret == first


def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "secret"
    first = load_secret(path).secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys._write_first(path, "00" * 32)
    assert load_secret(path).secret == first


def test_a_file_that_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no digits")
    with pytest.raises(UsageError, match="holds no secret"):
        load_secret(tmp_path / "secret")
