"""A matrix on disk that is filled from the top, and goes on after a kill where the disk had it.

Shape legend: N rows, D columns.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.files import write_atomically

NOTE_EVERY_S = 20.0


class PartialMatrix:
    """Fills `.NAME.partial` beside the final file and renames it when the last row is there.

    The caller holds a lock, so there is one writer. `.NAME.progress` says how many rows are safe on the disk. An
    error removes both; a kill leaves both, and rows that were not noted are filled again. Space is reserved at the
    start: a disk that fills up under a memory map would end the process without a word.

    Args:
        path: Final name, a `.npy` file.
        shape: (N, D).
        step: Rows that are appended at once. A matrix that was begun with another step starts anew, so that every
            row comes out of the same batch whether or not there was a kill.
    """

    def __init__(self, path: Path, shape: tuple[int, int], step: int) -> None:
        self.path, self.shape, self.step = path, shape, step
        self.done = 0
        self._partial = path.with_name(f".{path.name}.partial")
        self._progress = path.with_name(f".{path.name}.progress")
        self._noted_s = time.monotonic()

    def __enter__(self) -> "PartialMatrix":
        self.done = self._known()
        if self.done:
            self._matrix: NDArray[np.float32] = np.lib.format.open_memmap(self._partial, mode="r+")
        else:
            self._matrix = np.lib.format.open_memmap(self._partial, mode="w+", dtype=np.float32, shape=self.shape)
            self._reserve()
        return self

    def append(self, rows: NDArray[np.float32]) -> None:
        """Fill the next rows, float32 (n, D)."""
        self._matrix[self.done : self.done + len(rows)] = rows
        self.done += len(rows)
        if time.monotonic() - self._noted_s >= NOTE_EVERY_S:
            self._note()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.done == self.shape[0]:
                self._flush()
                self._partial.replace(self.path)
            elif kind is not None and not issubclass(kind, Exception):
                self._note()  # the keyboard or a signal: go on from here
                return
        finally:
            self._matrix = np.empty((0, 0), np.float32)
        self._partial.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)

    def _known(self) -> int:
        """Rows that an earlier process has left, 0 when it left none or another matrix."""
        try:
            noted: dict[str, Any] = json.loads(self._progress.read_text(encoding="utf-8"))
            matrix = np.load(self._partial, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return 0
        same = noted.get("step") == self.step and matrix.shape == self.shape and matrix.dtype == np.float32
        done = noted.get("done")
        return done if same and isinstance(done, int) and done % self.step == 0 and done < self.shape[0] else 0

    def _reserve(self) -> None:
        with self._partial.open("r+b") as file, contextlib.suppress(AttributeError):
            os.posix_fallocate(file.fileno(), 0, self._partial.stat().st_size)

    def _note(self) -> None:
        if self.done % self.step == 0:
            self._flush()
            write_atomically(self._progress, json.dumps({"done": self.done, "step": self.step}))
        self._noted_s = time.monotonic()

    def _flush(self) -> None:
        if isinstance(self._matrix, np.memmap):
            self._matrix.flush()
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
