"""One synthetic series: the person is painted slice by slice, then scanned."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.abdomen import paint_domes, paint_upper_abdomen
from radnet.scans.phantom.bowel import paint_bowel, paint_small_pelvis
from radnet.scans.phantom.canvas import Canvas, Grid
from radnet.scans.phantom.curves import oval, ribbon
from radnet.scans.phantom.head import paint_head, paint_head_skin
from radnet.scans.phantom.labels import slice_labels
from radnet.scans.phantom.limbs import leg_back_mm, paint_arms, paint_leg_fat, paint_leg_skin, paint_legs
from radnet.scans.phantom.lungs import paint_airways, paint_lungs
from radnet.scans.phantom.pelvis import paint_hip_bones, paint_pelvic_muscles
from radnet.scans.phantom.person import Person, person_of
from radnet.scans.phantom.physics import METAL_HU, PADDING_HU, outside_field, paint_couch, scanned, scanner_of, texture
from radnet.scans.phantom.plan import Plan, plan_series
from radnet.scans.phantom.ribcage import paint_ribs, paint_shoulder_girdle, paint_sternum
from radnet.scans.phantom.scene import Scene
from radnet.scans.phantom.spine import paint_spine
from radnet.scans.phantom.thorax import paint_aorta, paint_mediastinum
from radnet.scans.phantom.tissue import tissues
from radnet.scans.phantom.torso import depth_at, paint_fat, paint_skin, paint_wall, skin

MANUFACTURER = "radnet phantom (synthetic)"


@dataclass(frozen=True)
class PhantomSeries:
    """A synthetic CT series with everything known about it.

    Attributes:
        hu: int16 (Z, Y, X), slices from inferior to superior, rows to the back, columns to the patient's left.
        mask: uint8 (Z, Y, X), values of `radnet.scans.phantom.STRUCTURES`.
        affine: float64 (4, 4), index (x, y, z, 1) -> mm, RAS+.
        patient: "SYN-0007".
        region: One of the six body regions.
        tags: contrast_phase, contrast, kernel, kvp, slice_thickness_mm, manufacturer, part, sex, age, synthetic.
        slice_labels: Label name -> one value a slice, None where it is not defined.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.uint8]
    affine: NDArray[np.float64]
    patient: str
    region: str
    tags: Mapping[str, str | float | int | bool]
    slice_labels: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)


def phantom_series(seed: int, patient: int, region: str, *, slices: int = 40, size: int = 256) -> PhantomSeries:
    """Make one series; the same arguments always give the same voxels.

    Args:
        seed: Seed of the archive.
        patient: Number of the patient; the same person in every region.
        region: One of `radnet.scans.scan.REGIONS`.
        slices: Number of slices; they always cover the region, so fewer lie further apart.
        size: Rows and columns.

    Raises:
        UsageError: The region is unknown or the sizes are too small.
    """
    person = person_of(seed, patient)
    plan = plan_series(person, region, slices=slices, size=size)
    stream = person.stream(f"scan_{region}")
    hu_of = tissues(stream, plan.phase, plan.kvp, person.bone, fatty_liver=_fatty_liver(person))
    scanner = scanner_of(plan, stream)
    grid = Grid(size, plan.pixel_mm, person.width_scale, plan.centre_mm, plan.roll)
    fine = [texture(stream, size, 2.2 * person.width_scale / plan.pixel_mm) for _ in range(2)]
    coarse = [texture(stream, size, 9.0 * person.width_scale / plan.pixel_mm) for _ in range(2)]
    knots = np.linspace(80, 1480, 29)
    sags = np.array([_sag_mm(person, plan, float(z)) for z in knots])
    lie = float(np.interp(plan.z_standard_mm.mean(), knots, sags))
    couch = Canvas(grid, fine[0], coarse[0])
    paint_couch(couch, plan, person.draws("couch_" + region), -lie)
    hu = np.empty((slices, size, size), np.int16)
    mask = np.empty((slices, size, size), np.uint8)
    for index, z in enumerate(plan.z_standard_mm):
        turn, slow = float(z) / 9.0, float(z) / 27.0
        canvas = Canvas(
            grid,
            cos(turn) * fine[0] + sin(turn) * fine[1],
            cos(slow) * coarse[0] + sin(slow) * coarse[1],
        )
        canvas.hu[:] = couch.hu
        sunk = lie - float(np.interp(z, knots, sags))
        canvas.grid = replace(grid, depth=depth_at(person, float(z)), sink_mm=sunk)
        paint_body(Scene(canvas, person, hu_of, float(z), plan.phase, plan.arms_up))
        hu[index] = scanned(canvas.hu, grid, plan, scanner, stream)
        mask[index] = canvas.mask
    if plan.circle:  # nothing was reconstructed there, so there is nothing to segment either
        padding = outside_field(size)
        hu[:, padding], mask[:, padding] = PADDING_HU, 0
    return PhantomSeries(
        hu=hu,
        mask=mask,
        affine=_affine(grid, plan),
        patient=person.name,
        region=region,
        tags={
            "contrast_phase": plan.phase,
            "contrast": plan.phase != "native",
            "kernel": plan.kernel,
            "kvp": plan.kvp,
            "slice_thickness_mm": plan.thickness_mm,
            "manufacturer": MANUFACTURER,
            "part": plan.part,
            "sex": "F" if person.female else "M",
            "age": person.age,
            "synthetic": True,
        },
        slice_labels=slice_labels(mask, plan.pixel_mm, plan.phase),
    )


def _sag_mm(person: Person, plan: Plan, z_mm: float) -> float:
    """Most of the gap between back and couch at a height: bodies sink until they lie on it."""
    at = float(np.clip(z_mm, 860, 1430))
    back = float(skin(person, at)[:, 1].max()) * depth_at(person, at)
    if z_mm < 860:
        back += (leg_back_mm(person, z_mm) - back) * min(1.0, (860 - z_mm) / 80)
    gap = plan.table_y_mm - back
    return 0.85 * gap * float(np.clip((1530 - z_mm) / 100, 0, 1))


def _fatty_liver(person: Person) -> float:
    return max(0.0, person.shift("fatty_liver", 24) - 6 + 8 * (person.visceral - 1))


def paint_body(scene: Scene) -> None:
    """Paint all anatomy of one slice, from the skin inwards."""
    paint_arms(scene)
    for paint in (
        paint_leg_skin, paint_skin, paint_leg_fat, paint_fat, paint_head_skin, paint_wall, paint_pelvic_muscles,
        paint_lungs, paint_mediastinum, paint_domes, paint_small_pelvis, paint_bowel, paint_upper_abdomen,
    ):  # fmt: skip
        paint(scene)
    if scene.z_mm <= 1200:
        paint_aorta(scene)
    for paint in (
        paint_airways, paint_head, paint_hip_bones, paint_spine, paint_ribs, paint_sternum, paint_shoulder_girdle,
        paint_legs, _paint_metal,
    ):  # fmt: skip
        paint(scene)


def _paint_metal(scene: Scene) -> None:
    """Fillings of teeth, and a hip prosthesis in a few."""
    person, z, canvas = scene.person, scene.z_mm, scene.canvas
    if 1536 < z < 1550 and person.has("fillings", 0.35):
        for name in ("a", "b", "c"):
            t = 0.5 + 0.3 * person.draws(f"filling_{name}")[0]
            sign = 1.0 if person.draws(f"filling_{name}")[1] > 0 else -1.0
            canvas.paint(oval(sign * 44 * t**0.8, -91 + 64 * t**1.8, 3.2, 3.2), METAL_HU, None)
    if 700 < z < 905 and person.has("hip_prosthesis", 0.08):
        sign = 1.0 if person.draws("hip_prosthesis")[0] > 0 else -1.0
        if z > 862:
            cut = 17 * max(1 - ((z - 880) / 21) ** 2, 0) ** 0.5
            if cut > 1:
                canvas.paint(oval(sign * 89, 5, cut, cut), METAL_HU, None)
        if 838 < z < 880:
            share = (880 - z) / 42
            canvas.paint(ribbon([(sign * (96 + 20 * share), 8), (sign * (106 + 18 * share), 13)], 6.0), METAL_HU, None)
        if z <= 840:
            x = 123 - 0.12 * (840 - z)
            canvas.paint(oval(sign * x, 16 - 0.2 * (840 - z), 7.5, 7.5), METAL_HU, None)


def _affine(grid: Grid, plan: Plan) -> NDArray[np.float64]:
    """Index (x, y, z, 1) -> mm, RAS+, of a patient on the back with the head first."""
    x, y = (value * grid.scale for value in grid.centre_mm)
    half = grid.pixel_mm * (grid.size - 1) / 2
    affine = np.diag([-grid.pixel_mm, -grid.pixel_mm, 0.0, 1.0])
    affine[2, 2] = round(float(plan.z_mm[1] - plan.z_mm[0]), 3) if len(plan.z_mm) > 1 else plan.thickness_mm
    affine[:3, 3] = (-round(x - half, 3), -round(y - half, 3), round(float(plan.z_mm[0]), 3))
    return affine
