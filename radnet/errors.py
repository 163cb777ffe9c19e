"""Errors written for the person who made the mistake.

Every error that a user can cause is a `RadnetError`. Its text is one paragraph: what was wrong, the value seen,
the file, and the command or key that mends it. The command line prints the paragraph and leaves with
`exit_code`; a traceback appears only with `--debug`.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path


class RadnetError(Exception):
    """The work failed (exit code 1).

    Args:
        what: What was wrong, a sentence without its full stop.
        seen: The value that was met, shown with `repr`.
        file: The file or directory concerned.
        fix: The command, key or action that mends it, a sentence without its full stop.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, seen: object = None, file: str | Path | None = None, fix: str | None = None
    ) -> None:
        self.what, self.seen, self.file, self.fix = what, seen, file, fix
        parts = [what if seen is None else f"{what} (seen: {seen!r})"]
        if file is not None:
            parts.append(f"File: {file}")
        if fix is not None:
            parts.append(fix)
        super().__init__(". ".join(part.rstrip(".") for part in parts) + ".")


class UsageError(RadnetError):
    """The call was wrong (exit code 2): a bad path, name, key or value given by the user."""

    exit_code = 2


def did_you_mean(seen: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known value, or lists the known ones.

    Args:
        seen: The unknown value.
        known: All values that would have been accepted.
    """
    names = sorted(known)
    close = difflib.get_close_matches(seen, names, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(close)
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"Known: {shown}"
