"""A walk over the blocks of a tar, stricter than any reader: it goes on behind damage, and unpacks nothing."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from radnet.shards.problems import Problem, quoted

PLAIN_NAME = re.compile(r"[0-9]{9,}\.(image\.(b2nd|jpg|png)|mask\.b2nd|json)")
END_BLOCKS = 2
_BLOCK = tarfile.BLOCKSIZE
_EMPTY = bytes(_BLOCK)
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a directory",
    tarfile.FIFOTYPE: "a pipe",
}


@dataclass(frozen=True)
class Member:
    """Where the data of one regular member lie, in bytes of the tar."""

    name: str
    offset: int
    size: int


def walk_tar(path: Path) -> tuple[dict[str, Member], list[Problem]]:
    """All regular members with plain names, and everything that a shard must not hold.

    Behind a damaged header the walk goes on at the next one that is whole.

    Args:
        path: The tar.

    Returns:
        Name -> member (the first of several with one name), and the problems.
    """
    members: dict[str, Member] = {}
    with path.open("rb") as file:
        problems = list(_walk(file, path.name, path.stat().st_size, members))
    return members, problems


def _walk(file: BinaryIO, name: str, size: int, members: dict[str, Member]) -> Iterator[Problem]:
    lost = False
    offset = 0
    while True:
        file.seek(offset)
        block = file.read(_BLOCK)
        if len(block) < _BLOCK or (block == _EMPTY and not lost):
            break
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError:
            if not lost:
                yield Problem(name, "", f"the header of a member is damaged, at byte {offset}")
            lost = True
            offset += _BLOCK
            continue
        lost = False
        data = offset + _BLOCK
        if info.size < 0 or data + info.size > size:
            what = f"member {quoted(info.name)} claims {info.size} bytes, more than the file holds"
            yield Problem(name, "", what)
            offset, lost = data, True
            continue
        yield from _problems_of_member(info, name, members)
        if info.type == tarfile.REGTYPE and PLAIN_NAME.fullmatch(info.name):
            members.setdefault(info.name, Member(info.name, data, info.size))
        offset = data + -(-info.size // _BLOCK) * _BLOCK
        file.seek(data + info.size)
        if any(file.read(offset - data - info.size)):
            yield Problem(name, "", f"bytes that should be empty are not, behind member {quoted(info.name)}")
    yield from _problems_of_end(file, name, offset, size)


def _problems_of_member(info: tarfile.TarInfo, name: str, members: dict[str, Member]) -> Iterator[Problem]:
    if info.type != tarfile.REGTYPE:
        kind = _KINDS.get(info.type, f"of type {info.type!r}")
        yield Problem(name, "", f"member {quoted(info.name)} is {kind}, not a plain file")
    if info.name.startswith("/") or ".." in info.name.split("/"):
        yield Problem(name, "", f"member {quoted(info.name)} points outside of the set")
    elif not PLAIN_NAME.fullmatch(info.name):
        yield Problem(name, "", f"member {quoted(info.name)} has a name that no sample has")
    elif info.name in members:
        yield Problem(name, info.name.partition(".")[0], f"member {quoted(info.name)} is there twice")


def _problems_of_end(file: BinaryIO, name: str, offset: int, size: int) -> Iterator[Problem]:
    """Two empty blocks and nothing but empty ones until the end."""
    if size - offset < END_BLOCKS * _BLOCK or size % tarfile.RECORDSIZE:
        yield Problem(name, "", "the end of the tar is missing")
    file.seek(offset)
    while piece := file.read(1 << 20):
        if any(piece):
            yield Problem(name, "", f"there is something behind the end of the tar, after byte {offset}")
            return
