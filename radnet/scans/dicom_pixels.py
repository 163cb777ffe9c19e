"""The pixels of one DICOM slice as Hounsfield units."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from radnet.scans.decoders import syntax_name
from radnet.scans.dicom_file import open_dicom
from radnet.scans.dicom_headers import DicomHeader, parse_header
from radnet.scans.hounsfield import rescale
from radnet.scans.quiet import quiet_readers
from radnet.scans.removed import removed_keywords
from radnet.scans.sizes import require_bytes
from radnet.scans.sources import RefusedError


@dataclass(frozen=True)
class DicomSlice:
    """One decoded slice.

    Attributes:
        header: Its header.
        values: int16 Hounsfield units, shape (rows, columns).
        notes: "padding", "clipped", "monochrome1".
        removed: Keywords of the elements whose values do not enter a scan.
    """

    header: DicomHeader
    values: NDArray[np.int16]
    notes: frozenset[str]
    removed: tuple[str, ...] = ()


def read_slice(path: Path) -> DicomSlice:
    """Decode a CT slice.

    Padding (PixelPaddingValue) is stored as the file gives it, after slope and intercept, and noted. MONOCHROME1
    asks for an inverted display; it does not change the values and is only noted.

    Args:
        path: A file that `read_header` accepts.

    Raises:
        RefusedError: The header is not usable, or the pixels are missing, cut off or not decodable.
    """
    dataset = open_dicom(path)
    if "PixelData" not in dataset:  # where compressed pixels are cut off, the parser gives back nothing at all
        raise RefusedError("truncated", "The file ends before its pixel data is complete, or never had any")
    header = parse_header(dataset)
    if header.plugin == "":
        bits = header.rows * header.columns * int(dataset.get("BitsAllocated") or 0)
        require_bytes(bits // 8, len(dataset.PixelData))
    removed = removed_keywords(dataset)
    stored = _stored_values(dataset, header)
    hu, clipped = rescale(stored, header.slope, header.intercept)
    with quiet_readers():
        padded = _has_padding(dataset, stored)
    marks = {"clipped": clipped, "padding": padded, "monochrome1": header.monochrome1}
    return DicomSlice(header, hu, frozenset(name for name, met in marks.items() if met), removed)


def _stored_values(dataset: Dataset, header: DicomHeader) -> NDArray[np.integer]:
    """The pixels before slope and intercept, shape (rows, columns)."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax.is_encapsulated and not _is_complete(dataset):
        raise RefusedError("truncated", "The compressed pixel data is cut off")
    with quiet_readers():
        try:
            stored = pixel_array(dataset, decoding_plugin=header.plugin)
        except ValueError as error:
            raise RefusedError("unreadable", "The pixel data does not agree with its header") from error
        except (RuntimeError, NotImplementedError) as error:
            sentence = f"The pixels ({syntax_name(syntax)}) are damaged, or of a variety that the decoder does not know"
            raise RefusedError("undecodable", sentence) from error
        except Exception as error:  # a damaged stream can make a decoder raise anything
            raise RefusedError("unreadable", f"The pixels cannot be decoded ({type(error).__name__})") from error
    if stored.shape != (header.rows, header.columns):
        raise RefusedError("unreadable", "The decoded pixels do not have the rows and columns of the header")
    return stored


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
    except (KeyError, TypeError, ValueError):
        return False
    # the two elements are often written with the wrong sign
    if np.issubdtype(stored.dtype, np.signedinteger):
        low, high = (value - 0x10000 if value > 0x7FFF else value for value in (low, high))
    else:
        low, high = (value + 0x10000 if value < 0 else value for value in (low, high))
    low, high = min(low, high), max(low, high)
    return bool(((stored >= low) & (stored <= high)).any())
