"""All files under an archive, each once, in an order that does not depend on the file system."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One entry of an archive.

    Attributes:
        path: As found below the archive.
        real_path: The same with all links resolved.
        problem: Empty, or why it cannot be opened: "directory" (not listable), "link" (leads nowhere),
            "special" (pipe, socket, device), "repeat" (a link to a file that is in the archive anyway).
    """

    path: Path
    real_path: Path
    problem: str = ""


def walk_archive(root: Path) -> list[ArchiveFile]:
    """List every file under `root`, following links to directories.

    Real directories come before links to directories, so that a directory that can be reached both ways, or a link
    to a parent, is visited once and under its own name.

    Args:
        root: The archive.

    Returns:
        Files sorted by path.
    """
    found: list[ArchiveFile] = []
    visited: set[tuple[int, int]] = set()
    pending, links = [root], list[Path]()
    while pending or links:
        directory = pending.pop() if pending else links.pop(0)
        status = directory.stat()
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in _entries(directory):
            if isinstance(entry, Path):
                (links if entry.is_symlink() else pending).append(entry)
            else:
                found.append(entry)
        links.sort()
    return sorted(_without_repeats(found), key=lambda file: file.path)


def _entries(directory: Path) -> Iterator[ArchiveFile | Path]:
    """Files as `ArchiveFile`, directories and links to them as paths."""
    real_directory = directory.resolve()
    try:
        with os.scandir(directory) as entries:
            listed = list(entries)
    except OSError:
        yield ArchiveFile(directory, real_directory, "directory")
        return
    for entry in listed:
        path = directory / entry.name
        if entry.is_dir():
            yield path
        elif entry.is_file():
            yield ArchiveFile(path, path.resolve() if entry.is_symlink() else real_directory / entry.name)
        else:
            yield ArchiveFile(path, path, "link" if entry.is_symlink() else "special")


def _without_repeats(files: list[ArchiveFile]) -> list[ArchiveFile]:
    """Mark links to files of which another name is in the list."""
    linked = [file for file in files if not file.problem and file.path.name != file.real_path.name]
    linked += [file for file in files if not file.problem and file.path.is_symlink() and file not in linked]
    if not linked:
        return files
    is_link = {file.path for file in linked}
    known = {file.real_path for file in files if file.path not in is_link}
    marked = []
    for file in sorted(files, key=lambda file: file.path):
        if file.path in is_link:
            if file.real_path in known:
                file = ArchiveFile(file.path, file.real_path, "repeat")
            known.add(file.real_path)
        marked.append(file)
    return marked
