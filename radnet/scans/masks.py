"""Reference masks: label maps on exactly the grid of their scan."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radnet.scans.nifti import open_voxels
from radnet.scans.orientation import to_canonical
from radnet.scans.sources import RefusedError
from radnet.scans.volume import Voxels

AFFINE_TOLERANCE_MM = 1e-2
CORNER_TOLERANCE_VOXELS = 0.5


def read_mask(path: Path, hu: Voxels, affine: NDArray[np.float64]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read a NIfTI mask and bring it into the canonical orientation.

    Args:
        path: The mask.
        hu: The scan, canonical, shape (Z, Y, X).
        affine: Its canonical affine.

    Returns:
        uint8 where all labels fit, else uint16; shape (Z, Y, X).

    Raises:
        RefusedError: "mask_grid", "mask_values" or "mask_unreadable".
    """
    try:
        labels, mask_affine = _read_labels(path)
    except RefusedError as refused:
        if refused.reason == "mask_values":
            raise
        raise RefusedError("mask_unreadable", f"The mask cannot be used: {refused.sentence}") from refused
    voxels, mask_affine = to_canonical(labels, mask_affine)
    if voxels.shape != hu.shape:
        raise RefusedError("mask_grid", f"The mask has the shape {voxels.shape} and the scan {hu.shape} (Z, Y, X)")
    if not _same_grid(affine, mask_affine, hu.shape):
        raise RefusedError("mask_grid", "The mask has the shape of the scan but lies elsewhere in space")
    return voxels


def _read_labels(path: Path) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], NDArray[np.float64]]:
    """The labels in the file's own index order, and the affine; a few slices at a time."""
    with open_voxels(path) as voxels:
        labels: NDArray[np.uint8] | NDArray[np.uint16] = np.empty(voxels.shape[::-1], np.uint8)
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
