"""NIfTI files: what their headers say, and their voxels as Hounsfield units."""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack, unpack_from

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayLike
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from radnet.scans.hounsfield import RealVoxels, Survey, blocks_of, rescale
from radnet.scans.quiet import quiet_readers
from radnet.scans.removed import removed_fields
from radnet.scans.sizes import MAX_EXTENSION_BYTES, require_bytes, require_plausible_series
from radnet.scans.sources import RefusedError, SeriesSource
from radnet.scans.volume import Volume

SUFFIXES = (".nii", ".nii.gz")
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
MIN_SPACING_MM = 1e-4
NIFTI2_BYTES = 540
VOXEL_OFFSETS = {348: (108, "f"), NIFTI2_BYTES: (168, "q")}
"""Size of the header -> where it says at which byte the voxels begin, and in which form. NIfTI-1 and -2."""
EXTENSION_STEP = 16
"""The length of an extension is a multiple of it."""


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
    """Read the voxels of a NIfTI file as Hounsfield units, a few slices at a time.

    Unless the metadata declare a CT the values have to look like Hounsfield units: NIfTI names no unit.

    Args:
        source: A series of kind "nifti".

    Returns:
        The volume in the file's own index order.

    Raises:
        UnreadableSeries: Damaged, or no Hounsfield units ("not_hu", "looks_like_mask", "not_finite").
    """
    try:
        with open_voxels(source.files[0]) as voxels:
            if source.modality != "CT":
                return _arbitrary_units(voxels)
            hu = np.empty(voxels.shape[::-1], np.int16)
            seen, clipped = Survey(), False
            for start, block in voxels.blocks():
                seen.add(block)
                if not seen.finite:
                    raise RefusedError("not_finite", "Some voxels are no finite numbers")
                values, cut = rescale(block, 1, 0)
                hu[start : start + block.shape[2]] = values.T
                clipped = clipped or cut
        if not source.declared_hu:
            _require_hu(seen)
    except RefusedError as refused:
        raise source.unreadable(refused.reason, refused.sentence) from refused
    notes = {*voxels.notes, "clipped"} if clipped else voxels.notes
    return Volume(hu.T, voxels.affine, tuple(sorted(notes)), removed_tags=dict.fromkeys(voxels.removed, 1))


def _arbitrary_units(voxels: "NiftiVoxels") -> Volume:
    """Voxels of another modality than CT as uint16.

    Whole numbers keep their steps; fractions are stretched from their minimum to their maximum over all 16 bits.
    """
    seen = Survey()
    for _, block in voxels.blocks():
        seen.add(block)
    if not seen.finite:
        raise RefusedError("not_finite", "Some voxels are no finite numbers")
    low, span = min(seen.minimum, 0.0), seen.maximum - min(seen.minimum, 0.0)
    scale, notes = 1.0, set(voxels.notes)
    if not seen.whole:
        low, span = seen.minimum, seen.maximum - seen.minimum
        scale = np.iinfo(np.uint16).max / span if span else 1.0
        notes.add("stretched")
    elif span > np.iinfo(np.uint16).max:
        raise RefusedError("value_range", "The values need more than 16 bits")
    elif low < 0:
        notes.add("shifted")
    values = np.empty(voxels.shape[::-1], np.uint16)
    for start, block in voxels.blocks():
        values[start : start + block.shape[2]] = np.rint((block.astype(np.float64) - low) * scale).T
    return Volume(values.T, voxels.affine, tuple(sorted(notes)), removed_tags=dict.fromkeys(voxels.removed, 1))


@dataclass(frozen=True)
class NiftiVoxels:
    """The voxels of an open file.

    Attributes:
        shape: Index order (I, J, K).
        affine: In mm, RAS+.
        notes: "no_orientation" where neither qform nor sform is set.
        removed: Text fields of the header that hold something.
        proxy: Reads and scales what is asked of it.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    notes: frozenset[str]
    removed: tuple[str, ...]
    proxy: ArrayLike

    def blocks(self) -> Iterator[tuple[int, NDArray[RealVoxels]]]:
        """Scaled voxels of a few slices along the last axis, (I, J, k), each with the number of its first slice.

        Raises:
            RefusedError: The file cannot be read.
        """
        each = blocks_of(self.shape[::-1])
        rest = (0,) * (len(self.proxy.shape) - 3)
        for start in range(0, self.shape[2], each):
            with quiet_readers(), _refusals():
                block = np.asanyarray(self.proxy[(slice(None), slice(None), slice(start, start + each), *rest)])
            yield start, block


@contextmanager
def open_voxels(path: Path) -> Iterator[NiftiVoxels]:
    """Open a 3-D NIfTI file to read its voxels in order; a compressed one is decompressed once.

    Raises:
        RefusedError: The file cannot be read, or is too small for what its header claims.
    """
    with quiet_readers(), _refusals():
        image = _load(path, keep_open=True)
        shape = _three_dimensional(image.shape)
        _require_size(image, path)
        placed = int(image.header["qform_code"]) > 0 or int(image.header["sform_code"]) > 0
        notes = frozenset() if placed else frozenset({"no_orientation"})
        voxels = NiftiVoxels(shape, affine_mm(image), notes, removed_fields(image.header), image.dataobj)
    try:
        yield voxels
    finally:
        del image


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


def _require_size(image: nib.Nifti1Image, path: Path) -> None:
    """Refuse dimensions that the file cannot hold."""
    voxels = math.prod(int(side) for side in image.shape)
    claimed = voxels * image.get_data_dtype().itemsize
    require_bytes(claimed, path.stat().st_size, compressed=path.name.lower().endswith(".gz"))
    require_plausible_series(*_three_dimensional(image.shape))


def _load(path: Path, *, keep_open: bool = False) -> nib.Nifti1Image:
    """Open a file without reading its voxels; NIfTI-2 images are of a subclass."""
    _require_plausible_extensions(path)
    image = nib.load(path, mmap=False, keep_file_open=keep_open)
    if not isinstance(image, nib.Nifti1Image):
        raise RefusedError("unreadable", "The file is called NIfTI but holds another format")
    return image


def _require_plausible_extensions(path: Path) -> None:
    """Refuse a header that claims megabytes of extensions before the voxels: nibabel reads them as a whole.

    Raises:
        RefusedError: "too_large"; "unreadable" where an extension is longer than all of them.
    """
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        head = file.read(NIFTI2_BYTES + 4)
        order = next((order for order in "<>" if head[:4] in (pack(f"{order}i", size) for size in VOXEL_OFFSETS)), None)
        if order is None:  # no NIfTI at all, which nibabel says
            return
        (size,) = unpack(f"{order}i", head[:4])
        at, form = VOXEL_OFFSETS[size]
        if len(head) < size + 4:
            return  # cut off, as above
        (offset,) = unpack_from(f"{order}{form}", head, at)
        left = offset - size - 4
        if left < 0 and head[size]:  # nibabel would look for extensions up to the end of the file
            raise RefusedError("unreadable", "The header names extensions and leaves no room for them")
        if not left <= MAX_EXTENSION_BYTES:
            raise RefusedError("too_large", "The header claims more in front of the voxels than any file holds there")
        at = size + 4
        while left >= EXTENSION_STEP and head[size]:
            file.seek(at)
            start = file.read(4)
            (length,) = unpack(f"{order}i", start) if len(start) == 4 else (0,)
            if not EXTENSION_STEP // 2 <= length <= left:
                raise RefusedError(
                    "unreadable", "An extension of the header is longer than all of them, or has no length"
                )
            at, left = at + length, left - length


def _three_dimensional(shape: tuple[int, ...]) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise RefusedError("four_dimensional", f"The image has {len(shape)} dimensions, not three")
    if len(shape) < 3 or min(shape) < 1:
        raise RefusedError("not_three_dimensional", f"The image has the shape {shape}, three dimensions are needed")
    return shape[0], shape[1], shape[2]


def _require_hu(seen: Survey) -> None:
    if seen.looks_like_mask():
        raise RefusedError("looks_like_mask", "The voxels are a few small whole numbers, as in a mask")
    if not seen.looks_like_hu():
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
