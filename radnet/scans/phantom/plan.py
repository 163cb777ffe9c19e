"""How a series is acquired: range, field of view, position on the table, kernel, voltage, contrast, noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radnet.errors import UsageError
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.torso import depth_at, skin
from radnet.scans.scan import REGIONS

SOFT_KERNELS = ("B30f", "B31s", "Br40d", "I30f", "STANDARD", "SOFT", "FC08", "B20f", "C")
SHARP_KERNELS = ("B60f", "B70s", "Br64d", "I70f", "BONE", "LUNG", "FC51", "D", "YB")

# part of a region -> lowest start, highest start, lowest end, highest end in the standard body, chance
_PARTS: dict[str, tuple[tuple[str, float, float, float, float, float], ...]] = {
    "head_neck": (("head_neck", 1435, 1478, 1716, 1740, 0.7), ("head", 1530, 1582, 1716, 1740, 0.3)),
    "thorax": (("thorax", 1140, 1195, 1440, 1482, 1.0),),
    "abdomen": (("abdomen", 995, 1045, 1245, 1285, 1.0),),
    "hip_pelvis": (("pelvis", 785, 820, 1005, 1055, 0.8), ("hips", 785, 815, 925, 960, 0.2)),
    "spine": (("cervical", 1440, 1470, 1578, 1600, 0.3), ("thoracic", 1150, 1230, 1400, 1480, 0.3),
              ("lumbar", 925, 990, 1160, 1205, 0.4)),
    "extremities": (("thigh", 510, 600, 740, 800, 0.3), ("knee", 370, 430, 520, 590, 0.3),
                    ("lower_leg", 85, 180, 330, 445, 0.25), ("arm", 1455, 1500, 1640, 1790, 0.15)),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One acquisition. Lengths are real millimetres unless they say otherwise.

    Attributes:
        region: One of `radnet.scans.scan.REGIONS`.
        part: Which part of it.
        z_standard_mm: Heights of the slices in the standard body, float64 (Z,).
        z_mm: Positions of the slices, float64 (Z,), evenly spaced.
        pixel_mm: Distance of pixels.
        centre_mm: Middle (x, y) of the picture in the standard body.
        roll: Radians.
        table_y_mm: Top of the couch in the standard body.
        arms_up: Arms beside the head.
        phase: Contrast phase.
        kvp: Tube voltage.
        kernel: Name of the kernel.
        sharp: Whether it is a sharp kernel.
        thickness_mm: Nominal slice thickness.
        noise_hu: Noise of a soft kernel in 25 cm of water.
        circle: Whether what lies outside the round field of view is padded with -1024.
    """

    region: str
    part: str
    z_standard_mm: NDArray[np.float64]
    z_mm: NDArray[np.float64]
    pixel_mm: float
    centre_mm: tuple[float, float]
    roll: float
    table_y_mm: float
    arms_up: bool
    phase: str
    kvp: int
    kernel: str
    sharp: bool
    thickness_mm: float
    noise_hu: float
    circle: bool


def plan_series(person: Person, region: str, *, slices: int, size: int) -> Plan:
    """Draw the acquisition of one region of one person.

    Raises:
        UsageError: `region` is none of the six, or a size is too small to show anything.
    """
    if region not in REGIONS:
        raise UsageError(f"No such body region: {region!r}", fix=f"Use one of {', '.join(REGIONS)}")
    if slices < 1 or size < 16:
        raise UsageError(f"{slices} slices of {size} pixels cannot be made", fix="At least 1 slice and 16 pixels")
    stream = person.stream(f"plan_{region}")
    parts = _PARTS[region]
    part, start_low, start_high, end_low, end_high, _ = parts[stream.choice(len(parts), p=[row[5] for row in parts])]
    bottom, top = stream.uniform(start_low, start_high), stream.uniform(end_low, end_high)
    spacing = round(float((top - bottom) * person.height_scale / slices), 2)
    spacing = max(spacing, 0.1)
    first = round(float((bottom - 1200) * person.height_scale + spacing / 2), 1)
    z_mm = np.round(first + spacing * np.arange(slices), 3)
    z_standard = z_mm / person.height_scale + 1200
    centre, fov = _field(person, part, stream, (bottom + top) / 2)
    sharp = bool(
        stream.random() < {"spine": 0.7, "extremities": 0.65, "thorax": 0.3, "head_neck": 0.3}.get(region, 0.1)
    )
    contrast = {"head_neck": 0.5, "thorax": 0.6, "abdomen": 0.8, "hip_pelvis": 0.65, "spine": 0.1, "extremities": 0.2}
    phase = "native"
    if stream.random() < contrast[region]:
        phase = str(stream.choice(["arterial", "portal_venous", "late"], p=[0.42, 0.5, 0.08]))
    return Plan(
        region=region,
        part=part,
        z_standard_mm=z_standard,
        z_mm=z_mm,
        pixel_mm=round(float(fov * person.width_scale / size), 4),
        centre_mm=centre,
        roll=float(stream.normal(0, 0.03)),
        table_y_mm=_table(person, part) + stream.uniform(2, 9),
        arms_up=part == "arm" or bool(stream.random() < {"head_neck": 0.03, "spine": 0.5}.get(region, 0.8)),
        phase=phase,
        kvp=int(stream.choice([80, 100, 120, 140], p=[0.1, 0.27, 0.53, 0.1])),
        kernel=str(stream.choice(SHARP_KERNELS if sharp else SOFT_KERNELS)),
        sharp=sharp,
        thickness_mm=round(min(spacing, float(stream.choice([1.0, 2.0, 3.0, 5.0, 5.0, 8.0]))), 2),
        noise_hu=float(np.clip(stream.lognormal(1.95, 0.4), 3, 18)),
        circle=bool(stream.random() < 0.4),
    )


def _field(person: Person, part: str, stream: np.random.Generator, z_mm: float) -> tuple[tuple[float, float], float]:
    """Centre of the picture and its width, both in the standard body."""
    x, y = float(stream.normal(0, 5)), float(stream.normal(0, 6))
    if part in ("cervical", "thoracic", "lumbar"):
        spine_x, spine_y = person.spine_mm(z_mm)
        return (spine_x + x, (spine_y + 14) * depth_at(person, z_mm) + y), float(stream.uniform(125, 215))
    if part in ("head", "head_neck"):
        return (x, y), float(stream.uniform(225, 285))
    if part in ("thigh", "knee", "lower_leg"):
        if stream.random() < 0.5:
            side = 1.0 if stream.random() < 0.5 else -1.0
            fat = 20 + 12 * person.fat if part == "thigh" else 10
            return (side * 90 + x, 4 + y), float(stream.uniform(150, 190)) + 2 * fat
        return (x, 4 + y), float(stream.uniform(370, 430)) + 30 * person.fat
    if part == "arm":
        return (198 + x, -4 + y), float(stream.uniform(130, 200))
    outline = skin(person, z_mm)
    outline = outline * (1, depth_at(person, z_mm))
    wide, deep = np.ptp(outline[:, 0]), np.ptp(outline[:, 1])
    middle = float((outline[:, 1].max() + outline[:, 1].min()) / 2)
    fov = max(wide, deep * 1.15) * float(stream.uniform(0.97, 1.24))
    if stream.random() < 0.12:  # cropped to the organs
        fov *= 0.78
    return (x, middle + 8 + y), fov


def _table(person: Person, part: str) -> float:
    """Height of the couch under the parts that touch it."""
    if part in ("head", "head_neck", "cervical"):
        return (
            104.0
            if part != "cervical"
            else max(104.0, float(skin(person, 1400)[:, 1].max()) * depth_at(person, 1400) - 12)
        )
    heights = {"thigh": (850,), "knee": (850,), "lower_leg": (850,), "arm": (1400,)}.get(
        part, (880, 1000, 1100, 1250, 1350)
    )
    table = max(float(skin(person, z)[:, 1].max()) * depth_at(person, z) for z in heights)
    return table + (6 if part in ("knee", "lower_leg") else 0)
