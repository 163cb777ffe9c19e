"""Which elements of a file do not enter a scan: their names, never their values."""

from functools import cache
from typing import Any

import nibabel as nib
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag

ENTERING = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        *("Modality", "Manufacturer", "ConvolutionKernel", "KVP", "ContrastBolusAgent", "BodyPartExamined"),
        *("SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt", "ImagerPixelSpacing"),
        *("ImagePositionPatient", "ImageOrientationPatient"),
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    )
)
"""Elements whose values make geometry or tags of a scan.

Free texts that only name the body region, and ids that leave as keyed hashes, are not among them.
"""
PIXEL_GROUPS = (0x0028, 0x7FE0)
PRIVATE, UNKNOWN = "private elements", "unknown elements"
NIFTI_TEXTS = ("descrip", "aux_file", "db_name", "intent_name")


def removed_keywords(dataset: Dataset) -> tuple[str, ...]:
    """Keywords of the elements at the top of a data set that hold something which does not enter a scan, sorted.

    Elements inside sequences count by the sequence, private ones all as one.
    """
    names = {_name(element.tag) for element in dataset.values() if _holds(element.value)}  # values as in the file
    return tuple(sorted(names - {""}))


def removed_fields(header: nib.Nifti1Header) -> tuple[str, ...]:
    """Text fields of a NIfTI header that are not empty; none of them enters a scan."""
    return tuple(name for name in NIFTI_TEXTS if bytes(header[name].tobytes()).strip(b"\0 "))


@cache
def _name(tag: BaseTag) -> str:
    """The keyword under which an element counts, empty when it does not."""
    if tag.is_private:
        return PRIVATE
    if tag in ENTERING or tag.group in PIXEL_GROUPS or tag.element == 0:
        return ""
    return keyword_for_tag(tag) or UNKNOWN


def _holds(value: Any) -> bool:
    return bool(value.strip(b"\0 ") if isinstance(value, bytes) else value)
