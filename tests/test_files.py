import errno
import hashlib
from pathlib import Path

import pytest

from radnet.errors import RadnetError, UsageError
from radnet.files import HashingFile, new_directory, write_atomically


def test_a_directory_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_directory(out) as partial:
        (partial / "file").write_text("x")
        assert not out.exists()
    assert (out / "file").read_text() == "x"
    assert list(tmp_path.iterdir()) == [out]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fill_and_fail() -> None:
        with new_directory(tmp_path / "out") as partial:
            (partial / "file").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("whole")
    with pytest.raises(RuntimeError), new_directory(out, overwrite=True):
        raise RuntimeError
    assert (out / "old").read_text() == "whole"


def test_an_existing_directory_is_refused_and_the_flag_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="--overwrite"), new_directory(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_so(tmp_path: Path, number: int) -> None:
    with pytest.raises(RadnetError, match="disk is full"), new_directory(tmp_path / "out"):
        raise OSError(number, "full")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RadnetError, match="disk is full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_hashing_file_knows_the_hash_of_what_it_wrote(tmp_path: Path) -> None:
    file = HashingFile((tmp_path / "made").open("wb"))
    for piece in (b"a" * 5000, b"", b"b"):
        file.write(piece)
    path, sha256 = file.finish()
    assert path == tmp_path / "made"
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
