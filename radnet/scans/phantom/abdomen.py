"""Solid organs of the upper abdomen: liver with lesions, spleen, kidneys, pancreas, gall bladder, great veins."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, dome, keyed, oval, ribbon, spline, turned, waved
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES
from radnet.scans.phantom.torso import cavity_size

# share of the way from dome to tip, then eleven points in units of the cavity's half width and half depth
_LIVER = np.array(
    [
        (0.0, -0.56, 0.1, -0.54, 0.14, -0.5, 0.14, -0.46, 0.12, -0.44, 0.06, -0.43, -0.02, -0.42, -0.08, -0.44, -0.14,
         -0.5, -0.16, -0.55, -0.12, -0.57, 0.0),
        (0.10, -0.82, 0.1, -0.72, 0.42, -0.5, 0.52, -0.28, 0.4, -0.16, 0.18, -0.1, -0.05, -0.06, -0.28, -0.14, -0.48,
         -0.38, -0.62, -0.64, -0.52, -0.8, -0.25),
        (0.24, -0.95, 0.1, -0.84, 0.52, -0.52, 0.70, -0.24, 0.52, -0.10, 0.22, 0.08, -0.10, 0.40, -0.40, 0.34, -0.62,
         -0.02, -0.8, -0.52, -0.82, -0.86, -0.45),
        (0.42, -0.965, 0.1, -0.86, 0.58, -0.52, 0.78, -0.25, 0.52, -0.16, 0.16, 0.02, -0.12, 0.44, -0.46, 0.40, -0.70,
         0.02, -0.86, -0.50, -0.88, -0.88, -0.48),
        (0.60, -0.97, 0.1, -0.88, 0.56, -0.62, 0.74, -0.40, 0.44, -0.27, 0.10, -0.12, -0.18, 0.18, -0.50, 0.16,
         -0.74, -0.12, -0.86, -0.52, -0.88, -0.89, -0.46),
        (0.78, -0.97, 0.14, -0.90, 0.46, -0.74, 0.56, -0.58, 0.38, -0.50, 0.12, -0.46, -0.12, -0.40, -0.36, -0.36,
         -0.58, -0.48, -0.72, -0.66, -0.68, -0.87, -0.34),
        (0.93, -0.96, 0.20, -0.92, 0.36, -0.82, 0.40, -0.74, 0.32, -0.71, 0.18, -0.70, 0.02, -0.70, -0.14, -0.70, -0.26,
         -0.76, -0.34, -0.84, -0.30, -0.92, -0.10),
        (1.0, -0.88, 0.16, -0.86, 0.19, -0.84, 0.2, -0.82, 0.18, -0.81, 0.15, -0.80, 0.12, -0.80, 0.08, -0.81, 0.04,
         -0.83, 0.03, -0.85, 0.04, -0.88, 0.10),
    ],
    dtype=np.float64,
)  # fmt: skip


def liver_range_mm(person: Person) -> tuple[float, float]:
    """Tip and dome of the liver."""
    top = 1262 + person.shift("liver_dome", 9)
    return top - 168 * (1 + person.shift("liver_length", 0.16)), top


def liver_outline(person: Person, z_mm: float) -> Polygon | None:
    """Contour of the liver, None off it."""
    tip, top = liver_range_mm(person)
    if not tip < z_mm < top:
        return None
    width, depth, middle, _ = cavity_size(person, z_mm)
    points = keyed(_LIVER, (top - z_mm) / (top - tip)).reshape(11, 2)
    left = points[:, 0] > -0.05
    points[left, 0] = -0.05 + (points[left, 0] + 0.05) * (0.85 + person.shift("left_lobe", 0.45))
    points = points * (1 + person.shift("liver_girth", 0.03))
    shape = spline(points) * (width, depth) + (0, middle)
    return waved(shape, 0.018, person.draws("liver"), z_mm)


def paint_domes(scene: Scene) -> None:
    """What bulges from the belly into the chest: the diaphragm with the fat under it."""
    z, person, canvas = scene.z_mm, scene.person, scene.canvas
    if not 1150 < z < 1275:
        return
    width, depth, middle, _ = cavity_size(person, z)
    liver = liver_outline(person, z)
    if liver is not None:
        centre = liver.mean(axis=0)
        grow = 1 + 3.0 / np.maximum(np.hypot(*(liver - centre).T), 3)[:, None]
        canvas.paint(centre + (liver - centre) * grow, scene.hu.muscle - 12, fine=5)
    top = 1247 + person.shift("left_dome", 9)
    if z < top:
        size = np.interp(top - z, (0, 12, 35, 70, 100), (0.02, 0.5, 0.84, 0.98, 1.04))
        shape = np.array(
            [(0.02, -0.9), (0.45, -0.9), (0.80, -0.62), (0.97, -0.1), (0.93, 0.35), (0.72, 0.68), (0.42, 0.74),
             (0.2, 0.5), (0.05, 0.1), (0.0, -0.4)]
        )  # fmt: skip
        centre = np.array((0.5, -0.02))
        shape = spline(centre + (shape - centre) * size) * (width, depth) + (0, middle)
        canvas.paint(shape, scene.hu.muscle - 8, fine=5)
        inner = shape.mean(axis=0)
        canvas.paint(inner + (shape - inner) * 0.965, scene.hu.fat, fine=8)
    x, y = person.spine_mm(z)
    if z < 1235:
        wide = np.interp(z, (1150, 1200, 1235), (30, 34, 36))
        canvas.paint(
            spline([(-wide, y + 6), (-wide, y - 26), (0, y - 44), (wide, y - 26), (wide, y + 6)]), scene.hu.fat + 10
        )
        if z < 1215:
            for sign, _ in SIDES:  # crura
                line = [(x + sign * 22, y + 2), (x + sign * 24, y - 18), (x + sign * 12, y - 33)]
                canvas.paint(ribbon(line, [2.5, 4.0, 3.0]), scene.hu.muscle)


def paint_upper_abdomen(scene: Scene) -> None:
    """Solid organs in their usual neighbourhood."""
    if not 1010 < scene.z_mm < 1275:
        return
    _spleen(scene)
    _pancreas(scene)
    _kidneys(scene)
    _cava(scene)
    _liver(scene)
    _adrenals(scene)
    _gallbladder(scene)


def _liver(scene: Scene) -> None:
    z, person, canvas, hu = scene.z_mm, scene.person, scene.canvas, scene.hu
    shape = liver_outline(person, z)
    if shape is None:
        return
    value = VALUES["liver"]
    canvas.paint(shape, hu.liver, value, fine=2.5, coarse=2.5)
    tip, top = liver_range_mm(person)
    down = (top - z) / (top - tip)
    width, depth, middle, _ = cavity_size(person, z)
    vessel = hu.vein if scene.phase != "arterial" else hu.liver - 4
    if 0.06 < down < 0.32:  # hepatic veins meet at the cava
        hub = np.array([-22.0, middle + 0.1 * depth + 8])
        spread = 0.25 + 2.2 * down
        for aim in ((-0.75, 0.15), (-0.42, -0.5), (0.08, -0.45)):
            end = np.array([aim[0] * width, middle + aim[1] * depth])
            share = np.linspace(max(0.02, spread - 0.5), min(0.95, spread + 0.08), 7)[:, None]
            bent = person.shift(f"hepatic_vein_{aim[0]}", 10) * np.sin(np.pi * share)
            line = hub + (end - hub) * share + bent * (0.4, 1.0)
            canvas.paint(ribbon(line, np.linspace(4.3, 1.6, 7)), vessel, value, within=value)
    if 0.26 < down < 0.60:  # portal branches
        hub = np.array([-0.27 * width, middle - 0.05 * depth])
        reach = dome((down - 0.42) / 0.18)
        for aim, radius in (((-0.78, 0.2), 4.5), ((-0.6, -0.4), 3.8), ((0.1, -0.55), 3.5)):
            end = np.array([aim[0] * width, middle + aim[1] * depth])
            share = np.linspace(0.0, 0.2 + 0.5 * reach, 6)[:, None]
            swing = person.shift(f"portal_{aim[0]}", 9) * np.sin(2.2 * np.pi * share + z / 9)
            line = hub + (end - hub) * share + swing * (0.3, 1.0)
            canvas.paint(ribbon(line, np.linspace(radius, 1.4, 6)), hu.portal, value, within=value)
    cut = [row for row in liver_vessels(person) if abs(z - row[2]) < 5]
    for group, enhanced in (([r for r in cut if r[3] > 1.7], hu.portal), ([r for r in cut if r[3] <= 1.7], vessel)):
        shapes = [oval(x * width, middle + y * depth, radius, radius, count=12) for x, y, _, radius in group]
        if shapes:
            canvas.paint(shapes, enhanced, None, within=value)
    if 0.3 < down < 0.62:  # fissure of the round ligament
        x = keyed([(0.3, 0.10), (0.62, 0.0)], down)[0] * width
        canvas.paint(ribbon([(x, middle - 0.42 * depth), (x - 3, middle - 0.8 * depth)], [1.2, 3.2]), hu.fat + 20, 0)
    _lesions(scene, value, width, depth, middle)


@lru_cache(maxsize=4)
def liver_vessels(person: Person) -> list[tuple[float, float, float, float]]:
    """Small vessels cut across: x and y in units of the cavity, z and radius in mm."""
    stream = person.stream("liver_vessels")
    tip, top = liver_range_mm(person)
    return [
        (stream.uniform(-0.9, 0.25), stream.uniform(-0.75, 0.65), stream.uniform(tip, top), stream.uniform(1.1, 2.4))
        for _ in range(110)
    ]


@lru_cache(maxsize=4)
def liver_lesions(person: Person) -> list[tuple[float, float, float, float, str]]:
    """Lesions as x and y in units of the cavity, z and radius in mm, and kind; empty in about half of the people."""
    stream = person.stream("liver_lesions")
    if stream.random() > 0.55:
        return []
    tip, top = liver_range_mm(person)
    found = []
    kind = str(stream.choice(["cyst", "hypodense", "hypodense", "hypervascular", "ring"]))
    for _ in range(int(stream.integers(1, 8))):
        radius = float(np.clip(stream.lognormal(2.35, 0.5), 4, 34))
        here = kind if stream.random() < 0.75 else "cyst"
        place = (stream.uniform(-0.85, -0.15), stream.uniform(-0.65, 0.45), stream.uniform(tip + 35, top - 14))
        found.append((*place, radius, here))
    return found


def _lesions(scene: Scene, liver: int, width: float, depth: float, middle: float) -> None:
    hu, z = scene.hu, scene.z_mm
    drop = hu.lesion_drop
    for number, (x, y, zc, radius, kind) in enumerate(liver_lesions(scene.person)):
        size = radius * dome((z - zc) / radius)
        if size < 1.5:
            continue
        shape = oval(x * width, middle + y * depth, size, size * 0.9)
        shape = waved(shape, 0.10, scene.person.draws(f"lesion_{number}"), z)
        value = VALUES["liver_lesion"]
        dark = hu.liver - drop * {"native": 16, "arterial": 24, "portal_venous": 42, "late": 26}[scene.phase]
        if kind == "cyst":
            scene.canvas.paint(shape, 7, value, within=liver)
        elif kind == "hypervascular":
            change = {"native": -14, "arterial": 38, "portal_venous": -12, "late": -16}[scene.phase]
            scene.canvas.paint(shape, hu.liver + change * drop, value, within=liver, fine=6)
        else:
            scene.canvas.paint(shape, dark, value, within=liver, fine=6)
            if kind == "ring" and scene.phase != "native":
                scene.canvas.paint(shape, hu.liver + 14, value, within=value)
                scene.canvas.paint(shape.mean(axis=0) + (shape - shape.mean(axis=0)) * 0.78, dark, value, within=value)


def _spleen(scene: Scene) -> None:
    z, person = scene.z_mm, scene.person
    middle_z, half = 1203 + person.shift("spleen_height", 12), 48 * (1 + person.shift("spleen_size", 0.22))
    size = dome((z - middle_z) / half)
    if size < 0.12:
        return
    width, depth, middle, _ = cavity_size(person, z)
    points = np.array(
        [(0.42, 0.76), (0.66, 0.74), (0.86, 0.48), (0.945, 0.1), (0.88, -0.16), (0.80, 0.02), (0.74, 0.22),
         (0.62, 0.36), (0.52, 0.52)]
    )  # fmt: skip
    centre = np.array((0.76, 0.34))
    shape = spline(centre + (points - centre) * size**0.8) * (width, depth) + (0, middle)
    mottled = 24.0 if scene.phase == "arterial" else 2.0
    shape = waved(shape, 0.03, person.draws("spleen"), z)
    scene.canvas.paint(shape, scene.hu.spleen, VALUES["spleen"], fine=mottled / 4, coarse=mottled)


def kidney_mm(person: Person, sign: float) -> tuple[float, float]:
    """Middle height and half length of a kidney (sign 1 is left)."""
    side = "left" if sign > 0 else "right"
    return 1128 + (7 if sign > 0 else -7) + person.shift(f"kidney_{side}", 12), 56 * (
        1 + person.shift("kidney_size", 0.1)
    )


def _kidneys(scene: Scene) -> None:
    z, person, canvas, hu = scene.z_mm, scene.person, scene.canvas, scene.hu
    x0, y0 = person.spine_mm(z)
    for sign, side in SIDES:
        middle, half = kidney_mm(person, sign)
        u = (z - middle) / half
        size = dome(u, 2.4)
        if size < 0.15:
            continue
        out = 67 - 10 * u + 6 * (person.visceral - 1)
        at = np.array([x0 + sign * out, y0 + 14 + 5 * u])
        turn = 0.55
        open_ = max(0.0, 1 - (u / 0.5) ** 2)
        bean = (
            spline([(27, 0), (20, 19), (0, 25), (-17, 19), (-21 + 8 * open_, 2), (-17, -15), (0, -23), (20, -18)])
            * size
        )
        place = _placed(at, sign, turn)
        value = VALUES[f"kidney_{side}"]
        canvas.paint(place(bean * 1.06), hu.fat, 0)
        canvas.paint(place(bean), hu.cortex, value)
        if scene.phase == "arterial":  # pyramids still dark
            ring = [
                oval(2 + 13.5 * size * np.cos(angle), 13.5 * size * np.sin(angle), 5.5 * size, 4.2 * size)
                for angle in np.linspace(-2.3, 2.3, 7)
            ]
            canvas.paint([place(pyramid) for pyramid in ring], hu.medulla, value)
        elif scene.phase in ("portal_venous", "late"):
            canvas.paint(place(bean * 0.7), hu.medulla, value)
        if open_ > 0:
            sinus = spline([(5, 0), (1, 7), (-9, 5), (-23, 2), (-23, -4), (-9, -6), (1, -7)]) * (size * open_**0.5)
            canvas.paint(place(sinus), hu.fat + 15, 0, fine=12)
            canvas.paint(place(oval(-4, 0, 6.5, 3.2)), hu.urine_kidney, 0)
            if abs(u) < 0.25:
                canvas.paint([place(ribbon([(-8, -5), (-30, -12)], 2.4))], hu.vein * 0.7 + hu.artery * 0.3, 0)
        if person.has(f"kidney_cyst_{side}", 0.012 * max(person.age - 35, 0)):
            draw = person.draws(f"kidney_cyst_{side}")
            radius = 9 + 8 * draw[0]
            cut = radius * dome((u - 0.6 * draw[1]) * half / radius)
            if cut > 1:
                canvas.paint(place(oval(22, 12 * draw[2], cut, cut)), 6, value)


def _placed(at: NDArray[np.float64], sign: float, turn: float) -> Callable[[Polygon], Polygon]:
    """Map a left kidney's own coordinates into the body."""

    def place(shape: Polygon) -> Polygon:
        return np.asarray(turned(shape, turn) * (sign, 1.0) + at)

    return place


def _adrenals(scene: Scene) -> None:
    z, canvas = scene.z_mm, scene.canvas
    x, y = scene.person.spine_mm(z)
    if 1172 < z < 1202:
        for sign, side in SIDES:
            hub = (x + sign * 36, y - 18)
            limbs = [
                ribbon([hub, (hub[0] + sign * 5, hub[1] + 16)], 2.4),
                ribbon([hub, (hub[0] - sign * 8, hub[1] + 13)], 2.2),
            ]
            canvas.paint(limbs, scene.hu.muscle + 10, VALUES[f"adrenal_{side}"])


def _pancreas(scene: Scene) -> None:
    z, person, canvas = scene.z_mm, scene.person, scene.canvas
    x, y = person.spine_mm(z)
    at = 1146 + person.shift("pancreas", 10)
    value = VALUES["pancreas"]
    lobes = 16 + 0.2 * person.age
    if at - 42 < z < at + 6:
        size = dome((z - at + 18) / 24)
        shape = waved(oval(x - 26, y - 52, 15 * size, 18 * size), 0.08, person.draws("head"), z)
        canvas.paint(shape, scene.hu.pancreas, value, fine=lobes)
    if at - 8 < z < at + 34:
        low = np.interp(z, (at - 8, at + 34), (0.0, 0.55))
        high = np.interp(z, (at - 8, at + 20, at + 34), (0.45, 1.0, 1.0))
        t = np.linspace(low, high, 14)
        line = np.stack([x - 22 + 112 * t, y - 58 - 14 * np.sin(np.pi * t) + 42 * t**2], axis=1)
        canvas.paint(ribbon(line, 9.0 * dome((z - at - 13) / 22) + 1), scene.hu.pancreas, value, fine=lobes)
        line += np.array((2.0, 11.0))
        canvas.paint(ribbon(line, 3.6), scene.hu.portal, VALUES["portal_vein"])
    if at - 30 < z < at + 34:
        canvas.paint(
            oval(x - 8 - 0.3 * max(z - at, 0), y - 46 - 0.05 * (z - at), 7, 6), scene.hu.portal, VALUES["portal_vein"]
        )
    if at - 60 < z < at + 12:  # superior mesenteric artery in its collar of fat
        canvas.paint(oval(x + 8, y - 42, 3.6, 3.6), scene.hu.artery, 0)


def _cava(scene: Scene) -> None:
    z, canvas = scene.z_mm, scene.canvas
    x, y = scene.person.spine_mm(z)
    off = keyed([(1010, -14, -24), (1120, -19, -24), (1190, -24, -28), (1250, -26, -38)], z)
    flat = 0.75 + 0.2 * scene.person.shift("cava", 1)
    mixed = scene.hu.vein + (45 if scene.phase == "arterial" and z > 1125 else 0)
    if z < 1256:
        canvas.paint(oval(x + off[0], y + off[1], 12.5, 11.5 * flat), mixed, VALUES["inferior_vena_cava"])


def _gallbladder(scene: Scene) -> None:
    person, z = scene.person, scene.z_mm
    if person.has("no_gallbladder", 0.15):
        return
    tip, top = liver_range_mm(person)
    at = tip + 0.36 * (top - tip)
    size = dome((z - at) / 32) * (1 + person.shift("gallbladder", 0.3))
    if size < 0.1:
        return
    width, depth, middle, _ = cavity_size(person, z)
    x, y = -0.40 * width - 0.1 * (at - z), middle - (0.42 + 0.004 * (at - z)) * depth
    scene.canvas.paint(oval(x, y, 13.5 * size + 1.2, 19 * size + 1.2, turn=0.35), scene.hu.bowel_wall)
    scene.canvas.paint(oval(x, y, 13.5 * size, 19 * size, turn=0.35), 9, VALUES["gallbladder"])
    if person.has("gallstones", 0.12) and z < at:
        scene.canvas.paint(oval(x, y + 11 * size, 4.5, 3.5), 210, None)
