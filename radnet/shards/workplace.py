"""The hidden directory in which a set grows, one build at a time, and which outlives a killed build.

`.NAME.partial` beside the set holds closed shards and, in `journal/`, what is needed to go on: a file that says which
build this is (`build.json`), one step a closed shard, its rows. `spool/` holds what workers have encoded.

A journal is whole or not there: what is done with is renamed to `.NAME.discarded` in one step and deleted there, so a
kill in between never leaves some of the steps to go on from.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from radnet.console import say, warn
from radnet.errors import UsageError
from radnet.files import explained_disk_errors, move_into_place, require_new_directory, write_atomically
from radnet.hashing import settings_hash
from radnet.shards.writer import fragment_path

JOURNAL, SPOOL, BUILD, DISCARDED = "journal", "spool", "build.json", "discarded"


@dataclass(frozen=True)
class Workplace:
    """Where one build works.

    Attributes:
        path: The directory that becomes the set.
        discarded: Where what is done with goes to be deleted.
    """

    path: Path
    discarded: Path

    @property
    def journal(self) -> Path:
        """Directory of everything that the set does not hold in the end."""
        return self.path / JOURNAL

    @property
    def spool(self) -> Path:
        """Directory of encoded series on their way into shards."""
        return self.path / SPOOL

    def steps(self) -> list[dict[str, Any]]:
        """What was written down after each closed shard, in order."""
        return [json.loads(self._step(number).read_text()) for number in range(self.closed_shards())]

    def add_step(self, number: int, step: dict[str, Any]) -> None:
        """Write down that shard `number` is closed; from now on it survives a kill."""
        write_atomically(self._step(number), json.dumps(step))

    def closed_shards(self) -> int:
        """Steps from which a build can go on; 0 where one is missing, or its rows, or which build they are of."""
        closed = len(list(self.journal.glob("step-*.json"))) if self.journal.is_dir() else 0
        needed = (
            path for number in range(closed) for path in (self._step(number), fragment_path(self.journal, number))
        )
        return closed if self.identity() and all(path.is_file() for path in needed) else 0

    def identity(self) -> str:
        """Hash of what says which build this is; empty where nothing says so."""
        try:
            return str(json.loads((self.journal / BUILD).read_text())["identity"])
        except (OSError, ValueError, KeyError):
            return ""

    def discard(self, path: Path) -> None:
        """Let a directory of this build disappear in one step, then delete it."""
        path.rename(self.discarded)
        shutil.rmtree(self.discarded, ignore_errors=True)

    def _step(self, number: int) -> Path:
        return self.journal / f"step-{number:06d}.json"


@contextmanager
def workplace(out: Path, identity: dict[str, Any], *, overwrite: bool = False) -> Iterator[Workplace]:
    """Work in `.NAME.partial`; when the block ends well it becomes `out`.

    When the block raises, the directory stays if a shard was closed in it, and the same command goes on from there;
    without a closed shard nothing stays. A kill leaves it as it is.

    Args:
        out: Absolute path of the set.
        identity: JSON values that say which build this is; an unfinished build with the same ones is continued.
        overwrite: Replace `out`, and begin anew where another build was left unfinished.

    Raises:
        UsageError: `out` is there already, another build is writing it, or another one was left unfinished.
        RadnetError: The disk is full or not writable.
    """
    out = out.resolve()  # a link stays, what it points to is replaced
    if out.is_mount():
        raise UsageError(
            "A mounted directory cannot be replaced in one step", file=out, fix=f"Give a path in it: {out}/NAME"
        )
    place = Workplace(out.parent / f".{out.name}.partial", out.parent / f".{out.name}.{DISCARDED}")
    with explained_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out.parent / f".{out.name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise UsageError(
                "Another build is writing to this output right now", file=out, fix="Wait for it, or choose another path"
            ) from error
    try:
        with explained_disk_errors(out):
            _mend(place)
        require_new_directory(out, overwrite=overwrite)  # it may have appeared while this build read the archive
        _require_own(place, identity, overwrite)
        try:
            with _explained(place, out):
                _begin(place, identity)
                yield place
                _finish(place, out)
        except BaseException:
            shutil.rmtree(place.spool, ignore_errors=True)
            if place.closed_shards():
                say(f"The unfinished set is kept in {place.path}; the same command goes on from there")
            else:
                shutil.rmtree(place.path, ignore_errors=True)
            raise
    finally:
        with suppress(OSError):  # before the release: behind it, the file may be the lock of the next build
            Path(lock.lock_file).unlink()
        lock.release()


@contextmanager
def _explained(place: Workplace, out: Path) -> Iterator[None]:
    """Disk errors in words that are true of what was kept."""
    try:
        yield
    except OSError as error:
        kept = "the finished shards are kept" if place.closed_shards() else "nothing was kept of the unfinished output"
        with explained_disk_errors(out, kept):
            raise error


def _mend(place: Workplace) -> None:
    """Take back the journal of a set that did not get its name; delete what a killed build was about to delete."""
    if place.path.exists() and not place.journal.exists() and (place.discarded / BUILD).is_file():
        place.discarded.rename(place.journal)  # whole: its deletion begins when the set has its name
    if place.discarded.exists():
        shutil.rmtree(place.discarded)


def _finish(place: Workplace, out: Path) -> None:
    """The workplace without its journal becomes the set.

    The journal is out of it before the set has its name, so a set never holds one, and is deleted afterwards, so a
    kill never costs the finished shards.
    """
    shutil.rmtree(place.spool, ignore_errors=True)
    place.journal.rename(place.discarded)
    try:
        move_into_place(place.path, out)
    except BaseException:
        place.discarded.rename(place.journal)
        raise
    shutil.rmtree(place.discarded, ignore_errors=True)


def _require_own(place: Workplace, identity: dict[str, Any], overwrite: bool) -> None:
    """Refuse to throw away what another build has finished."""
    closed = place.closed_shards()
    if closed and place.identity() != settings_hash(identity) and not overwrite:
        raise UsageError(
            f"An unfinished build of this set ({closed} shards) was begun with other scans, settings or secret",
            file=place.path,
            fix="Repeat its command to finish it, or give --overwrite to begin anew",
        )


def _begin(place: Workplace, identity: dict[str, Any]) -> None:
    """An empty workplace, or the one of the same build as it was left."""
    if place.path.exists():
        closed = place.closed_shards()
        if closed and place.identity() == settings_hash(identity):
            say(f"going on with an unfinished build: {closed} shard(s) are there")
            shutil.rmtree(place.spool, ignore_errors=True)
            place.spool.mkdir()
            return
        if closed:
            warn(f"an unfinished build with other scans or settings is thrown away ({closed} shards)")
        elif place.journal.is_dir() and any(place.journal.glob("step-*.json")):
            warn("the journal of an unfinished build is damaged, so the build begins anew")
        place.discard(place.path)
    for directory in (place.path, place.journal, place.spool):
        directory.mkdir()
    write_atomically(place.journal / BUILD, json.dumps({"identity": settings_hash(identity)}))
