"""Which pixels a set holds already: a table on the disk, because millions of hashes do not belong into memory."""

import sqlite3
from types import TracebackType
from typing import Self

from radnet.errors import RadnetError

CACHE_KIB = 32 * 1024


class SeenPixels:
    """Content hashes of the slices so far, each with the split (in a merge, the patient) of the first that had it.

    SQLite keeps the table in memory up to `CACHE_KIB` and in its directory for temporary files beyond. A build that
    goes on after a kill fills it again from the rows of the closed shards.
    """

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        for pragma in (f"cache_size = -{CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            self._table.execute(f"PRAGMA {pragma}")
        self._table.execute("CREATE TABLE seen (hash BLOB PRIMARY KEY, split TEXT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._table.close()

    def add(self, content_hash: str, split: str) -> str | None:
        """Note a slice.

        Args:
            content_hash: Its hash, hex digits.
            split: Its split.

        Returns:
            The split of the first slice with the same pixels; None when this is the first.

        Raises:
            RadnetError: The disk with the temporary files is full.
        """
        key = bytes.fromhex(content_hash)
        try:
            if self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, split)).rowcount:
                return None
        except sqlite3.OperationalError as error:
            raise RadnetError(
                f"The table of the pixels so far cannot grow ({error})",
                fix="Free space in the directory for temporary files, or name another one in SQLITE_TMPDIR",
            ) from error
        return str(self._table.execute("SELECT split FROM seen WHERE hash = ?", (key,)).fetchone()[0])
