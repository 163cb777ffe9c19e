"""Hounsfield units of tissues, native and after contrast, with the spread between patients and scans.

The native values are those of textbooks (Hounsfield scale); the enhanced ones follow the usual timing of the
phases: arterial about 30 s, portal venous about 70 s, late several minutes after the injection.
"""

from dataclasses import dataclass

import numpy as np

PHASES = ("native", "arterial", "portal_venous", "late")

_IODINE_GAIN = {80: 1.55, 100: 1.25, 120: 1.0, 140: 0.86}

# Rise over the native value at 120 kV, by phase.
_RISE_HU = {
    "artery": (0, 265, 110, 65),
    "vein": (0, 35, 100, 65),
    "portal": (0, 60, 125, 68),
    "heart_left": (0, 240, 105, 62),
    "heart_right": (0, 130, 105, 62),
    "myocardium": (0, 60, 52, 40),
    "liver": (0, 11, 54, 36),
    "spleen": (0, 80, 72, 42),
    "cortex": (0, 135, 145, 110),
    "medulla": (0, 25, 125, 120),
    "urine_kidney": (0, 0, 5, 480),
    "urine_bladder": (0, 0, 0, 190),
    "bowel_wall": (0, 30, 50, 38),
    "muscle": (0, 4, 12, 12),
    "brain": (0, 3, 5, 5),
    "pancreas": (0, 65, 55, 35),
    "thyroid": (0, 70, 60, 45),
}


@dataclass(frozen=True)
class Tissue:
    """HU of one scan of one patient; fields name the tissue."""

    artery: float
    vein: float
    portal: float
    heart_left: float
    heart_right: float
    myocardium: float
    liver: float
    spleen: float
    cortex: float
    medulla: float
    urine_kidney: float
    urine_bladder: float
    bowel_wall: float
    muscle: float
    brain: float
    pancreas: float
    thyroid: float
    fat: float
    lung: float
    skin: float
    fluid: float
    cortical: float
    trabecular: float
    marrow: float
    lesion_drop: float


def tissues(stream: np.random.Generator, phase: str, kvp: int, bone: float, *, fatty_liver: float) -> Tissue:
    """Draw the HU of a scan.

    Args:
        stream: Random stream of the series.
        phase: One of `PHASES`.
        kvp: Tube voltage, 80 to 140.
        bone: The person's bone density, 1 is usual.
        fatty_liver: HU by which this person's liver lies below the usual.
    """
    gain = _IODINE_GAIN[kvp] ** 0.7 * stream.uniform(0.78, 1.22) * (1 if phase != "native" else 0)
    drift = stream.normal(0, 2.0)
    native = {
        "artery": 42, "vein": 42, "portal": 42, "heart_left": 43, "heart_right": 42, "myocardium": 46, "liver": 57,
        "spleen": 49, "cortex": 34, "medulla": 30, "urine_kidney": 8, "urine_bladder": 5, "bowel_wall": 38,
        "muscle": 52, "brain": 34, "pancreas": 40, "thyroid": 105,
    }  # fmt: skip
    index = PHASES.index(phase)
    values = {
        name: native[name] + stream.normal(0, 2.0) + drift + gain * _RISE_HU[name][index] * stream.uniform(0.88, 1.12)
        for name in native
    }
    values["liver"] -= fatty_liver
    bone_gain = bone * (120 / kvp) ** 0.35
    return Tissue(
        **values,
        fat=float(stream.normal(-101, 4)),
        lung=float(stream.uniform(-875, -775)),
        skin=float(stream.uniform(10, 45)),
        fluid=float(stream.uniform(8, 24)),
        cortical=1120 * bone_gain,
        trabecular=168 * bone_gain,
        marrow=float(stream.uniform(-70, 20)),
        lesion_drop=float(stream.uniform(0.75, 1.2)),
    )
