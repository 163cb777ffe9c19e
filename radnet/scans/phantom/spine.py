"""Vertebrae with body, arch and processes, discs, the canal and the sacrum."""

import numpy as np

from radnet.scans.phantom.curves import Polygon, keyed, oval, oval_at, ribbon, spline
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES

DISC_FROM = 0.78

# index of the unit (0 = L5 … 23 = C1): body half width, half depth, reach of transverse and spinous process
_SIZES = np.array(
    [
        (0, 26, 17.5, 42, 26), (4, 22.5, 16, 38, 27), (5, 21.5, 15.5, 24, 26), (9, 17.5, 15, 30, 27),
        (13, 14.5, 12.5, 30, 26), (16, 15, 9.5, 34, 30), (17, 14, 8.5, 30, 33), (20, 11.5, 7.8, 25, 24),
        (22, 10, 7.5, 24, 22), (23, 10, 7.5, 30, 14),
    ],
    dtype=np.float64,
)  # fmt: skip

# z: half width, half depth of the sacrum
_SACRUM = np.array(
    [(866, 7, 4), (885, 12, 6), (905, 27, 9), (930, 42, 14), (955, 49, 19), (975, 53, 22), (987, 52, 20)],
    dtype=np.float64,
)


def paint_spine(scene: Scene) -> None:
    """The part of the spine in the slice."""
    if scene.z_mm < 987:
        _sacrum(scene)
    found = scene.person.vertebra_at(scene.z_mm)
    if found is None:
        return
    level, up = found
    index = int(np.searchsorted(scene.person.vertebra_edges_mm(), scene.z_mm, side="right")) - 1
    if level == "C1":
        _atlas(scene)
        return
    half_width, half_depth, transverse, spinous = keyed(_SIZES, index)
    x, y = scene.person.spine_mm(scene.z_mm)
    _arch(scene, level, up, (x, y), half_width, half_depth, transverse, spinous)
    _body(scene, level, up, (x, y), half_width, half_depth)


def _kidney_shape(x: float, y: float, half_width: float, half_depth: float) -> Polygon:
    w, d = half_width, half_depth
    shape = spline(
        [(0, -d), (0.62 * w, -0.86 * d), (w, -0.15 * d), (0.8 * w, 0.72 * d), (0, 0.8 * d), (-0.8 * w, 0.72 * d),
         (-w, -0.15 * d), (-0.62 * w, -0.86 * d)]
    )  # fmt: skip
    return np.asarray(shape + np.array((x, y)))


def _body(scene: Scene, level: str, up: float, at: tuple[float, float], half_width: float, half_depth: float) -> None:
    canvas, hu, value = scene.canvas, scene.hu, VALUES[f"vertebra_{level}"]
    if up > DISC_FROM and level != "C2":
        shape = _kidney_shape(*at, half_width * 0.98, half_depth * 0.98)
        canvas.paint(shape, 95, fine=6)
        if scene.person.has(f"vacuum_{level}", 0.002 * max(scene.person.age - 45, 0)):
            canvas.paint(oval(at[0], at[1] - 2, half_width * 0.45, 2.2), -550)
        return
    waist = 1 - 0.09 * np.sin(np.pi * up / DISC_FROM)
    shape = _kidney_shape(*at, half_width * waist, half_depth * waist)
    end_plate = min(up, DISC_FROM - up) < 0.06 and level != "C2"
    marrow = hu.trabecular * (1.55 if end_plate else 1.0)
    spur = max(scene.person.age - 50, 0) * 0.05
    if end_plate and spur:
        shape = _kidney_shape(*at, half_width + spur, half_depth + 0.6 * spur)
    canvas.bone(shape, hu.cortical * 0.55, marrow, 1.1, value, fine=35)
    if level == "C2" and up > 0.55:  # the dens, with the ring of C1 around it
        return
    if 0.25 < up < 0.5:  # where the basivertebral vein leaves
        canvas.paint(oval(at[0], at[1] + half_depth * 0.6, 3.2, 2.2), 40, None)


def _arch(
    scene: Scene,
    level: str,
    up: float,
    at: tuple[float, float],
    half_width: float,
    half_depth: float,
    transverse: float,
    spinous: float,
) -> None:
    canvas, hu, value = scene.canvas, scene.hu, VALUES[f"vertebra_{level}"]
    x, y = at
    neck, chest, loin = level[0] == "C", level[0] == "T", level[0] == "L"
    canal_x, canal_y = (11.5, 7.5) if neck else (9.5, 8.0) if chest else (12, 8.5)
    middle = y + half_depth * 0.85 + canal_y - 1
    back = middle + canal_y
    cortical, marrow = hu.cortical * 0.62, hu.trabecular * 1.25
    parts: list[Polygon] = []
    if not loin or up < 0.72 or up > 0.86:  # laminae overlap like tiles, less so in the loin
        for sign, _ in SIDES:
            line = [(x + sign * (canal_x + 2.5), middle + 1), (x + sign * canal_x * 0.6, back + 0.5), (x, back + 3)]
            parts.append(ribbon(line, 2.7 if neck else 3.3))
    if 0.42 < up < 0.8:  # pedicles
        for sign, _ in SIDES:
            line = [(x + sign * half_width * 0.66, y + half_depth * 0.5), (x + sign * (canal_x + 3), middle + 1)]
            parts.append(ribbon(line, 3.2 if neck else 3.6 if chest else 5.0))
    if 0.38 < up < 0.68:  # transverse processes
        for sign, _ in SIDES:
            aim = back + 9 if chest else middle + 1 if loin else y + 2
            line = [(x + sign * (canal_x + 2), middle + 2), (x + sign * transverse, aim)]
            parts.append(ribbon(line, [4.0, 3.0]))
    if up < 0.3 or up > 0.86:  # facet joints, with a gap
        for sign, _ in SIDES:
            if chest:
                near, far = (x + sign * 12, back - 3), (x + sign * 13, back + 3.5)
            else:
                near = (x + sign * (canal_x + 4.5), middle + 1)
                far = (x + sign * (canal_x + (9 if loin else 6)), middle + (6 if loin else 7))
            parts += [oval_at(near, 4.2, 3.4, turn=sign * 0.7), oval_at(far, 4.6, 3.0, turn=sign * 0.7)]
    low, high = (0.02, 0.5) if loin else (0.0, 1.0) if chest else (0.0, 0.45)
    if low <= up <= high and level != "C2":
        reach = spinous * (0.62 + 0.4 * (1 - up)) if chest else spinous * (1 - 0.5 * abs(up - 0.25))
        parts.append(ribbon([(x, back + 2), (x, back + 2 + reach)], [3.4, 2.6]))
    if parts:
        canvas.bone(parts, cortical, marrow, 1.0, value, fine=50)
    canvas.paint(oval(x, middle, canal_x, canal_y), scene.hu.fat * 0.35, VALUES["spinal_canal"], fine=8)
    canvas.paint(oval(x, middle - 0.3, canal_x * 0.82, canal_y * 0.8), 18, VALUES["spinal_canal"])
    if scene.z_mm > 1150:
        cord = 6.5 if neck else 4.8
        canvas.paint(oval(x, middle, cord, 4.2), 42, VALUES["spinal_canal"])
    if neck and 0.3 < up < 0.75:  # vertebral arteries in their foramina
        for sign, _ in SIDES:
            canvas.paint(oval(x + sign * (half_width + 4), y, 2.6, 2.6), scene.hu.artery, None)


def _atlas(scene: Scene) -> None:
    """C1: a ring with lateral masses around the dens."""
    x, y = scene.person.spine_mm(scene.z_mm)
    hu, canvas, value = scene.hu, scene.canvas, VALUES["vertebra_C1"]
    t = np.linspace(0, 2 * np.pi, 25)
    ring = np.stack([x + 22 * np.sin(t), y + 9 - 19 * np.cos(t)], axis=1)
    parts = [ribbon(ring, 3.0)]
    for sign, _ in SIDES:
        parts.append(oval(x + sign * 20, y + 3, 8.5, 11, turn=sign * 0.5))
        parts.append(ribbon([(x + sign * 24, y + 5), (x + sign * 37, y + 8)], 3.4))
    canvas.bone(parts, hu.cortical * 0.7, hu.trabecular * 1.4, 1.1, value)
    canvas.bone(oval(x, y - 3, 5, 5.5), hu.cortical * 0.7, hu.trabecular * 1.4, 1.1, VALUES["vertebra_C2"])
    canvas.paint(oval(x, y + 15, 11, 8.5), 15, VALUES["spinal_canal"])
    canvas.paint(oval(x, y + 15, 6.5, 5), 42, VALUES["spinal_canal"])


def _sacrum(scene: Scene) -> None:
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    if z < 866:
        return
    half_width, half_depth = keyed(_SACRUM, z)
    x, y = scene.person.spine_mm(z)
    w, d = half_width, half_depth
    if z > 905:
        shape = spline(
            [(0, -d * 0.75), (0.42 * w, -d * 0.8), (0.85 * w, -0.4 * d), (w, 0.35 * d), (0.72 * w, d),
             (0.3 * w, d * 0.95), (0, d * 1.25), (-0.3 * w, d * 0.95), (-0.72 * w, d), (-w, 0.35 * d),
             (-0.85 * w, -0.4 * d), (-0.42 * w, -d * 0.8)]
        ) + np.array((x, y))  # fmt: skip
    else:
        shape = oval(x, y, w, d)
    canvas.bone(shape, hu.cortical * 0.5, hu.trabecular * 0.75, 1.4, VALUES["sacrum"], fine=45)
    if z > 925:
        canvas.paint(oval(x, y + d * 0.42, 9, 5.0), 5, VALUES["spinal_canal"])
        if int(z / 12) % 2:
            for sign, _ in SIDES:
                for row in (-0.35, 0.55):
                    canvas.paint(oval(x + sign * 20, y + row * d, 5, 3.6), hu.fat + 60, 0)
