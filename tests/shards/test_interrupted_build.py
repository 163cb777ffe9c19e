"""A build that is killed at any moment goes on and gives the same bytes; two builds never share an output."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from radnet.errors import RadnetError, UsageError
from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards import assembly as assembly_module
from radnet.shards import build as build_module
from radnet.shards import workplace as workplace_module
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.parts import Part
from radnet.shards.sample import Sample
from radnet.shards.writer import ShardWriter
from tests.scans.dicom_factory import write_series

BUILD = """
import sys
from pathlib import Path
from radnet.scans.keys import KeyedHash
from radnet.shards.build import BuildSettings, build_shards
settings = BuildSettings(split_fractions=(0.6, 0.2, 0.2), shard_bytes=60_000)
build_shards(Path(sys.argv[1]), Path(sys.argv[2]), KeyedHash(bytes.fromhex(sys.argv[3])), settings,
             jobs=int(sys.argv[4]))
"""


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def steps(place: Path) -> int:
    return len(list(place.glob("journal/step-*.json")))


class Stopped(Exception):  # noqa: N818 - not an error, the test's own kill
    pass


@pytest.mark.parametrize("samples", [1, 7, 12, 13, 20, 29, 40, 47])
def test_a_build_stopped_after_any_sample_gives_the_same_bytes(
    archive: Path,
    built: Path,
    hasher: KeyedHash,
    settings: BuildSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    samples: int,
) -> None:
    add = ShardWriter.add

    def stop(writer: ShardWriter, sample: Sample) -> None:
        if len(writer) >= samples:
            raise Stopped
        add(writer, sample)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWriter, "add", stop)
        with pytest.raises(Stopped):
            build_shards(archive, tmp_path / "ct", hasher, settings)
    closed = steps(tmp_path / ".ct.partial") if (tmp_path / ".ct.partial").exists() else 0
    assert not (tmp_path / "ct").exists()
    encoded: list[int] = []
    parts = build_module._parts

    def counted(parallel: Any, series: Any, *others: Any) -> Iterator[Part]:
        encoded.append(len(series))
        return parts(parallel, series, *others)

    monkeypatch.setattr(build_module, "_parts", counted)
    build_shards(archive, tmp_path / "ct", hasher, settings)
    assert files_of(tmp_path / "ct") == files_of(built)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct"]
    done = ShardSet.open(built).index.iloc[: sum(s.samples for s in ShardSet.open(built).manifest.shards[:closed])]
    whole = done.groupby("series_key").size()
    assert encoded == [8 - int((whole == 6).sum())]  # what lies in closed shards is not read again


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_process(archive: Path, built: Path, hasher: KeyedHash, tmp_path: Path, jobs: int) -> None:
    """SIGKILL as soon as two shards are closed."""
    arguments = [sys.executable, "-c", BUILD, str(archive), str(tmp_path / "ct"), hasher.secret.hex(), str(jobs)]
    place = tmp_path / ".ct.partial"
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while process.poll() is None and steps(place) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(arguments, capture_output=True, text=True, check=not (tmp_path / "ct").exists())
    if done.returncode == 0:
        assert "going on with an unfinished build" in done.stderr
    assert files_of(tmp_path / "ct") == files_of(built)


def test_rejects_and_counts_survive(hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out before the kill is in the tables of the finished set."""
    for number in range(6):
        folder = tmp_path / "archive" / f"s{number}"
        write_series(
            folder, SeriesInstanceUID=f"1.2.{number}", StudyInstanceUID=f"1.2.{number}", PatientID=f"P{number % 2}"
        )
        cut = sorted(folder.iterdir())[0]
        cut.write_bytes(cut.read_bytes()[:-20])
    settings = BuildSettings(shard_bytes=11_000)
    whole = build_shards(tmp_path / "archive", tmp_path / "whole" / "ct", hasher, settings)
    assert whole.manifest.totals.dropped_slices == {"duplicate_slice": 15}
    finish = assembly_module.Assembly._finish_series

    def stop(self: assembly_module.Assembly, report: Any) -> None:
        finish(self, report)
        if self.next_series == 5:
            self.writer.close()
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(assembly_module.Assembly, "_finish_series", stop)
        with pytest.raises(Stopped):
            build_shards(tmp_path / "archive", tmp_path / "ct", hasher, settings)
    again = build_shards(tmp_path / "archive", tmp_path / "ct", hasher, settings)
    assert again.manifest.totals == whole.manifest.totals
    assert files_of(tmp_path / "ct") == files_of(tmp_path / "whole" / "ct")
    assert {reject.path for reject in again.rejects if reject.reason == "truncated"} == {
        reject.path for reject in whole.rejects if reject.reason == "truncated"
    }


def unfinished(
    archive: Path, out: Path, hasher: KeyedHash, settings: BuildSettings, monkeypatch: pytest.MonkeyPatch
) -> Path:
    add = ShardWriter.add

    def stop(writer: ShardWriter, sample: Sample) -> None:
        if len(writer) >= 30:
            raise Stopped
        add(writer, sample)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWriter, "add", stop)
        with pytest.raises(Stopped):
            build_shards(archive, out, hasher, settings)
    return out.parent / f".{out.name}.partial"


def test_another_build_is_not_continued_nor_thrown_away_unasked(
    archive: Path,
    built: Path,
    hasher: KeyedHash,
    settings: BuildSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = unfinished(archive, tmp_path / "ct", hasher, settings, monkeypatch)
    before = steps(place)
    for other_hasher, other_settings in (
        (KeyedHash(b"another secret of these 32 bytes"), settings),
        (hasher, BuildSettings(settings.split_fractions, settings.shard_bytes, every=2)),
    ):
        with pytest.raises(UsageError, match="other scans, settings or secret") as caught:
            build_shards(archive, tmp_path / "ct", other_hasher, other_settings)
        assert "--overwrite" in str(caught.value.fix)
        assert steps(place) == before
    build_shards(archive, tmp_path / "ct", hasher, BuildSettings(every=2), overwrite=True)
    assert ShardSet.open(tmp_path / "ct").manifest.totals.samples == 24
    assert not place.exists()


def test_the_journal_names_no_path(
    archive: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = unfinished(archive, tmp_path / "ct", hasher, settings, monkeypatch)
    texts = "".join(path.read_text() for path in place.glob("journal/*.json"))
    assert steps(place) > 1
    assert str(archive) not in texts
    assert all(
        not reject["path"]
        for path in place.glob("journal/step-*")
        for reject in json.loads(path.read_text())["rejects"]
    )


def test_a_torn_shard_behind_the_last_step_is_written_anew(
    archive: Path,
    built: Path,
    hasher: KeyedHash,
    settings: BuildSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = unfinished(archive, tmp_path / "ct", hasher, settings, monkeypatch)
    (place / f"ct-{steps(place):06d}.tar").write_bytes(b"torn" * 40_000)
    (place / "journal" / f"rows-{steps(place):06d}.parquet").write_bytes(b"torn")
    build_shards(archive, tmp_path / "ct", hasher, settings)
    assert files_of(tmp_path / "ct") == files_of(built)


def stopped(*_: Any, **__: Any) -> None:
    raise Stopped


def killed_at(change: int, module: Any, function: str, build: Callable[[], object]) -> bool:
    """Whether a build in a process of its own died at the change of a directory of this number.

    Changes are renames and deletions; they count from the call of `module.function` on, until the build is done, or
    until the function is where it is one of the workplace's.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    try:
        called, left = getattr(module, function), [0]

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def change_one(*arguments: Any, **options: Any) -> Any:
                done = real(*arguments, **options)
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
                return done

            return change_one

        def armed(*arguments: Any, **options: Any) -> Any:
            left[0] = change
            done = called(*arguments, **options)
            if module is workplace_module:
                os._exit(0)
            return done

        for name in ("unlink", "rmdir", "rename", "replace"):
            setattr(os, name, counted(getattr(os, name)))
        setattr(module, function, armed)
        build()
    finally:
        os._exit(0)


def test_a_build_killed_at_any_moment_of_its_end_gives_the_same_bytes(
    archive: Path, built: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    """No part of the journal is ever taken for the whole, and no closed shard is lost."""
    with monkeypatch.context() as patched:
        patched.setattr(build_module, "finish_set", stopped)
        with pytest.raises(Stopped):
            build_shards(archive, tmp_path / "kept" / "ct", hasher, settings)
    place = tmp_path / "kept" / ".ct.partial"
    for change in range(1, 100):
        out = tmp_path / str(change) / "ct"
        shutil.copytree(place, out.parent / place.name)
        if not killed_at(change, build_module, "finish_set", partial(build_shards, archive, out, hasher, settings)):
            break
        capfd.readouterr()
        if out.exists():
            with pytest.raises(UsageError, match="exists"), workplace_module.workplace(out, {}):
                pass
        else:
            build_shards(archive, out, hasher, settings)
            assert "going on with" in capfd.readouterr().err
        assert files_of(out) == files_of(built)
        assert [path.name for path in out.parent.iterdir()] == ["ct"]
    assert change > steps(place)


def test_a_build_killed_while_it_throws_another_one_away(
    archive: Path, built: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path, monkeypatch: Any
) -> None:
    """Neither the one nor the other goes on from what was being deleted."""
    place = unfinished(archive, tmp_path / "kept" / "ct", hasher, settings, monkeypatch)
    for change in range(1, 100):
        out = tmp_path / str(change) / "ct"
        shutil.copytree(place, out.parent / place.name)
        other = partial(build_shards, archive, out, hasher, BuildSettings(every=2), overwrite=True)
        if not killed_at(change, workplace_module, "_begin", other):
            break
        build_shards(archive, out, hasher, settings)
        assert files_of(out) == files_of(built)
        assert [path.name for path in out.parent.iterdir()] == ["ct"]
    assert change > steps(place)


@pytest.mark.parametrize("lost", ["step-000001.json", "rows-000000.parquet", "build.json"])
def test_a_journal_with_a_gap_is_no_journal(
    archive: Path,
    built: Path,
    hasher: KeyedHash,
    settings: BuildSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lost: str,
) -> None:
    place = unfinished(archive, tmp_path / "ct", hasher, settings, monkeypatch)
    assert steps(place) > 2
    (place / "journal" / lost).unlink()
    build_shards(archive, tmp_path / "ct", hasher, settings)
    assert "begins anew" in capsys.readouterr().err
    assert files_of(tmp_path / "ct") == files_of(built)


def test_two_builds_at_once(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".ct.lock")
    with lock, pytest.raises(UsageError, match="Another build is writing"):
        build_shards(archive, tmp_path / "ct", hasher)
    build_shards(archive, tmp_path / "ct", hasher)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct"]


def test_the_lock_disappears_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its file may be that of the next build when it is deleted, and a third build would lock another one."""
    release, there = FileLock.release, []

    def looked(lock: FileLock, force: bool = False) -> None:
        there.append(Path(lock.lock_file).exists())
        release(lock, force)

    monkeypatch.setattr(FileLock, "release", looked)
    with workplace_module.workplace(tmp_path / "ct", {}):
        pass
    assert there[:1] == [False]


def test_two_processes_at_once(archive: Path, built: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    """One of them makes the set, the other one says why not."""
    arguments = [sys.executable, "-c", BUILD, str(archive), str(tmp_path / "ct"), hasher.secret.hex(), "1"]
    both = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    failed = next(error for process, error in zip(both, errors, strict=True) if process.returncode)
    assert "Another build is writing" in failed or "exists and is not empty" in failed
    assert files_of(tmp_path / "ct") == files_of(built)


def test_a_full_disk_keeps_the_closed_shards(
    archive: Path,
    built: Path,
    hasher: KeyedHash,
    settings: BuildSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = ShardWriter.add

    def full(writer: ShardWriter, sample: Sample) -> None:
        if len(writer) >= 30:
            raise OSError(28, "No space left on device")
        add(writer, sample)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWriter, "add", full)
        with pytest.raises(RadnetError, match="finished shards are kept"):
            build_shards(archive, tmp_path / "ct", hasher, settings)
    build_shards(archive, tmp_path / "ct", hasher, settings)
    assert files_of(tmp_path / "ct") == files_of(built)
