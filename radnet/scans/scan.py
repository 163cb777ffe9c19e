"""One scan, whatever file it came from.

Shape legend: Z slices from inferior to superior, Y rows from anterior to posterior, X columns from the patient's
right to left. So a slice is shown the way radiologists look at it, from the feet, with the patient's right side
at the left of the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

REGIONS = ("head_neck", "thorax", "abdomen", "extremities", "hip_pelvis", "spine")
"""The six body regions of the reference study (arXiv 2306.17555)."""

UNKNOWN_REGION = "unknown"


@dataclass(frozen=True)
class ScanTags:
    """What may be known about a scan outside `radnet.scans`: nothing that identifies a person or a place.

    Attributes:
        body_region: One of `REGIONS`, or `UNKNOWN_REGION`.
        region_source: Where the region was read ("metadata.csv", "BodyPartExamined", …), empty when unknown.
        manufacturer: Scanner manufacturer, empty when unknown.
        kernel: Reconstruction kernel, empty when unknown.
        kvp: Tube voltage in kV, None when unknown.
        slice_thickness_mm: Nominal thickness of a slice, which need not be the distance between slices.
        contrast: Whether a contrast agent was given, None when unknown.
        source: "dicom" or "nifti".
        lossy: Whether the pixels went through lossy compression.
        synthetic: Whether the scan was made by a phantom and shows no person.
        notes: Irregularities that were met and survived, as reason codes ("uneven_spacing", "gantry_tilt").
    """

    body_region: str = UNKNOWN_REGION
    region_source: str = ""
    manufacturer: str = ""
    kernel: str = ""
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    contrast: bool | None = None
    source: str = ""
    lossy: bool = False
    synthetic: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scan:
    """A CT volume in Hounsfield units with its geometry.

    Attributes:
        hu: int16, shape (Z, Y, X), in the orientation of the module's legend.
        affine: float64, shape (4, 4): index (x, y, z, 1) -> position in mm, RAS+ as in NIfTI. Note the order:
            `hu[z, y, x]` lies at `affine @ (x, y, z, 1)`.
        spacing_mm: Distances between neighbouring voxels along (Z, Y, X).
        modality: DICOM modality code, "CT".
        patient_key: Keyed hash of the patient, 32 hex digits. Never the patient's own id.
        series_key: Keyed hash of the series, 32 hex digits.
        tags: What else may be known.
        slice_labels: Label name -> one value a slice (length Z), None where a slice has no such label.
        mask: uint8 or uint16, shape (Z, Y, X), label numbers, or None.
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    modality: str
    patient_key: str
    series_key: str
    tags: ScanTags = ScanTags()
    slice_labels: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    mask: NDArray[np.uint8] | NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or self.hu.dtype != np.int16:
            raise ValueError(f"hu must be int16 of shape (Z, Y, X), not {self.hu.dtype} of {self.hu.shape}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"affine must be 4 x 4, not {self.affine.shape}")
        if self.mask is not None and self.mask.shape != self.hu.shape:
            raise ValueError(f"mask {self.mask.shape} and hu {self.hu.shape} must have one shape")
        for name, values in self.slice_labels.items():
            if len(values) != len(self.hu):
                raise ValueError(f"label {name!r} has {len(values)} values for {len(self.hu)} slices")

    def z_mm(self) -> NDArray[np.float64]:
        """Position of each slice's centre along the patient's axis in mm (RAS+ z), shape (Z,)."""
        _, rows, columns = self.hu.shape
        z = np.arange(len(self.hu))
        centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
        return np.asarray(
            self.affine[2, 0] * centre_x + self.affine[2, 1] * centre_y + self.affine[2, 2] * z + self.affine[2, 3]
        )
