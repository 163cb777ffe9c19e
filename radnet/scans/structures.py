"""From structures to label numbers: which structure of a DICOM mask becomes which number of a label map.

NIfTI masks carry numbers. DICOM SEG and RTSTRUCT carry names, and numbers that mean something in their own file only
(segment 1, ROI 1). A table beside them says which number a name stands for: a JSON file called like the mask, or
`structures.json` in its directory or any above it up to the archive. Its form is the one that NIfTI masks usually come
with: {"1": "liver", "2": ["tumour", "lesion"]}. Without a table the file's own numbers are taken.

A label map has one number a voxel, structures may overlap. Where they do, the map holds bit sets instead: bit n - 1 is
structure n, and the scan says so by the note `OVERLAP`. So nothing is lost, and which structure a shared voxel belongs
to is not decided here.

Shape legend: Z slices, Y rows, X columns.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radnet.scans.sources import RefusedError

FILE_NAME = "structures.json"
LARGEST_LABEL = 65535
MOST_BITS = 16
OVERLAP = "overlapping_masks"
"""Note of a scan whose mask holds bit sets."""
LEFT_OUT = "structures_left_out"
"""Note of a scan of whose mask some structures are not in the table."""

Labels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class StructureTable:
    """Names and the numbers they stand for.

    Attributes:
        numbers: Name, without case and outer blanks -> number, 1 to 65535. None: there is no table.
    """

    numbers: Mapping[str, int] | None = None

    def number_of(self, name: str, own: int) -> int | None:
        """The number of a structure; None for one that the table does not name.

        Args:
            name: Its name in the file.
            own: Its number in the file.

        Raises:
            RefusedError: Without a table, `own` is no label number.
        """
        if self.numbers is not None:
            return self.numbers.get(_plain(name))
        if not 1 <= own <= LARGEST_LABEL:
            raise RefusedError("mask_values", "A structure of the mask has a number that no label map can hold")
        return own


def table_for(mask: Path, root: Path) -> StructureTable:
    """The table that belongs to a mask.

    Args:
        mask: The mask's file.
        root: The archive; above it nothing is looked for.

    Raises:
        RefusedError: "mask_structures": the table cannot be used.
    """
    places = [mask.with_suffix(".json")]
    top = root.resolve()  # the metadata name masks by their real paths
    for directory in mask.parents:
        places.append(directory / FILE_NAME)
        if directory in (root, top):
            break
    found = next((place for place in places if place.is_file()), None)
    return StructureTable() if found is None else StructureTable(_read(found))


def label_map(
    structures: Iterable[tuple[int, NDArray[np.bool_]]], shape: tuple[int, ...]
) -> tuple[Labels, frozenset[str]]:
    """One array for all structures.

    Args:
        structures: (number, bool (Z, Y, X)), one after another; the same number may come again.
        shape: (Z, Y, X).

    Returns:
        The label map, uint8 where all values fit, else uint16; and notes: `OVERLAP` where it holds bit sets.

    Raises:
        RefusedError: "mask_overlap": structures overlap and one has a number above 16.
    """
    labels = np.zeros(shape, np.uint16)
    bits: NDArray[np.uint16] | None = None
    seen: set[int] = set()
    for number, inside in structures:
        seen.add(number)
        if bits is None and _shared(labels, inside, number):
            bits = _as_bits(labels, seen)
        if bits is not None:
            _require_bits(seen)
            bits[inside] |= np.uint16(1 << (number - 1))
        else:
            labels[inside] = number
    values, notes = (labels, frozenset[str]()) if bits is None else (bits, frozenset({OVERLAP}))
    return (values.astype(np.uint8) if values.max(initial=0) <= 255 else values), notes


def _shared(labels: NDArray[np.uint16], inside: NDArray[np.bool_], number: int) -> bool:
    """Whether some voxel inside belongs to another structure already."""
    there = labels[inside]
    return bool(((there != 0) & (there != number)).any())


def _as_bits(labels: NDArray[np.uint16], seen: set[int]) -> NDArray[np.uint16]:
    """A label map as bit sets."""
    _require_bits(seen)
    table = np.zeros(MOST_BITS + 1, np.uint16)
    table[1:] = 1 << np.arange(MOST_BITS)
    return np.asarray(table[labels])


def _require_bits(seen: set[int]) -> None:
    if max(seen) > MOST_BITS:
        raise RefusedError(
            "mask_overlap", f"Structures overlap and one has the number {max(seen)}; give them numbers up to 16"
        )


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _read(file: Path) -> dict[str, int]:
    """Name -> number of a table."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedError("mask_structures", "The table of structures is no readable JSON") from error
    if not isinstance(content, dict):
        raise RefusedError("mask_structures", 'The table of structures is not of the form {"1": "liver"}')
    numbers: dict[str, int] = {}
    for key, names in content.items():
        listed = names if isinstance(names, list) else [names]
        if not (key.isdecimal() and 1 <= int(key) <= LARGEST_LABEL) or not all(isinstance(one, str) for one in listed):
            raise RefusedError("mask_structures", 'The table of structures is not of the form {"1": "liver"}')
        for one in listed:
            if numbers.setdefault(_plain(one), int(key)) != int(key):
                raise RefusedError("mask_structures", "The table of structures gives one name two numbers")
    return numbers
