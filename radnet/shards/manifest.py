"""The manifest of a shard set: what the set is, how it was made, and what its files must be.

It is written last. A directory without it is unfinished and no command takes it for a set.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from radnet.errors import UsageError
from radnet.files import write_atomically

MANIFEST, INDEX, REJECTS = "manifest.json", "index.parquet", "rejects.parquet"
KEYED_BY = "keyed_by"
"""Name in the settings of `KeyedHash.identity`: which secret made the keys. Sets of earlier versions lack it."""

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""64 hex digits and nothing else: files of a cache are called after what a manifest from elsewhere says here."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardFile(_Frozen):
    """One tar: its name in the set's directory, size, number of samples and hash of its bytes."""

    file: str
    bytes: int
    samples: int
    sha256: Sha256


class TableFile(_Frozen):
    """One parquet table beside the shards."""

    file: str
    rows: int
    sha256: Sha256


class Totals(_Frozen):
    """Sums over the set."""

    samples: int
    series: int
    patients: int
    rejected_files: int
    samples_by_split: dict[str, int]
    patients_by_split: dict[str, int]
    samples_by_region: dict[str, int]
    dropped_slices: dict[str, int] = {}


class Manifest(_Frozen):
    """See the module.

    `synthetic` tells whether "none", "some" or "all" of the samples come from a phantom. `removed_tags` counts, by
    DICOM keyword or NIfTI field, the files that held something which did not enter the set.
    """

    format_version: Literal[1, 2]
    name: str
    modality: str
    slice_size: Literal["native"] | int
    settings: dict[str, Any]
    settings_sha256: Sha256
    tool_version: str
    synthetic: Literal["none", "some", "all"]
    content_sha256: Sha256
    totals: Totals
    index: TableFile
    rejects: TableFile
    removed_tags: dict[str, int] = {}
    shards: tuple[ShardFile, ...]

    def content_hash(self) -> str:
        """What the set holds as 64 hex digits: slices, patients, splits and labels, whatever the files are called."""
        return self.content_sha256

    def other_secret(self, other: "Manifest") -> bool:
        """Whether the keys of two sets are known to be of different secrets; False where a set does not say."""
        ours, theirs = self.settings.get(KEYED_BY), other.settings.get(KEYED_BY)
        return ours is not None and theirs is not None and ours != theirs


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write `manifest.json` in one step."""
    write_atomically(directory / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(directory: Path, *, shown_as: str | None = None) -> Manifest:
    """Read and check `manifest.json`.

    Args:
        directory: Where it lies.
        shown_as: What messages call it, where it came from elsewhere and `directory` is a passing one.

    Raises:
        UsageError: There is none, it is damaged, or a newer version wrote it.
    """
    path = directory / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            "This is no shard set: it has no manifest.json, so it is something else or its build did not finish",
            file=directory,
            fix="Build it with: radnet shards build ARCHIVE OUT",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "The manifest cannot be read", file=path, fix="Check the file, or build the set again"
        ) from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise UsageError(
            f"The manifest is damaged or of a format version that this radnet does not know: {field}: {first['msg']}",
            file=shown_as or path,
            fix="Build the set again with this version of radnet",
        ) from error


def require_set_or_nothing(out: Path) -> None:
    """Refuse to replace anything but a shard set.

    Raises:
        UsageError: `out` is a directory that holds something else.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise UsageError(
            "The output directory holds something else than a shard set, which is not replaced",
            file=out,
            fix="Choose another path, or remove the directory yourself",
        )
