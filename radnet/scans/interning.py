"""Holding what the slices of a series share once: an archive of millions of files has to fit into memory."""

from dataclasses import fields
from typing import Any

from radnet.scans.dicom_headers import DicomHeader

OWN = frozenset({"instance_uid", "position_mm", "number"})
"""Fields that no two slices share."""
SHARED = tuple(field.name for field in fields(DicomHeader) if field.name not in OWN)


class Interner:
    """Replaces equal values by one object."""

    def __init__(self) -> None:
        self._values: dict[tuple[type, object], object] = {}

    def header(self, header: DicomHeader) -> DicomHeader:
        """An equal header whose values are those of earlier headers where they are equal."""
        for name in SHARED:
            object.__setattr__(header, name, self._one(getattr(header, name)))
        position = tuple(self._one(value) for value in header.position_mm)  # x and y hardly ever change
        object.__setattr__(header, "position_mm", position)
        return header

    def _one(self, value: Any) -> Any:
        # the type tells 1 from 1.0 and True
        return self._values.setdefault((type(value), value), value)
