"""The numbers that the phantom's masks use, and their names."""

from collections.abc import Mapping
from types import MappingProxyType

VERTEBRAE = (
    *(f"L{level}" for level in range(5, 0, -1)),
    *(f"T{level}" for level in range(12, 0, -1)),
    *(f"C{level}" for level in range(7, 0, -1)),
)
"""Vertebral levels from inferior to superior."""

_SINGLE = (
    "liver", "liver_lesion", "lung_left", "lung_right", "kidney_left", "kidney_right", "spleen", "heart", "aorta",
    "inferior_vena_cava", "stomach", "pancreas", "gallbladder", "urinary_bladder", "colon", "small_bowel", "brain",
    "skull", "trachea", "esophagus", "sternum", "clavicle_left", "clavicle_right", "scapula_left", "scapula_right",
    "humerus_left", "humerus_right", "hip_left", "hip_right", "femur_left", "femur_right", "tibia_left",
    "tibia_right", "fibula_left", "fibula_right", "patella_left", "patella_right", "sacrum", "mandible",
    "portal_vein", "pulmonary_artery", "thyroid", "spinal_canal", "prostate", "uterus", "psoas_left", "psoas_right",
    "erector_spinae_left", "erector_spinae_right", "gluteus_left", "gluteus_right", "forearm_left", "forearm_right",
    "adrenal_left", "adrenal_right", "carotid_left", "carotid_right", "eye_left", "eye_right", "superior_vena_cava",
)  # fmt: skip


def _numbered() -> dict[int, str]:
    names = [
        *_SINGLE,
        *(f"vertebra_{level}" for level in VERTEBRAE),
        *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)),
    ]
    return dict(enumerate(names, start=1))


STRUCTURES: Mapping[int, str] = MappingProxyType(_numbered())
"""Mask value -> name of the structure; 0 is everything else. All values fit in uint8."""

VALUES: Mapping[str, int] = MappingProxyType({name: value for value, name in STRUCTURES.items()})
"""Name of the structure -> mask value."""
