"""Reference masks: label maps on exactly the grid of their scan, from NIfTI, DICOM SEG or RTSTRUCT."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radnet.scans.contours import read_contours
from radnet.scans.dicom_elements import text_of
from radnet.scans.dicom_file import open_dicom
from radnet.scans.nifti import is_nifti_name, open_voxels
from radnet.scans.orientation import to_canonical
from radnet.scans.planes import Places
from radnet.scans.segmentations import read_segmentation
from radnet.scans.sources import RefusedError, unforeseen_refused
from radnet.scans.structures import Labels, table_for
from radnet.scans.volume import Voxels

AFFINE_TOLERANCE_MM = 1e-2
CORNER_TOLERANCE_VOXELS = 0.5


def read_mask(
    path: Path, voxels: Voxels, affine: NDArray[np.float64], places: Places, *, root: Path
) -> tuple[Labels, frozenset[str]]:
    """Read a mask in the canonical orientation.

    Args:
        path: The mask: NIfTI by its name, else DICOM SEG or RTSTRUCT.
        voxels: The scan, canonical, shape (Z, Y, X).
        affine: Its canonical affine.
        places: Where its slices really lie; a NIfTI mask has slice for slice the same ones.
        root: The archive, in which the table of structures of a DICOM mask is looked for.

    Returns:
        uint8 where all labels fit, else uint16; shape (Z, Y, X). And notes for the scan, see `radnet.scans.structures`
        and `radnet.scans.contours`.

    Raises:
        RefusedError: "mask_grid", "mask_values", "mask_structures", "mask_overlap" or "mask_unreadable".
    """
    try:
        with unforeseen_refused():
            if is_nifti_name(path):
                return _nifti_mask(path, voxels, affine), frozenset()
            modality = text_of(open_dicom(path, ("Modality",)), "Modality").upper()
            if modality == "SEG":
                return read_segmentation(path, affine, places, table_for(path, root))
            if modality == "RTSTRUCT":
                return read_contours(path, affine, places, table_for(path, root))
        raise RefusedError("mask_unreadable", "The mask is neither NIfTI nor a DICOM SEG or RTSTRUCT")
    except RefusedError as refused:
        if refused.reason.startswith("mask_"):
            raise
        raise RefusedError("mask_unreadable", f"The mask cannot be used: {refused.sentence}") from refused
    except OSError as error:
        raise RefusedError("mask_unreadable", f"The mask cannot be opened ({type(error).__name__})") from error


def _nifti_mask(path: Path, scan: Voxels, affine: NDArray[np.float64]) -> Labels:
    labels, mask_affine = _read_labels(path)
    voxels, mask_affine = to_canonical(labels, mask_affine)
    if voxels.shape != scan.shape:
        raise RefusedError("mask_grid", f"The mask has the shape {voxels.shape} and the scan {scan.shape} (Z, Y, X)")
    if not _same_grid(affine, mask_affine, scan.shape):
        raise RefusedError("mask_grid", "The mask has the shape of the scan but lies elsewhere in space")
    return voxels


def _read_labels(path: Path) -> tuple[Labels, NDArray[np.float64]]:
    """The labels in the file's own index order, and the affine; a few slices at a time."""
    with open_voxels(path) as voxels:
        labels: Labels = np.empty(voxels.shape[::-1], np.uint8)
        for start, block in voxels.blocks():
            if not np.isfinite(block).all() or block.min() < 0 or block.max() > 65535 or (block % 1 != 0).any():
                raise RefusedError("mask_values", "The mask holds values that are no label numbers (0 to 65535)")
            if labels.dtype == np.uint8 and block.max() > 255:
                labels = labels.astype(np.uint16)
            labels[start : start + block.shape[2]] = block.T
        return labels.T, voxels.affine


def _same_grid(affine: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    """Whether two canonical affines agree, also at the far corners where small differences add up."""
    far = np.array(shape[::-1]) - 1
    corners = np.array([[x, y, z, 1] for x in (0, far[0]) for y in (0, far[1]) for z in (0, far[2])])
    apart_mm = np.linalg.norm((corners @ (affine - other).T)[:, :3], axis=1).max()
    smallest_mm = np.linalg.norm(affine[:3, :3], axis=0).min()
    close = np.allclose(affine, other, rtol=0, atol=AFFINE_TOLERANCE_MM)
    return bool(close and apart_mm <= CORNER_TOLERANCE_VOXELS * smallest_mm)
