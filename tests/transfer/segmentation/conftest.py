"""A small set of volumes in which a bright organ with a dark spot is to be found."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from radnet.transfer.segmentation.structures import MaskSettings
from radnet.transfer.segmentation.volumes import VolumeSplit, find_volumes
from radnet.views import EvaluationView

SPACING_MM = (1.5, 1.0, 3.0)
"""Of the files, along x, y, z."""
ORGAN = MaskSettings(structures={"organ": (1, 2), "spot": (2,)})
PATIENTS = 12


def volume_of(seed: int, shape: tuple[int, int, int] = (40, 32, 6)) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """HU and mask in NIfTI's order (x, y, z): labels 1 for the organ, 2 for the spot in it."""
    generator = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.arange(side) for side in shape), indexing="ij")
    centre = np.array(shape) / 2 + generator.uniform(-4, 4, 3) * (1, 1, 0.1)
    organ = ((x - centre[0]) / 9) ** 2 + ((y - centre[1]) / 7) ** 2 + ((z - centre[2]) / 2.5) ** 2 < 1
    spot = ((x - centre[0] - 3) / 3) ** 2 + ((y - centre[1]) / 3) ** 2 + ((z - centre[2]) / 1.5) ** 2 < 1
    hu = np.where(organ, 160, np.where((x - 20) ** 2 + (y - 16) ** 2 < 200, 20, -1000))
    hu = np.where(spot & organ, -60, hu) + generator.normal(0, 8, shape)
    return hu.astype(np.int16), (organ * 1 + (spot & organ) * 1).astype(np.uint8)


def write_volumes(root: Path, volumes: dict[str, tuple[NDArray[np.int16], NDArray[np.uint8]]]) -> Path:
    """An archive of volumes with masks, one patient each."""
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    lines = ["path,patient,modality,body_region,mask"]
    for name, (hu, mask) in volumes.items():
        (root / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(hu, affine), root / name / "ct.nii.gz")
        nib.save(nib.Nifti1Image(mask, affine), root / name / "seg.nii.gz")
        lines.append(f"{name}/ct.nii.gz,{name},CT,abdomen,{name}/seg.nii.gz")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


def set_of(
    root: Path, volumes: dict[str, tuple[NDArray[np.int16], NDArray[np.uint8]]], fractions: tuple[float, float, float]
) -> ShardSet:
    """The shard set of such an archive."""
    write_volumes(root / "archive", volumes)
    settings = BuildSettings(split_fractions=fractions)
    build_shards(root / "archive", root / "set", KeyedHash(b"a secret of the tests, 32 bytes!"), settings)
    return ShardSet.open(root / "set")


@pytest.fixture(scope="session")
def organ_set(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Twelve patients over all three sides."""
    volumes = {f"P{number}": volume_of(number) for number in range(PATIENTS)}
    return set_of(tmp_path_factory.mktemp("organs"), volumes, (0.5, 0.2, 0.3))


def split_of(shards: ShardSet, split: str | None, masks: MaskSettings = ORGAN, size: int = 32) -> VolumeSplit:
    """One side of a set as the protocol takes it."""
    view = EvaluationView(size=size)
    return VolumeSplit.of(shards, find_volumes(shards, shards.rows(split), masks)[0], masks, view)
