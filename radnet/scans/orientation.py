"""Bringing any voxel grid into the one orientation of `radnet.scans.scan`: (Z, Y, X) = superior, posterior, left."""

from typing import Any, TypeVar

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

Grid = TypeVar("Grid", bound=NDArray[Any])
CANONICAL_AXES = ("L", "P", "S")
"""Directions in which x, y and z grow."""


def to_canonical(voxels: Grid, affine: NDArray[np.float64]) -> tuple[Grid, NDArray[np.float64]]:
    """Flip and permute a grid, without resampling, so that it grows to the left, posterior and superior.

    An oblique grid goes to the nearest such orientation; its affine keeps the obliqueness.

    Args:
        voxels: Any dtype, shape (I, J, K), in NIfTI index order.
        affine: float64, shape (4, 4), index (i, j, k, 1) -> mm, RAS+.

    Returns:
        The voxels as (Z, Y, X), a view with other strides, and the affine for (x, y, z, 1) -> mm, RAS+.

    Raises:
        ValueError: The affine is singular, so that a grid direction has no orientation.
    """
    start = io_orientation(affine)
    if np.isnan(start).any():
        raise ValueError("the affine is singular")
    transform = ornt_transform(start, axcodes2ornt(CANONICAL_AXES))
    turned = apply_orientation(voxels, transform)
    turned_affine = affine @ inv_ornt_aff(transform, voxels.shape)
    view: Grid = turned.transpose(2, 1, 0)
    return view, np.asarray(turned_affine, dtype=np.float64)


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Distances between neighbouring voxels in mm along (Z, Y, X) of a canonical affine."""
    x, y, z = nib.affines.voxel_sizes(affine)
    return float(z), float(y), float(x)
