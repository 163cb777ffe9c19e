"""Small tools of the tests of finished sets."""

import json
from collections.abc import Callable
from pathlib import Path


def shard_files(directory: Path) -> list[Path]:
    """The tars of a set, in order."""
    return sorted(directory.glob("*.tar"))


def damaged_manifest(directory: Path, change: Callable[[dict], object]) -> None:
    """Change the manifest of a set as it lies on the disk."""
    file = directory / "manifest.json"
    about = json.loads(file.read_text())
    change(about)
    file.write_text(json.dumps(about))
