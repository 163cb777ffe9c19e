"""The frames of an enhanced (multi-frame) file, each with the elements that hold for it.

Source: DICOM PS3.3 C.7.6.16 (functional groups) and A.38 (enhanced CT). What is shared by all frames stands in one
item, what differs in one item a frame; every group is a sequence of one item.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom import Dataset

from radnet.scans.dicom_elements import FrameElements, number_of, text_of
from radnet.scans.sources import RefusedError

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
GROUPS: Mapping[str, Mapping[str, str]] = {
    "PixelMeasuresSequence": {name: name for name in ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices")},
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelValueTransformationSequence": {name: name for name in ("RescaleSlope", "RescaleIntercept", "RescaleType")},
    "CTImageFrameTypeSequence": {"FrameType": "ImageType"},
    "MRImageFrameTypeSequence": {"FrameType": "ImageType"},
    "CTReconstructionSequence": {"ConvolutionKernel": "ConvolutionKernel"},
    "CTXRayDetailsSequence": {"KVP": "KVP"},
    "CTAcquisitionDetailsSequence": {"GantryDetectorTilt": "GantryDetectorTilt"},
    "FrameContentSequence": {
        "FrameAcquisitionNumber": "AcquisitionNumber",
        "TemporalPositionIndex": "TemporalPositionIdentifier",
        "InStackPositionNumber": "InstanceNumber",
        "StackID": "StackID",
    },
    "TemporalPositionSequence": {"TemporalPositionTimeOffset": "TemporalPositionTimeOffset"},
    "CardiacSynchronizationSequence": {"NominalPercentageOfCardiacPhase": "NominalPercentageOfCardiacPhase"},
    "MREchoSequence": {"EffectiveEchoTime": "EffectiveEchoTime"},
    "UnassignedSharedConvertedAttributesSequence": {
        name: name for name in ("ConvolutionKernel", "KVP", "GantryDetectorTilt", "AcquisitionNumber")
    },
    "UnassignedPerFrameConvertedAttributesSequence": {
        name: name for name in ("GantryDetectorTilt", "TemporalPositionIdentifier")
    },
}
"""Functional group -> its elements that are of use, and the names of their like in single-frame files."""
PHASES = ("StackID", "TemporalPositionIdentifier", "TemporalPositionTimeOffset", "NominalPercentageOfCardiacPhase")
ECHO = "EffectiveEchoTime"


def is_multi_frame(dataset: Dataset) -> bool:
    """Whether a file has functional groups, one item a frame."""
    return PER_FRAME in dataset


def frames_of(dataset: Dataset) -> Iterator[FrameElements]:
    """The elements of each frame, in the order of the frames.

    Raises:
        RefusedError: The functional groups are malformed, or are not as many as there are frames ("multi_frame").
    """
    try:
        shared = _own(dataset[SHARED].value[0]) if SHARED in dataset and len(dataset[SHARED].value) else {}
        items = dataset[PER_FRAME].value
        count = len(items)
    except Exception as error:  # a damaged sequence can make the parser raise anything
        raise RefusedError("multi_frame", "The functional groups of the frames cannot be read") from error
    if count == 0 or count != int(number_of(dataset, "NumberOfFrames") or 1):
        raise RefusedError("multi_frame", "The file does not describe each of its frames")
    for item in items:
        try:
            own = {**shared, **_own(item)}
        except Exception as error:  # as above
            raise RefusedError("multi_frame", "The functional groups of a frame cannot be read") from error
        frame = FrameElements(dataset, own)
        phase = "\0".join(text for name in (*PHASES, ECHO) if (text := text_of(frame, name)))
        yield FrameElements(dataset, {**own, "TemporalPositionIdentifier": phase})


def _own(item: Dataset) -> dict[str, Any]:
    """What the functional groups in one item say."""
    found: dict[str, Any] = {}
    for sequence, elements in GROUPS.items():
        if sequence in item and len(item[sequence].value):
            group = item[sequence].value[0]
            found |= {name: value for keyword, name in elements.items() if (value := group.get(keyword)) is not None}
    return found
