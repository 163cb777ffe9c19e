"""NIfTI files: what their headers say, and their voxels as Hounsfield units."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from radnet.scans.dicom_series import Volume
from radnet.scans.hounsfield import RealVoxels, looks_like_hu, looks_like_mask, rescale
from radnet.scans.quiet import quiet_readers
from radnet.scans.sources import RefusedError, SeriesSource

SUFFIXES = (".nii", ".nii.gz")
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
MIN_SPACING_MM = 1e-4


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """A usable 3-D NIfTI header.

    Attributes:
        shape: Number of voxels, index order.
        slices: Slices in canonical orientation, that is along the patient's axis.
    """

    shape: tuple[int, int, int]
    slices: int


def is_nifti_name(path: Path) -> bool:
    """Whether a file is called as NIfTI files are."""
    return path.name.lower().endswith(SUFFIXES)


def read_nifti_header(path: Path) -> NiftiHeader:
    """Check the header of a NIfTI file.

    Raises:
        RefusedError: Not readable, or not a 3-D grid of plain numbers ("four_dimensional", "rgb", "no_position").
    """
    with quiet_readers(), _refusals():
        image = _load(path)
        shape = _three_dimensional(image.shape)
        if image.get_data_dtype().names is not None or not np.issubdtype(image.get_data_dtype(), np.number):
            raise RefusedError("rgb", "The voxels are colours, not numbers")
        if np.issubdtype(image.get_data_dtype(), np.complexfloating):
            raise RefusedError("not_hu", "The voxels are complex numbers, not Hounsfield units")
        affine = affine_mm(image)
        superior = int(np.flatnonzero(io_orientation(affine)[:, 0] == 2)[0])
        return NiftiHeader(shape, shape[superior])


def read_nifti(source: SeriesSource) -> Volume:
    """Read the voxels of a NIfTI file as Hounsfield units.

    Unless the metadata declare a CT the values have to look like Hounsfield units: NIfTI names no unit.

    Args:
        source: A series of kind "nifti".

    Returns:
        The volume in the file's own index order.

    Raises:
        UnreadableSeries: Damaged, or no Hounsfield units ("not_hu", "looks_like_mask", "not_finite").
    """
    try:
        values, affine, notes = load_voxels(source.files[0])
        if not np.isfinite(values).all():
            raise RefusedError("not_finite", "Some voxels are no finite numbers")
        if not source.declared_hu:
            _require_hu(values)
    except RefusedError as refused:
        raise source.unreadable(refused.reason, refused.sentence) from refused
    hu, clipped = rescale(values, 1, 0)
    return Volume(hu, affine, tuple(sorted({*notes, "clipped"} if clipped else notes)))


def load_voxels(path: Path) -> tuple[NDArray[RealVoxels], NDArray[np.float64], frozenset[str]]:
    """The scaled voxels of a 3-D NIfTI file, shape (I, J, K), its affine in mm, and notes ("no_orientation").

    Raises:
        RefusedError: The file cannot be read.
    """
    with quiet_readers(), _refusals():
        image = _load(path)
        shape = _three_dimensional(image.shape)
        values = np.asanyarray(image.dataobj).reshape(shape)
        placed = int(image.header["qform_code"]) > 0 or int(image.header["sform_code"]) > 0
        return values, affine_mm(image), frozenset() if placed else frozenset({"no_orientation"})


def affine_mm(image: nib.Nifti1Image) -> NDArray[np.float64]:
    """The affine of a NIfTI image in mm, RAS+, shape (4, 4).

    Raises:
        RefusedError: It is not finite or flat.
    """
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    if not np.isfinite(affine).all() or np.linalg.norm(affine[:3, :3], axis=0).min() < MIN_SPACING_MM:
        raise RefusedError("no_position", "The affine of the header is not usable")
    if np.isnan(io_orientation(affine)).any() or abs(np.linalg.det(affine[:3, :3])) < MIN_SPACING_MM**3:
        raise RefusedError("no_position", "The affine of the header is singular")
    return affine


def _load(path: Path) -> nib.Nifti1Image:
    """Open a file without reading its voxels; NIfTI-2 images are of a subclass."""
    image = nib.load(path, mmap=False)
    if not isinstance(image, nib.Nifti1Image):
        raise RefusedError("unreadable", "The file is called NIfTI but holds another format")
    return image


def _three_dimensional(shape: tuple[int, ...]) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise RefusedError("four_dimensional", f"The image has {len(shape)} dimensions, not three")
    if len(shape) < 3 or min(shape) < 1:
        raise RefusedError("not_three_dimensional", f"The image has the shape {shape}, three dimensions are needed")
    return shape[0], shape[1], shape[2]


def _require_hu(values: NDArray[RealVoxels]) -> None:
    if looks_like_mask(values):
        raise RefusedError("looks_like_mask", "The voxels are a few small whole numbers, as in a mask")
    if not looks_like_hu(values):
        raise RefusedError("not_hu", "The values do not look like Hounsfield units, and no metadata declare a CT")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what nibabel raises into refusals; its own messages hold paths."""
    try:
        yield
    except RefusedError:
        raise
    except (EOFError, zlib.error) as error:
        raise RefusedError("truncated", "The compressed file ends before its end") from error
    except (ImageFileError, HeaderDataError) as error:
        raise RefusedError("unreadable", "The file is called NIfTI but its header is not") from error
    except (OSError, ValueError) as error:
        if "bytes" in str(error):  # nibabel: fewer bytes than the header promises
            raise RefusedError("truncated", "The file ends before its last voxel") from error
        raise RefusedError("unreadable", f"The NIfTI file cannot be read ({type(error).__name__})") from error
    except Exception as error:  # a damaged header can make the parser raise anything
        raise RefusedError("unreadable", f"The NIfTI file cannot be read ({type(error).__name__})") from error
