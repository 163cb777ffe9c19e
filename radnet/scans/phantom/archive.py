"""A whole archive of synthetic patients on disk, as a hospital's export would look, with its tables."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from joblib import Parallel, delayed

from radnet.console import progress
from radnet.errors import UsageError
from radnet.files import new_directory
from radnet.scans.phantom.dicom_writer import write_dicom_series
from radnet.scans.phantom.nifti_writer import ORIENTATIONS, write_nifti, write_nifti_series, write_structures
from radnet.scans.phantom.series import phantom_series
from radnet.scans.scan import REGIONS

FileFormat = Literal["dicom", "nifti", "mixed"]

METADATA_COLUMNS = ("path", "patient", "body_region", "modality", "synthetic", "kernel", "kvp", "contrast", "mask")
LABELS = ("contrast_phase", "liver_lesion", "vertebra", "vertebra_group")
SLICE_COLUMNS = ("path", "slice", *(f"label_{name}" for name in LABELS))

README = """SYNTHETIC DATA

Everything in this directory was computed by the CT phantom of radnet. No picture shows a person.
It is meant for trying out and testing software, not for any medical statement.

metadata.csv  one line a series: where it is, patient, body region, acquisition, mask
slices.csv    one line a slice: labels; slice 0 is the most inferior one, empty means not defined
*.json        names of the mask values

Made with seed {seed}: {patients} patients, {series} series each, {slices} slices of {size} x {size} pixels.
"""


def regions_of(seed: int, patient: int, series_per_patient: int) -> list[str]:
    """Body regions of one patient: no region twice, and in any six successive patients all equally often."""
    order = np.random.default_rng([seed, patient // len(REGIONS), 3]).permutation(len(REGIONS))
    start = patient * series_per_patient
    return [REGIONS[order[(start + number) % len(REGIONS)]] for number in range(series_per_patient)]


def write_phantom_archive(
    out: Path,
    *,
    patients: int,
    seed: int = 0,
    series_per_patient: int = 2,
    slices: int = 40,
    size: int = 256,
    file_format: FileFormat = "mixed",
    jobs: int = 1,
) -> None:
    """Write an archive of synthetic patients; the same arguments give the same bytes whatever `jobs` is.

    Args:
        out: Directory to create; it appears only when it is complete.
        patients: Number of patients, numbered from 0.
        seed: Seed of the archive.
        series_per_patient: 1 to 6 series of different body regions.
        slices: Slices a series.
        size: Rows and columns.
        file_format: "mixed" writes even patients as DICOM and odd ones as NIfTI.
        jobs: Processes.

    Raises:
        UsageError: `out` is not empty, or a number is out of range.
        RadnetError: The disk is full.
    """
    if patients < 1:
        raise UsageError(f"{patients} patients were asked for", fix="Ask for at least 1")
    if not 1 <= series_per_patient <= len(REGIONS):
        raise UsageError(
            f"{series_per_patient} series a patient were asked for",
            fix=f"Ask for 1 to {len(REGIONS)}, one a body region",
        )
    if file_format not in ("dicom", "nifti", "mixed"):
        raise UsageError(f"No such file format: {file_format!r}", fix="Use dicom, nifti or mixed")
    work = [
        (patient, region) for patient in range(patients) for region in regions_of(seed, patient, series_per_patient)
    ]
    with new_directory(out, replaceable=False) as partial, progress("synthetic series", total=len(work)) as meter:
        calls = (
            delayed(_write_one)(partial, seed, patient, region, slices, size, file_format) for patient, region in work
        )
        rows: list[tuple[list[str], list[list[str]]]] = []
        done: Iterator[tuple[list[str], list[list[str]]]] = Parallel(n_jobs=jobs, return_as="generator")(calls)
        for written in done:
            rows.append(written)
            meter.advance()
        _write_csv(partial / "metadata.csv", METADATA_COLUMNS, [line for line, _ in rows])
        _write_csv(partial / "slices.csv", SLICE_COLUMNS, [line for _, lines in rows for line in lines])
        text = README.format(seed=seed, patients=patients, series=series_per_patient, slices=slices, size=size)
        (partial / "README.txt").write_text(text)


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.write_text(text.getvalue())


def _write_one(
    out: Path, seed: int, patient: int, region: str, slices: int, size: int, file_format: FileFormat
) -> tuple[list[str], list[list[str]]]:
    """Make and write one series; returns its line of metadata.csv and its lines of slices.csv."""
    cv2.setNumThreads(1)  # one core a job
    series = phantom_series(seed, patient, region, slices=slices, size=size)
    as_dicom = file_format == "dicom" or (file_format == "mixed" and patient % 2 == 0)
    folder = Path(series.patient) / region
    if as_dicom:
        path, mask = folder, folder.with_name(f"{region}_seg.nii.gz")
        write_dicom_series(series, out / folder, seed=seed)
        write_nifti(series.mask, series.affine, out / mask)
        write_structures(out / folder.with_name(f"{region}_seg.json"))
    else:
        path, mask = folder / "ct.nii.gz", folder / "seg.nii.gz"
        orientation = ORIENTATIONS[(patient // 2) % len(ORIENTATIONS)]
        write_nifti_series(series, out / folder, orientation=orientation)
    tags = series.tags
    line = [
        path.as_posix(), series.patient, region, "CT", "true", str(tags["kernel"]), str(tags["kvp"]),
        str(bool(tags["contrast"])).lower(), mask.as_posix(),
    ]  # fmt: skip
    labels = [series.slice_labels[name] for name in LABELS]
    lines = [[path.as_posix(), str(z), *(values[z] or "" for values in labels)] for z in range(len(series.hu))]
    return line, lines
