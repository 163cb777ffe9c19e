"""The pixels of one DICOM slice as Hounsfield units."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from radnet.scans.compressed import has_sound_jpeg_2000_header, has_sound_jpeg_header, jpeg_2000_size, jpeg_size
from radnet.scans.decoders import JPEG_2000_SYNTAXES, JPEG_SYNTAXES, syntax_name
from radnet.scans.dicom_elements import numbers_of, value_of
from radnet.scans.dicom_file import HonestFile, open_dicom
from radnet.scans.dicom_headers import DicomHeader, parse_headers
from radnet.scans.hounsfield import rescale
from radnet.scans.quiet import quiet_readers
from radnet.scans.removed import removed_keywords
from radnet.scans.sizes import require_bytes
from radnet.scans.sources import RefusedError

RUST_PANIC = "PanicException"
ELEMENT_HEAD = 12
"""Bytes of tag, type and length before encapsulated pixel data (always explicit, little endian)."""


@dataclass(frozen=True)
class DicomSlice:
    """One decoded slice.

    Attributes:
        header: Its header.
        values: int16 Hounsfield units; of MR the stored values, int32; shape (rows, columns).
        notes: "padding", "clipped", "monochrome1".
        removed: Keywords of the elements whose values do not enter a scan.
    """

    header: DicomHeader
    values: NDArray[np.int16] | NDArray[np.int32]
    notes: frozenset[str]
    removed: tuple[str, ...] = ()


def read_slice(path: Path) -> DicomSlice:
    """Decode a CT slice.

    Padding (PixelPaddingValue) is stored as the file gives it, after slope and intercept, and noted. MONOCHROME1
    asks for an inverted display; it does not change the values and is only noted.

    Args:
        path: A file in which `read_headers` finds one slice.

    Raises:
        RefusedError: The header is not usable, or the pixels are missing, cut off or not decodable.
    """
    with quiet_readers():
        dataset = open_dicom(path)
        if "PixelData" not in dataset:  # where compressed pixels are cut off, the parser gives back nothing at all
            raise RefusedError("truncated", "The file ends before its pixel data is complete, or never had any")
        header = parse_headers(dataset)[0]
        if header.frame is not None:
            raise RefusedError("changed", "The file has frames, which the inventory did not find")
        stored = stored_pixels(dataset, header.rows, header.columns, header.plugin)
        return _slice(dataset, header, stored, removed_keywords(dataset))


def stored_pixels(dataset: Dataset, rows: int, columns: int, plugin: str) -> NDArray[Any]:
    """The stored values of a file with one frame, (rows, columns).

    Args:
        dataset: The whole file.
        rows: Rows that the header claims.
        columns: Columns that it claims.
        plugin: What decodes the pixels, see `radnet.scans.decoders`.

    Raises:
        RefusedError: The pixels are missing, cut off or not decodable.
    """
    if not value_of(dataset, "PixelData"):  # zero bytes come as None
        raise RefusedError("truncated", "The file ends before its pixel data is complete, or never had any")
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if not syntax.is_encapsulated:
        require_bytes(rows * columns * _bits_allocated(dataset) // 8, len(dataset.PixelData))
    elif not _is_complete(dataset):
        raise RefusedError("truncated", "The compressed pixel data is cut off")
    elif (size := _claimed_size(dataset.PixelData, syntax)) not in (None, (rows, columns)):
        raise RefusedError("unreadable", f"The compressed pixels claim the size {size}, the header {(rows, columns)}")
    elif not _has_sound_header(dataset.PixelData, syntax):
        raise RefusedError("undecodable", "The header of the compressed pixels is damaged")
    with quiet_readers(), _refusals(syntax):
        stored = pixel_array(dataset, decoding_plugin=plugin)
    if stored.shape != (rows, columns):
        raise RefusedError("unreadable", "The decoded pixels do not have the rows and columns of the header")
    return stored


def read_frames(path: Path, frames: Sequence[int]) -> Iterator[DicomSlice | RefusedError]:
    """Decode frames of an enhanced file, one at a time; see `read_slice`.

    Args:
        path: A file in which `read_headers` finds frames.
        frames: Their numbers, ascending.

    Yields:
        One slice a frame, or why that frame cannot be used.

    Raises:
        RefusedError: Nothing in the file can be used.
    """
    dataset = open_dicom(path, without_pixels=True)
    headers = parse_headers(dataset)
    if headers[-1].frame is None or frames[-1] >= len(headers):
        raise RefusedError("changed", "The file no longer has the frames that the inventory found")
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if not syntax.is_encapsulated:
        bits = len(headers) * headers[0].rows * headers[0].columns * _bits_allocated(dataset)
        deflated = syntax == DeflatedExplicitVRLittleEndian
        require_bytes(bits // 8, path.stat().st_size, compressed=deflated)
    removed = removed_keywords(dataset)
    unsound = _unsound_frames(path, len(headers), syntax)
    sentence = "The header of a frame's compressed pixels is damaged"
    yield from (RefusedError("undecodable", sentence) for number in frames if number in unsound)
    left = [number for number in frames if number not in unsound]
    while left:
        header = headers[left[0]]
        decoded = iter_pixels(path, indices=tuple(left), decoding_plugin=header.plugin)
        try:
            while left:
                with quiet_readers(), _refusals(syntax):
                    item = _slice(dataset, headers[left[0]], next(decoded), removed)
                left.pop(0)
                yield item
        except RefusedError as refused:  # the decoder stops at a damaged frame: begin anew behind it
            left.pop(0)
            yield refused


def _bits_allocated(dataset: Dataset) -> int:
    """Bits that a pixel takes in the file.

    Raises:
        RefusedError: The header gives none, or several.
    """
    return int(numbers_of(dataset, "BitsAllocated", 1, "unreadable")[0])


def _unsound_frames(path: Path, count: int, syntax: UID) -> set[int]:
    """Numbers of the frames that no decoder may be given, of the frames that can be found at all."""
    unsound: set[int] = set()
    if syntax not in JPEG_SYNTAXES and syntax not in JPEG_2000_SYNTAXES:
        return unsound
    with HonestFile(path) as file, quiet_readers():
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        file.seek(ELEMENT_HEAD, os.SEEK_CUR)
        tables = [dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
        encoded = generate_frames(
            file,
            number_of_frames=count,
            extended_offsets=tuple(tables) if None not in tables else None,
        )
        # where a frame cannot be found, the decoder finds none either, and says so
        with suppress(Exception):
            for number, stream in enumerate(encoded):
                if not _has_sound_header(stream, syntax):
                    unsound.add(number)
    return unsound


def _slice(dataset: Dataset, header: DicomHeader, stored: NDArray[Any], removed: tuple[str, ...]) -> DicomSlice:
    """A slice in Hounsfield units from its stored values."""
    if stored.shape != (header.rows, header.columns):
        raise RefusedError("unreadable", "The decoded pixels do not have the rows and columns of the header")
    values: NDArray[np.int16] | NDArray[np.int32]
    if header.modality == "CT":
        values, clipped = rescale(stored, header.slope, header.intercept)
    else:  # slope and intercept wait for the whole series: see `dicom_series`
        values, clipped = stored.astype(np.int32), False
    with quiet_readers():
        padded = _has_padding(dataset, stored)
    marks = {"clipped": clipped, "padding": padded, "monochrome1": header.monochrome1}
    return DicomSlice(header, values, frozenset(name for name, met in marks.items() if met), removed)


@contextmanager
def _refusals(syntax: UID) -> Iterator[None]:
    """Turn what decoders raise into refusals."""
    try:
        yield
    except RefusedError:
        raise
    except ValueError as error:
        raise RefusedError("unreadable", "The pixel data does not agree with its header") from error
    except (RuntimeError, NotImplementedError) as error:
        sentence = f"The pixels ({syntax_name(syntax)}) are damaged, or of a variety that the decoder does not know"
        raise RefusedError("undecodable", sentence) from error
    except BaseException as error:  # a damaged stream can make a decoder raise anything
        # what a decoder written in Rust panics with is no Exception, and has no class that could be named here
        if not isinstance(error, Exception) and type(error).__name__ != RUST_PANIC:
            raise
        raise RefusedError("unreadable", f"The pixels cannot be decoded ({type(error).__name__})") from error


def _claimed_size(stream: bytes, syntax: UID) -> tuple[int, int] | None:
    """Rows and columns that compressed pixels claim; None where they name none, as RLE never does."""
    if syntax in JPEG_SYNTAXES:
        return jpeg_size(stream)
    return jpeg_2000_size(stream) if syntax in JPEG_2000_SYNTAXES else None


def _has_sound_header(stream: bytes, syntax: UID) -> bool:
    """Whether a decoder may be given compressed pixels; True where nothing is known of their header."""
    if syntax in JPEG_SYNTAXES:
        return has_sound_jpeg_header(stream)
    return syntax not in JPEG_2000_SYNTAXES or has_sound_jpeg_2000_header(stream)


def _is_complete(dataset: Dataset) -> bool:
    """Whether encapsulated pixel data holds its items in full and at least one besides the offset table.

    The parser has already taken away the sequence delimiter, without which it refuses the file.
    """
    data: bytes = dataset.PixelData
    order = "little" if dataset.original_encoding[1] is not False else "big"
    at, items = 0, 0
    while at + 8 <= len(data):
        tag = data[at : at + 4]
        if tag == b"\xfe\xff\xdd\xe0":
            break
        if tag != b"\xfe\xff\x00\xe0":
            return False
        at += 8 + int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        items += 1
    return items >= 2 and at <= len(data)


def _has_padding(dataset: Dataset, stored: NDArray[np.integer]) -> bool:
    """Whether any pixel holds PixelPaddingValue, or lies between it and PixelPaddingRangeLimit."""
    try:
        low = int(dataset["PixelPaddingValue"].value)
        high = int(dataset["PixelPaddingRangeLimit"].value) if "PixelPaddingRangeLimit" in dataset else low
    except (KeyError, TypeError, ValueError, NotImplementedError):  # the last where its representation does not exist
        return False
    # the two elements are often written with the wrong sign
    if np.issubdtype(stored.dtype, np.signedinteger):
        low, high = (value - 0x10000 if value > 0x7FFF else value for value in (low, high))
    else:
        low, high = (value + 0x10000 if value < 0 else value for value in (low, high))
    low, high = min(low, high), max(low, high)
    return bool(((stored >= low) & (stored <= high)).any())
