"""Content hashes: of files, and of settings written as canonical JSON."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no white space: the same settings always give the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def settings_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of `value` as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
