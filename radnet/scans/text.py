"""Making short header texts fit to leave the reader."""

import re

SAFE_TEXT_LENGTH = 64
CODE = re.compile(r"[A-Z][A-Z0-9_ ]{0,15}")


def safe_text(text: object) -> str:
    """A header text as printable ASCII, stripped, inner white space as single blanks, at most 64 characters."""
    joined = " ".join(str(text or "").split())
    return "".join(sign for sign in joined if " " <= sign <= "~")[:SAFE_TEXT_LENGTH].strip()


def named_code(text: object) -> str:
    """A DICOM code ("MR") for use in a sentence; anything that does not look like one becomes "another value"."""
    stripped = str(text or "").strip()
    return stripped if CODE.fullmatch(stripped) else "another value"
