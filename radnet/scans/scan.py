"""One scan, whatever file it came from.

Shape legend: Z slices from inferior to superior, Y rows from anterior to posterior, X columns from the patient's
right to left. So a slice is shown the way radiologists look at it, from the feet, with the patient's right side
at the left of the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

REGIONS = ("head_neck", "thorax", "abdomen", "extremities", "hip_pelvis", "spine")
"""The six body regions of the reference study (arXiv 2306.17555)."""

UNKNOWN_REGION = "unknown"
FLAT = "flat"
"""Note of an image that has no place in space."""


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
        source: "dicom", "nifti" or "picture".
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

    def with_notes(self, *notes: str) -> "ScanTags":
        """The same with more notes."""
        return replace(self, notes=tuple(sorted({*self.notes, *notes})))


@dataclass(frozen=True)
class Scan:
    """A volume with its geometry. The dtype says the unit, here and in every shard.

    int16 is Hounsfield units, always and only. uint16 are the arbitrary units of MR and radiographs. uint8 are display
    grey levels or colours.

    Attributes:
        voxels: int16 (CT), uint16 (MR, radiographs) or uint8 (pictures), shape (Z, Y, X), in the orientation of the
            module's legend; a colour picture has shape (1, Y, X, 3), RGB. It may be a view of an array with other
            strides: only its slices are sure to be cheap.
        affine: float64, shape (4, 4): index (x, y, z, 1) -> position in mm, RAS+ as in NIfTI. Note the order:
            `voxels[z, y, x]` lies at `affine @ (x, y, z, 1)`.
        spacing_mm: Distances between neighbouring voxels along (Z, Y, X); None where nobody knows them.
        modality: DICOM modality code ("CT", "MR", "CR", "DX"), or "PICTURE" for a file that is none of medicine.
        patient_key: Keyed hash of the patient, 32 hex digits. Never the patient's own id.
        series_key: Keyed hash of the series, 32 hex digits.
        tags: What else may be known.
        slice_labels: Label name -> one value a slice (length Z), None where a slice has no such label.
        mask: uint8 or uint16, shape (Z, Y, X), label numbers, or None.
        encoded: Of a picture, the bytes to store for each slice, without metadata.
        image_format: What these bytes are, "jpg" or "png"; empty without them.
        split: Side of a split that the data came with; None where the patient key decides.
    """

    voxels: NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.uint8]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float | None, float | None, float | None]
    modality: str
    patient_key: str
    series_key: str
    tags: ScanTags = ScanTags()
    slice_labels: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    mask: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    encoded: tuple[bytes, ...] = ()
    image_format: str = ""
    split: str | None = None

    def __post_init__(self) -> None:
        if self.voxels.ndim not in (3, 4) or self.voxels.dtype not in (np.int16, np.uint16, np.uint8):
            raise ValueError(f"voxels are int16, uint16 or uint8, not {self.voxels.dtype} of {self.voxels.shape}")
        if (self.voxels.dtype == np.int16) != (self.modality == "CT"):
            raise ValueError(f"int16 is Hounsfield units of CT, but this is {self.voxels.dtype} of {self.modality}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"affine must be 4 x 4, not {self.affine.shape}")
        if self.mask is not None and self.mask.shape != self.voxels.shape[:3]:
            raise ValueError(f"mask {self.mask.shape} and voxels {self.voxels.shape} must have one shape")
        for name, values in self.slice_labels.items():
            if len(values) != len(self.voxels):
                raise ValueError(f"label {name!r} has {len(values)} values for {len(self.voxels)} slices")

    def z_mm(self) -> NDArray[np.float64]:
        """Position of each slice's centre along the patient's axis in mm (RAS+ z), shape (Z,)."""
        rows, columns = self.voxels.shape[1:3]
        z = np.arange(len(self.voxels))
        centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
        return np.asarray(
            self.affine[2, 0] * centre_x + self.affine[2, 1] * centre_y + self.affine[2, 2] * z + self.affine[2, 3]
        )
