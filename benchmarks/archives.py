"""Archives of DICOM and NIfTI series for the benchmarks, made of real slices under new identities."""

from dataclasses import replace
from pathlib import Path

import gdcm
import nibabel as nib
import numpy as np
import pydicom
from common import Slice
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radnet.scans.phantom import phantom_series
from radnet.scans.phantom.dicom_writer import write_dicom_series
from radnet.scans.phantom.series import PhantomSeries

SYNTAXES: dict[str, UID] = {
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG lossless": JPEGLosslessSV1,
    "RLE": RLELossless,
}


def template() -> PhantomSeries:
    """Everything of a series but its voxels."""
    return phantom_series(0, 0, "abdomen", slices=1, size=64)


def volume_of(slices: list[Slice], count: int, variant: int) -> NDArray[np.int16]:
    """`count` slices, the given ones again and again; no two of them, and no two variants, are alike."""
    first = 8 * variant
    return np.stack([np.roll(slices[z % len(slices)], first + z // len(slices), axis=1) + z % 7 for z in range(count)])


def write_dicom(hu: NDArray[np.int16], directory: Path, number: int, like: PhantomSeries) -> None:
    """One uncompressed series of a patient of its own.

    Args:
        hu: int16, (Z, Y, X).
        directory: Where its files go.
        number: Of the patient; it decides name and UIDs.
        like: Gives the other attributes.
    """
    affine = like.affine.copy()
    series = replace(like, patient=f"BENCH{number:05d}", hu=hu.clip(-1024, 3071), affine=affine, mask=None)
    write_dicom_series(series, directory, seed=number)


def write_nifti(hu: NDArray[np.int16], directory: Path) -> None:
    """One `.nii.gz` in a directory of its own, which stands for its patient."""
    directory.mkdir(parents=True)
    nib.openers.Opener.default_compresslevel = 1
    nib.save(nib.Nifti1Image(hu.T, np.diag([0.8, 0.8, 1.0, 1.0])), directory / "ct.nii.gz")


def compress(directory: Path, syntax: UID) -> None:
    """Turn the files of a directory into another transfer syntax, in place."""
    for file in sorted(directory.rglob("*.dcm")):
        if syntax == JPEGLosslessSV1:
            compress_with_gdcm(file)
            continue
        dataset = pydicom.dcmread(file)
        if dataset.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(file)


def compress_with_gdcm(file: Path) -> None:
    """JPEG lossless, which pydicom cannot write."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(file))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    if not reader.Read():
        raise SystemExit(f"gdcm cannot read {file}")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise SystemExit(f"gdcm cannot compress {file}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(file))  # empties the file, so not before it is read
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise SystemExit(f"gdcm cannot write {file}")
