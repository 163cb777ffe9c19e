"""DICOM files that hold one and the same image: an archive copied twice, a lossy copy beside the original."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from radnet.hashing import sha256_of_file
from radnet.scans.dicom_groups import DicomEntry


def without_copies(entries: Iterable[DicomEntry]) -> tuple[list[DicomEntry], list[Path]]:
    """Keep one file of each image.

    Files are one image when instance UID, series UID, positions, rows and columns agree, wherever they lie and
    whomever their metadata name: otherwise a person could come to stand on two sides of a split. An equal instance
    UID alone is not enough, because bad anonymisers give one UID to many images. Files without an instance UID are
    copies only byte for byte. Of lossless and lossy copies a lossless one is kept, then the first path.

    Args:
        entries: The slices of all files.

    Returns:
        The slices of the files that are kept, in the order given, and the other files, sorted.
    """
    by_file: dict[Path, list[DicomEntry]] = defaultdict(list)
    for entry in entries:
        by_file[entry.path].append(entry)
    by_image: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for path, slices in by_file.items():
        by_image[_image(slices)].append(path)
    copies: set[Path] = set()
    for image, paths in by_image.items():
        if len(paths) > 1:
            same = [paths] if image[0] else _equal_files(paths)
            copies.update(path for files in same for path in _in_order(files, by_file)[1:])
    return [entry for path, slices in by_file.items() if path not in copies for entry in slices], sorted(copies)


def _image(slices: list[DicomEntry]) -> tuple[object, ...]:
    head = slices[0].header
    places = tuple(entry.header.position_mm for entry in slices)
    return head.instance_uid, head.series_uid, places, head.rows, head.columns


def _in_order(paths: Iterable[Path], by_file: dict[Path, list[DicomEntry]]) -> list[Path]:
    return sorted(paths, key=lambda path: (by_file[path][0].header.lossy, path))


def _equal_files(paths: Iterable[Path]) -> list[list[Path]]:
    by_digest: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_digest[sha256_of_file(path)].append(path)
    return list(by_digest.values())
