"""Opening a DICOM file, with or without the 128-byte preamble, whatever it is called."""

import io
import zlib
from functools import cache
from pathlib import Path

import pydicom
from pydicom import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from radnet.scans.dicom_elements import text_of
from radnet.scans.quiet import quiet_readers
from radnet.scans.sizes import MAX_DEFLATED_BYTES
from radnet.scans.sources import RefusedError

PREAMBLE_BYTES = 128
MUCH = 1 << 20
"""Bytes that may be asked for without a look at the size of the file."""
META_GROUP = 0x0002
BARE_GROUPS = (0x0002, 0x0008)
"""Groups with which a data set without preamble may begin."""


class HonestFile(io.BufferedReader):
    """A file that never makes room for more bytes than it has left.

    An element may claim 4 GiB; a plain file would allocate them before it finds that they are not there.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(str(path)))  # pydicom joins its name with words
        self._bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that are left when it is negative."""
        if size is not None and size > MUCH:
            size = min(size, max(self._bytes - self.tell(), 0))
        return super().read(size)


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file that begins with these bytes (132 are needed) may be a DICOM file.

    Besides the regular magic word this accepts data sets without preamble, as old archives and some exports hold
    them: they begin with a low element of group 0002 or 0008, in either byte order.
    """
    if start[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM":
        return True
    if len(start) < 8:
        return False
    return any(
        int.from_bytes(start[:2], order) in BARE_GROUPS and int.from_bytes(start[2:4], order) <= 0x18
        for order in ("little", "big")
    )


@cache
def _tags(keywords: tuple[str, ...]) -> list[BaseTag]:
    return [Tag(keyword) for keyword in keywords]


def open_dicom(path: Path, keywords: tuple[str, ...] | None = None, *, without_pixels: bool = False) -> FileDataset:
    """Read a DICOM file.

    Args:
        path: The file.
        keywords: Read these elements only, and nothing from the pixel data on; None reads everything.
        without_pixels: Read nothing from the pixel data on.

    Returns:
        The data set; its file meta always names a transfer syntax.

    Raises:
        RefusedError: Not readable as DICOM ("unreadable", "truncated").
    """
    tags = _tags(keywords) if keywords else None
    stop = without_pixels or keywords is not None
    with quiet_readers():
        try:
            with HonestFile(path) as file:
                _require_plausible_deflation(file)
                try:
                    dataset = pydicom.dcmread(file, stop_before_pixels=stop, specific_tags=tags)
                except InvalidDicomError:
                    file.seek(0)
                    dataset = pydicom.dcmread(file, stop_before_pixels=stop, specific_tags=tags, force=True)
            if "TransferSyntaxUID" not in dataset.file_meta:
                _name_transfer_syntax(dataset)
            if not isinstance(dataset.file_meta.TransferSyntaxUID, str):
                raise RefusedError("unreadable", "The file meta names several transfer syntaxes, or an empty one")
        except RefusedError:
            raise
        except (EOFError, zlib.error) as error:
            raise RefusedError(
                "truncated", "The file ends in the middle of its data, or its compression is damaged"
            ) from error
        except Exception as error:  # a damaged file can make the parser raise anything
            raise RefusedError("unreadable", f"The DICOM header cannot be read ({type(error).__name__})") from error
    return dataset


def _require_plausible_deflation(file: HonestFile) -> None:
    """Refuse a deflated data set that would become larger than memory should hold; the parser decompresses it whole.

    Raises:
        RefusedError: "too_large".
        zlib.error: The compression is damaged.
    """
    head = file.peek()  # the file meta of nearly all files is in it, and of hardly any it names this syntax
    if pydicom.uid.DeflatedExplicitVRLittleEndian.encode() not in head:
        return
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM":
        file.seek(PREAMBLE_BYTES + 4)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_behind_meta)
    if text_of(meta, "TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while (block := inflate.unconsumed_tail or file.read(MUCH)) and not inflate.eof:
            size += len(inflate.decompress(block, MUCH))
            if size > MAX_DEFLATED_BYTES:
                raise RefusedError("too_large", "The deflated file would become larger than any that is read")
    file.seek(0)


def _is_behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != META_GROUP


def _name_transfer_syntax(dataset: FileDataset) -> None:
    """Fill in the syntax that the parser found by itself in a file without file meta."""
    implicit, little = dataset.original_encoding
    if len(dataset) == 0 or implicit is None or little is None:
        raise RefusedError("unreadable", "The file meta names no transfer syntax and no data element can be read")
    syntax = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else syntax
