"""Labels of single slices, read off the mask."""

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.structures import STRUCTURES, VALUES, VERTEBRAE

LIVER_AT_LEAST_CM2 = 8.0
LESION_AT_LEAST_CM2 = 0.3
ENHANCING = ("liver", "spleen", "kidney_left", "kidney_right", "heart", "aorta")
ENHANCING_AT_LEAST_CM2 = 1.0
VERTEBRA_AT_LEAST_CM2 = 0.5
LABELLED_PHASES = ("native", "arterial", "portal_venous")

_GROUPS = {
    "C1-C4": ("C1", "C2", "C3", "C4"),
    "C5-C7": ("C5", "C6", "C7"),
    "T1-T4": ("T1", "T2", "T3", "T4"),
    "T5-T8": ("T5", "T6", "T7", "T8"),
    "T9-T12": ("T9", "T10", "T11", "T12"),
    "L1-L2": ("L1", "L2"),
    "L3-L5": ("L3", "L4", "L5"),
    "sacrum": ("sacrum",),
}


def vertebra_group(level: str) -> str:
    """Coarse group of a vertebral level: "T6" -> "T5-T8"."""
    return next(group for group, levels in _GROUPS.items() if level in levels)


def areas_cm2(mask: NDArray[np.uint8], pixel_mm: float) -> NDArray[np.float64]:
    """Area of every structure in every slice, float64 (Z, 1 + number of structures)."""
    counts = [np.bincount(section.reshape(-1), minlength=len(STRUCTURES) + 1) for section in mask]
    return np.asarray(np.array(counts) * (pixel_mm**2 / 100))


def slice_labels(mask: NDArray[np.uint8], pixel_mm: float, phase: str) -> dict[str, tuple[str | None, ...]]:
    """Labels of all slices of a series.

    Args:
        mask: uint8 (Z, Y, X), values of `STRUCTURES`.
        pixel_mm: Distance of pixels.
        phase: Contrast phase. Late scans get no label for it: they are too rare to be a class.

    Returns:
        "contrast_phase", "liver_lesion", "vertebra" and "vertebra_group" -> one value or None a slice.
    """
    area = areas_cm2(mask, pixel_mm)
    enhancing = area[:, [VALUES[name] for name in ENHANCING]].sum(axis=1) >= ENHANCING_AT_LEAST_CM2
    lesion = area[:, VALUES["liver_lesion"]]
    liver = area[:, VALUES["liver"]] + lesion
    levels = [*VERTEBRAE, "sacrum"]
    columns = [VALUES[f"vertebra_{level}"] for level in VERTEBRAE] + [VALUES["sacrum"]]
    bones = area[:, columns]
    best = [
        levels[int(np.argmax(row))] if row.max() >= VERTEBRA_AT_LEAST_CM2 else None  # None off the spine
        for row in bones
    ]
    return {
        "contrast_phase": tuple(phase if seen and phase in LABELLED_PHASES else None for seen in enhancing),
        "liver_lesion": tuple(
            None if whole < LIVER_AT_LEAST_CM2 else "present" if part >= LESION_AT_LEAST_CM2 else "absent"
            for whole, part in zip(liver, lesion, strict=True)
        ),
        "vertebra": tuple(best),
        "vertebra_group": tuple(None if level is None else vertebra_group(level) for level in best),
    }
