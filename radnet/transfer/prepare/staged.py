"""Images that lie in arrays become picture files on their way into a set."""

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from radnet.scans.pictures import encode


class Stage:
    """Writes lossless pictures into a directory that is gone when the set is built.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: set[Path] = set()

    def add(self, name: str, pixels: NDArray[Any], *, like: Path) -> Path:
        """Write a picture.

        Args:
            name: Path below the directory, ending in .png.
            pixels: uint8 or uint16 (Y, X), or uint8 RGB (Y, X, 3).
            like: The file it comes from, whose date it gets: a build that was killed knows its pictures by it.
        """
        path = self._root / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        path.write_bytes(encode(pixels, "png"))
        date_ns = like.stat().st_mtime_ns
        os.utime(path, ns=(date_ns, date_ns))
        return path
