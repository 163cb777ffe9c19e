"""LiTS: `volume-N.nii` beside `segmentation-N.nii`, in one directory or in one a batch.

Bilic et al. 2023, "The Liver Tumor Segmentation Benchmark (LiTS)", Medical Image Analysis 84. The download names no
patients; each volume stands for one.
"""

import re
from pathlib import Path
from typing import ClassVar

from radnet.errors import UsageError
from radnet.transfer.prepare.contract import Conversion, Converter, Request
from radnet.transfer.prepare.volumes import VolumeEntry, nifti_files, stem, volume_inventory

VOLUME = re.compile(r"volume-(\d+)", re.IGNORECASE)
SEGMENTATION = re.compile(r"segmentation-(\d+)", re.IGNORECASE)


class Lits(Converter):
    """The converter."""

    public: ClassVar[bool] = True

    def convert(self, request: Request) -> Conversion:
        """See `Converter`; volumes without a segmentation (the test batch) are rejects.

        Raises:
            UsageError: There is no pair of volume and segmentation, or a number occurs twice.
        """
        files = nifti_files(request.source)
        volumes, masks = (_numbered(files, pattern) for pattern in (VOLUME, SEGMENTATION))
        pairs = sorted(set(volumes) & set(masks))
        if not pairs:
            raise UsageError(
                "This is no download of LiTS: no volume-N.nii with its segmentation-N.nii",
                seen=[path.name for path in files[:5]],
                file=request.source,
                fix="Give the directory that holds the training batches",
            )
        entries = [
            VolumeEntry(volumes[number], masks[number], f"lits volume {number}", "CT", "abdomen") for number in pairs
        ]
        return Conversion(volume_inventory(entries, request), ("CT",), kind="segment")


def _numbered(files: list[Path], pattern: re.Pattern[str]) -> dict[int, Path]:
    """Number -> file."""
    found: dict[int, Path] = {}
    for path in files:
        match = pattern.fullmatch(stem(path))
        if match is None:
            continue
        if int(match[1]) in found:
            raise UsageError("Two files have one number", seen=path.name, file=path.parent, fix="Remove one of them")
        found[int(match[1])] = path
    return found
