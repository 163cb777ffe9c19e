"""A download that is still packed: zip and tar files, unpacked without trusting what they say."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from radnet.console import progress
from radnet.errors import UsageError
from radnet.files import explained_disk_errors

MOST_BYTES_A_PACKED_BYTE = 1100
"""No deflated stream grows more; what claims to is made to fill a disk."""

NAME_TAKEN = (IsADirectoryError, NotADirectoryError, FileExistsError)
"""What a member meets whose name is taken by one of the other kind; the directory itself is new."""


@contextmanager
def unpacked(source: Path, into: Path, files: Sequence[str] = ()) -> Iterator[Path]:
    """The directory of a download.

    Args:
        source: A directory, which stays as it is, or a zip or tar file (also .gz, .bz2, .xz).
        into: Where a file is unpacked.
        files: Endings of files that are given back as they are.

    Raises:
        UsageError: Neither, damaged, or with a member that would be written outside of `into` or has no place in it.
    """
    if source.is_dir():
        yield source
        return
    if not source.exists():
        raise UsageError("No such file or directory; the download of the data set was expected", file=source)
    if source.suffix.lower() in files:
        yield source
        return
    if not unpacked_files(source, into):
        raise UsageError(
            "This file is neither a zip nor a tar file",
            file=source,
            fix="Give the directory of the download, or the packed file as it was downloaded",
        )
    yield into


def unpacked_files(source: Path, into: Path) -> bool:
    """Unpack a file into a new directory.

    Args:
        source: A zip or tar file.
        into: The directory.

    Returns:
        False where it is neither; then nothing is made.

    Raises:
        UsageError: It is damaged, or has a member that would be written outside of `into` or has no place in it.
    """
    with explained_disk_errors(into):
        if zipfile.is_zipfile(source):
            into.mkdir(parents=True)
            _unzip(source, into)
        elif tarfile.is_tarfile(source):
            into.mkdir(parents=True)
            _untar(source, into)
        else:
            return False
    return True


def _unzip(source: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(source) as packed:
            members = packed.infolist()
            _require_honest(source, sum(member.file_size for member in members))
            with progress(f"unpacking {source.name} (files)", len(members)) as meter:
                for member in members:
                    meter.advance()
                    directory = member.filename.endswith("/")  # is_dir fails on an empty name
                    path = _inside(source, into, member.filename, directory=directory)
                    if directory:
                        continue
                    if stat.S_ISLNK(member.external_attr >> 16):
                        raise _outside(source, member.filename, "a link")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(member) as data, path.open("wb") as file:
                        shutil.copyfileobj(data, file)
    except NAME_TAKEN as error:
        raise _twice(source, error) from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError, EOFError) as error:
        raise UsageError(f"The zip file cannot be read ({error})", file=source, fix="Download it again") from error


def _untar(source: Path, into: Path) -> None:
    try:
        with tarfile.open(source) as packed:
            members = packed.getmembers()
            _require_honest(source, sum(member.size for member in members))
            for member in members:
                _inside(source, into, member.name, directory=member.isdir())
                if not (member.isfile() or member.isdir()):
                    raise _outside(source, member.name, "a link or a special file")
            packed.extractall(into, members=members, filter="data")
    except NAME_TAKEN as error:
        raise _twice(source, error) from error
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise UsageError(f"The tar file cannot be read ({error})", file=source, fix="Download it again") from error


def _inside(source: Path, into: Path, name: str, *, directory: bool) -> Path:
    """Where a member goes; one that would leave the directory or take its place is refused, and the file with it."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or (parts.parts and ":" in parts.parts[0]):
        raise _outside(source, name, "a path outside of it")
    if not parts.parts and not directory:  # "" or "."
        raise _outside(source, name, "a file without a name")
    return into.joinpath(*parts.parts)


def _outside(source: Path, name: str, what: str) -> UsageError:
    return UsageError(
        f"The packed file holds {what}, as no honest download does: nothing of it is used", seen=name, file=source
    )


def _twice(source: Path, error: OSError) -> UsageError:
    return _outside(source, Path(str(error.filename)).name, "a file and a directory of one name")


def _require_honest(source: Path, claimed: int) -> None:
    if claimed > MOST_BYTES_A_PACKED_BYTE * source.stat().st_size:
        raise UsageError("The packed file claims to hold more than any compression gives", seen=claimed, file=source)
