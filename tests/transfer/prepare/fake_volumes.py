"""Small fakes of the downloads of segmentation tasks: names and labels are theirs, the voxels are made up.

python tests/transfer/prepare/fake_volumes.py OUT      # writes one of each
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
SHAPE = (12, 12, 4)


def _save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, AFFINE), path)


def _labels(seed: int, names: tuple[int, ...]) -> np.ndarray:
    """A block of each label, in an order that depends on the seed."""
    mask = np.zeros(SHAPE, np.uint8)
    for number, label in enumerate(np.random.default_rng(seed).permutation(names)):
        mask[2 + 2 * number : 4 + 2 * number, 3:8, 1:3] = label
    return mask


def lits(root: Path, cases: int = 6) -> Path:
    """Training batches with volume-N.nii and segmentation-N.nii, and a volume of the test batch."""
    for number in range(cases):
        batch = root / f"Training Batch {1 + number % 2}"
        mask = _labels(number, (1, 2))
        hu = np.random.default_rng(number).integers(-1024, 1000, SHAPE) + 100 * mask
        _save(batch / f"volume-{number}.nii", hu.astype(np.int16))
        _save(batch / f"segmentation-{number}.nii", mask)
    _save(root / "test-volume-0.nii", np.full(SHAPE, 40, np.int16))
    return root


def brats(root: Path, *, since_2023: bool, cases: int = 4) -> Path:
    """A directory a case; the last case has no segmentation (as the validation data), the first lacks nothing."""
    parts = ("t1n", "t1c", "t2w", "t2f") if since_2023 else ("t1", "t1ce", "t2", "flair")
    labels = (1, 2, 3) if since_2023 else (1, 2, 4)
    for number in range(cases):
        case = f"BraTS-GLI-{number // 2:05d}-{number % 2:03d}" if since_2023 else f"BraTS20_Training_{number:03d}"
        sign = "-" if since_2023 else "_"
        for seed, part in enumerate(parts):
            values = np.random.default_rng([number, seed]).integers(0, 1000, SHAPE)
            _save(root / case / f"{case}{sign}{part}.nii.gz", values.astype(np.int16))
        if number < cases - 1:
            _save(root / case / f"{case}{sign}seg.nii.gz", _labels(number, labels))
    return root


if __name__ == "__main__":
    out = Path(sys.argv[1])
    lits(out / "lits")
    brats(out / "brats2020", since_2023=False)
    brats(out / "brats2023", since_2023=True)
