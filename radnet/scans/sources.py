"""What passes between the inventory of an archive and the reading of its series."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from radnet.scans.scan import Scan, ScanTags


class RefusedError(Exception):
    """A file is not used; raised and caught inside `radnet.scans`.

    Args:
        reason: Stable code.
        sentence: What was wrong, without any identifier.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        self.reason, self.sentence = reason, sentence
        super().__init__(reason, sentence)


@contextmanager
def unforeseen_refused() -> Iterator[None]:
    """Around the reading of one file: what nobody thought of costs this file and not the build.

    The sentence names the type of the error and nothing that it says, which may quote the file.

    Raises:
        RefusedError: "unreadable", instead of any other error; `RefusedError` and `OSError` pass, and so does
            `MemoryError`, which is the machine's: the same file would be read on another day.
    """
    try:
        yield
    except (RefusedError, OSError, MemoryError):
        raise
    except Exception as error:
        raise RefusedError("unreadable", f"The file cannot be read ({type(error).__name__})") from error


@dataclass(frozen=True)
class Reject:
    """A file or series that is not used.

    Attributes:
        path: Relative to the archive. For the terminal only: it may identify, so it never enters a set.
        file_key: Keyed hash of the relative path (of the first file for a whole series), 32 hex digits.
        reason: Stable code: "not_an_image", "truncated", "modality", …
        sentence: What was wrong; holds no path, name, id, date or UID.
        files: How many files it stands for; 0 for a directory that cannot be opened, and for slices that were read but
            are not stored.
        slices: How many slices of a file that was read are not stored for this reason.
    """

    path: str
    file_key: str
    reason: str
    sentence: str
    files: int = 1
    slices: int = 0


class UnreadableSeries(Exception):  # noqa: N818 - the name says what was met, as StopIteration does
    """No scan can be made of a series.

    Args:
        reason: Stable code.
        sentence: What was wrong, without any identifier.
        rejects: Stand together for every file of the series, each exactly once.
    """

    def __init__(self, reason: str, sentence: str, rejects: tuple[Reject, ...] = ()) -> None:
        self.reason, self.sentence, self.rejects = reason, sentence, rejects
        super().__init__(reason, sentence, rejects)

    def __str__(self) -> str:
        return f"{self.reason}: {self.sentence}"


@dataclass(frozen=True)
class SeriesSource:
    """One series as its headers tell it: a cheap unit of work that can be sent to another process.

    Attributes:
        kind: "dicom" (a stack of slices), "nifti", "radiograph" or "picture".
        root: The archive.
        files: Absolute or archive-relative paths that can be opened, sorted.
        file_keys: Keyed hash of each file's path relative to the archive, in the order of `files`.
        spacing_mm: Of a radiograph, distance between rows and between columns, where known.
        frames: For each file the frames of it that belong to the series; empty for a file of one slice. Empty as a
            whole where no file has frames.
        shared_files: Numbers of the files that belong to another series, too, and are counted there.
        name: Path of the file, or of the directory common to all files, relative to the archive. For messages on
            the terminal only: it may identify, so it never enters a set.
        patient_key: Keyed hash of the patient, 32 hex digits.
        series_key: Keyed hash of the series, 32 hex digits.
        slices: Number of slices in canonical orientation, from the headers.
        modality: DICOM modality code, or "PICTURE".
        tags: Everything that the headers and the metadata say; reading adds notes.
        declared_hu: Whether headers or metadata declare Hounsfield units; if not, the values must look like them.
        mask: File of the series' mask: NIfTI, DICOM SEG or RTSTRUCT.
        found_mask_key: Keyed hash of the mask's path where the mask itself names the series and no metadata name the
            mask: then a mask that does not fit is left out and the scan is kept. Empty otherwise.
        labels: (name, value) pairs that hold for every slice.
        slice_labels: (slice, ((name, value), …)) from slices.csv, slices counted from inferior.
        split: Side of a split that the data came with; None where the patient key decides.
    """

    kind: Literal["dicom", "nifti", "radiograph", "picture"]
    root: Path
    files: tuple[Path, ...]
    file_keys: tuple[str, ...]
    name: str
    patient_key: str
    series_key: str
    slices: int
    modality: str
    tags: ScanTags
    declared_hu: bool = False
    spacing_mm: tuple[float, float] | None = None
    frames: tuple[tuple[int, ...], ...] = ()
    shared_files: tuple[int, ...] = ()
    mask: Path | None = None
    found_mask_key: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    slice_labels: tuple[tuple[int, tuple[tuple[str, str], ...]], ...] = ()
    split: str | None = None

    @property
    def file_count(self) -> int:
        """Files that are counted with this series and no other."""
        return len(self.files) - len(self.shared_files)

    def reject_file(self, index: int, reason: str, sentence: str) -> Reject:
        """A reject for the file at `index`."""
        path = self.files[index].relative_to(self.root).as_posix()
        return Reject(path, self.file_keys[index], reason, sentence, files=0 if index in self.shared_files else 1)

    def reject_slices(self, index: int, reason: str, sentence: str, slices: int = 1) -> Reject:
        """A reject for slices of the file at `index` of which others are used."""
        return replace(self.reject_file(index, reason, sentence), files=0, slices=slices)

    def left_out(self, reason: str, sentence: str, slices: int) -> Reject:
        """A reject for slices of the series that were read and are not stored."""
        return Reject(self.name, self.file_keys[0], reason, sentence, files=0, slices=slices)

    def without_mask(self, reason: str, sentence: str) -> Reject:
        """A reject for a mask that was found for the series and does not fit it; its file is counted already."""
        name = self.mask.relative_to(self.root).as_posix() if self.mask is not None else self.name
        return Reject(name, self.found_mask_key, reason, sentence, files=0)

    def unreadable(self, reason: str, sentence: str, rejects: tuple[Reject, ...] = ()) -> UnreadableSeries:
        """The error for the whole series; `rejects` are files that were already refused for reasons of their own."""
        left = self.file_count - sum(reject.files for reject in rejects)
        if left:
            rejects = (*rejects, Reject(self.name, self.file_keys[0], reason, sentence, left))
        return UnreadableSeries(reason, sentence, rejects)


@dataclass(frozen=True)
class SeriesReading:
    """What reading a series gave.

    Attributes:
        scan: The scan.
        rejects: Files of the series that were left out of it.
        removed_tags: DICOM keyword or NIfTI field -> number of files that held the element, whose value did not enter
            the scan. Names only, never values. Identifiers that leave as keyed hashes count.
    """

    scan: Scan
    rejects: tuple[Reject, ...]
    removed_tags: Mapping[str, int]


@dataclass(frozen=True)
class Inventory:
    """What an archive holds.

    Every file is in exactly one series or reject: `files_seen` is the sum of both.

    Attributes:
        series: Sorted by (patient_key, series_key).
        rejects: Sorted by path.
        files_seen: Number of files under the archive.
    """

    series: tuple[SeriesSource, ...]
    rejects: tuple[Reject, ...]
    files_seen: int
