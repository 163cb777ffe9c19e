"""Phantom volumes and masks as NIfTI, in several stored orientations, byte for byte reproducible."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from radnet.scans.phantom.series import PhantomSeries
from radnet.scans.phantom.structures import STRUCTURES

DESCRIPTION = "synthetic CT, radnet phantom, no person"
ORIENTATIONS = ("RAS", "LPS", "LAS")


def write_nifti(
    voxels: NDArray[np.generic], affine: NDArray[np.float64], path: Path, *, orientation: str = "LPS"
) -> None:
    """Write voxels of shape (Z, Y, X) as compressed NIfTI.

    Args:
        voxels: int16 or uint8 (Z, Y, X), in the canonical orientation.
        affine: float64 (4, 4), index (x, y, z, 1) -> mm, RAS+.
        path: File to write, ending in .nii.gz.
        orientation: Axis codes in which to store, such as "RAS".
    """
    columns_first = voxels.transpose(2, 1, 0)
    transform = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(orientation)))
    stored = apply_orientation(columns_first, transform)
    stored_affine = affine @ inv_ornt_aff(transform, columns_first.shape)
    image = nib.Nifti1Image(np.asarray(stored), stored_affine)
    image.header["descrip"] = DESCRIPTION.encode()
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def write_structures(path: Path) -> None:
    """Write the names of the mask values as JSON, {"1": "liver", …}."""
    path.write_text(json.dumps({str(value): name for value, name in STRUCTURES.items()}, indent=1) + "\n")


def write_nifti_series(series: PhantomSeries, directory: Path, *, orientation: str) -> None:
    """Write `ct.nii.gz`, `seg.nii.gz` and `seg.json` into a directory."""
    write_nifti(series.hu, series.affine, directory / "ct.nii.gz", orientation=orientation)
    write_nifti(series.mask, series.affine, directory / "seg.nii.gz", orientation=orientation)
    write_structures(directory / "seg.json")
