"""All files under an archive, each once, in an order that does not depend on the file system."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One entry of an archive.

    Attributes:
        path: As found below the archive.
        real_path: The same with all links resolved.
        problem: Empty, or why it cannot be opened: "directory" (not listable), "link" (leads nowhere),
            "special" (pipe, socket, device), "repeat" (a link to a file that is in the archive anyway).
        is_link: Whether it is itself a link.
    """

    path: Path
    real_path: Path
    problem: str = ""
    is_link: bool = False


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
        try:
            status = directory.stat()
        except OSError:
            found.append(ArchiveFile(directory, directory, "directory"))
            continue
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in _entries(directory):
            if isinstance(entry, Path):
                (links if entry.is_symlink() else pending).append(entry)
            else:
                found.append(entry)
        links.sort()
    return _mark_repeats(sorted(found, key=lambda file: file.path))


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
        path, is_link = directory / entry.name, entry.is_symlink()
        try:
            if entry.is_dir():
                yield path
            elif entry.is_file():
                yield ArchiveFile(path, path.resolve() if is_link else real_directory / entry.name, "", is_link)
            else:
                yield ArchiveFile(path, path, "link" if is_link else "special", is_link)
        except (OSError, RuntimeError):  # a link to itself, or to a name that is too long
            yield ArchiveFile(path, path, "link" if is_link else "special", is_link)


def _mark_repeats(files: list[ArchiveFile]) -> list[ArchiveFile]:
    """Mark links to a file of which another name is in the list."""
    if not any(file.is_link for file in files):
        return files
    known = {file.real_path for file in files if not file.is_link}
    marked = []
    for file in files:
        repeat = file.is_link and not file.problem and file.real_path in known
        known.add(file.real_path)
        marked.append(replace(file, problem="repeat") if repeat else file)
    return marked
