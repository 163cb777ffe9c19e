"""Ribs as slanting tubes along the cage, their cartilage, sternum, clavicles and scapulae."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, keyed, oval, ribbon
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES
from radnet.scans.phantom.torso import cavity_size, cavity_sizes, wall_size

# rib: descent from its head to its front end, how far round it reaches (1 = front), rise of the cartilage
_RIBS = np.array(
    [
        (1, 34, 0.86, 0), (2, 52, 0.84, 2), (3, 68, 0.82, 0), (4, 82, 0.80, 0), (5, 92, 0.78, 8), (6, 100, 0.77, 24),
        (7, 106, 0.75, 45), (8, 106, 0.71, 62), (9, 98, 0.67, 60), (10, 88, 0.62, 50), (11, 62, 0.47, 0),
        (12, 40, 0.32, 0),
    ],
    dtype=np.float64,
)  # fmt: skip

STERNUM_MM = (1262.0, 1416.0)


def _cage_points(
    person: Person, t: NDArray[np.float64], z_mm: NDArray[np.float64], outside_mm: float
) -> NDArray[np.float64]:
    """Points (N, 3) at angles t (0 = back, pi = front) on the left of the cage, `outside_mm` off the cavity."""
    width, depth, middle, power = cavity_sizes(person, z_mm).T
    x = (width + outside_mm) * np.maximum(np.sin(t), 0.0) ** (2 / power)
    y = middle + np.sign(np.cos(t)) * (depth + outside_mm) * np.abs(np.cos(t)) ** (2 / power)
    return np.stack([x, y, z_mm], axis=1)


@lru_cache(maxsize=4)
def rib_lines(person: Person) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Centre lines of the left ribs 1-12 and of their cartilages, each of shape (N, 3) as (x, y, z)."""
    edges = person.vertebra_edges_mm()
    lines = {}
    for number, descent, reach, rise in _RIBS:
        z_head = edges[5 + 12 - int(number)] + 20
        steps = np.linspace(0.13, reach, 90)
        z = z_head - descent * np.clip((steps - 0.05) / (reach - 0.05), 0, 1) ** 1.15
        points = _cage_points(person, steps * np.pi, z, 4.5)
        x0, y0 = person.spine_mm(z_head)
        blend = np.clip(1 - np.arange(90) / 12, 0, 1)[:, None] ** 1.3
        head = np.array([x0 + 17, y0 + 13, z_head])
        points = points * (1 - blend) + (head + np.linspace(0, 1, 90)[:, None] * (24, 18, 0) * 4) * blend
        end = points[-1]
        cartilage = np.empty((0, 3))
        if number <= 10:
            top = min(end[2] + rise, STERNUM_MM[1] - 12)
            share = np.linspace(0, 1, 40)
            cartilage = _cage_points(
                person, (reach + (0.955 - reach) * share) * np.pi, end[2] + (top - end[2]) * share, 4.0
            )
        lines[int(number)] = (points, cartilage)
    return lines


def cut_tube(line: NDArray[np.float64], half_height: float, half_width: float, z_mm: float) -> list[Polygon]:
    """Cross-sections of a tube (oval, `half_height` along z) around a line (N, 3) with the plane z."""
    if len(line) < 2:
        return []
    off = np.abs(line[:, 2] - z_mm) / half_height
    if off.min() >= 1:
        return []
    inside = off < 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    found = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start >= 2:
            found.append(ribbon(line[start:end, :2], half_width * np.sqrt(1 - off[start:end] ** 2) + 0.2))
    return found


def paint_ribs(scene: Scene) -> None:
    """Ribs, cartilages and the muscles between them."""
    z = scene.z_mm
    if not 1075 < z < 1485:
        return
    hu, canvas = scene.hu, scene.canvas
    for number, (line, cartilage) in rib_lines(scene.person).items():
        width = 4.6 if number > 1 else 6.5
        gristle = cut_tube(cartilage, 6.5, 4.4, z)
        bones = cut_tube(line, 6.8 if number > 1 else 4.5, width, z)
        for sign, side in SIDES:
            factor = np.array([sign, 1.0])
            if gristle:
                hard = 70 + 1.1 * scene.person.age
                canvas.bone([shape * factor for shape in gristle], 95 + hard, 95, 0.8, 0, fine=20)
            if bones:
                value = VALUES[f"rib_{side}_{number}"]
                shapes = [shape * factor for shape in bones]
                canvas.bone(shapes, hu.cortical * 0.72, hu.trabecular * 0.9, 1.25, value, fine=30)


def paint_sternum(scene: Scene) -> None:
    """Manubrium, body and xiphoid."""
    z = scene.z_mm
    bottom, top = STERNUM_MM
    if not bottom - 22 < z < top:
        return
    _, depth, middle, _ = cavity_size(scene.person, z)
    y = middle - depth - 5
    half = keyed([(1240, 5), (1258, 9), (1266, 17), (1310, 18), (1350, 15), (1364, 19), (1395, 29), (1416, 27)], z)[0]
    scene.canvas.bone(
        oval(0, y, half, 6.5, power=2.6), scene.hu.cortical * 0.5, scene.hu.trabecular * 0.8, 1.2, VALUES["sternum"]
    )


def _shoulder(scene: Scene) -> tuple[float, float, float]:
    """Centre of the left humeral head."""
    lift = 28.0 if scene.arms_up else 0.0
    width = wall_size(scene.person, 1400)[0]
    return (width + 6 - 0.4 * lift, 16 - 0.2 * lift, 1408 + lift)


def shoulder_mm(scene: Scene) -> tuple[float, float, float]:
    """Centre (x, y, z) of the left humeral head in the standard body."""
    return _shoulder(scene)


def clavicle_line(scene: Scene) -> NDArray[np.float64]:
    """Centre line of the left clavicle, shape (40, 3)."""
    x, y, z = _shoulder(scene)
    _, depth, middle, _ = cavity_size(scene.person, 1412)
    t = np.linspace(0, 1, 40)
    front = middle - depth - 6
    lift = 30 if scene.arms_up else 16
    return np.stack(
        [22 + (x - 32) * t, front + (y - 14 - front) * t - 9 * np.sin(2 * np.pi * t), 1411 + (z + lift - 1411) * t],
        axis=1,
    )


def paint_shoulder_girdle(scene: Scene) -> None:
    """Clavicles and scapulae."""
    z, hu, canvas = scene.z_mm, scene.hu, scene.canvas
    if not 1280 < z < 1490:
        return
    for sign, side in SIDES:
        factor = np.array([sign, 1.0])
        bones = [shape * factor for shape in cut_tube(clavicle_line(scene), 6.0, 6.0, z)]
        if bones:
            canvas.bone(bones, hu.cortical * 0.85, hu.trabecular * 1.1, 1.5, VALUES[f"clavicle_{side}"])
        blade = [shape * factor for shape in _scapula(scene)]
        if blade:
            canvas.bone(blade, hu.cortical * 0.75, hu.trabecular * 1.2, 1.3, VALUES[f"scapula_{side}"])


def _scapula(scene: Scene) -> list[Polygon]:
    """Left scapula: blade behind the ribs, glenoid, spine and acromion, coracoid."""
    x, y, top = _shoulder(scene)
    z = scene.z_mm - (top - 1408) * 0.6
    parts = []
    if 1292 < z < 1428:
        width, depth, middle, _ = cavity_size(scene.person, min(z, 1395))
        medial = keyed([(1292, 98), (1310, 90), (1380, 74), (1428, 80)], z)[0]
        lateral = keyed([(1292, 106), (1310, 116), (1350, 128), (1385, x - 26), (1428, x - 30)], z)[0]
        xs = np.linspace(medial, lateral, 8)
        inside = np.clip(1 - (xs / (width + 16)) ** 2, 0.12, 1)
        ys = middle + (depth + 15) * np.sqrt(inside)
        bend = np.clip((z - 1370) / 30, 0, 1)
        ys = ys * (1 - bend) + np.linspace(ys[0], y + 8, 8) * bend
        parts.append(ribbon(np.stack([xs, ys], axis=1), np.linspace(2.0, 3.4, 8)))
        if 1385 < z < 1424:
            parts.append(oval(x - 29, y + 4, 6.5, 14 - 0.25 * abs(z - 1405), turn=-0.25))
    if 1395 < z < 1440:  # spine of the scapula, ending in the acromion
        share = (z - 1395) / 45
        start = (92 + 30 * share, y + 40 - 8 * share)
        parts.append(ribbon([start, (x - 14 + 14 * share, y + 34), (x + 2 + 14 * share, y + 22 - 16 * share)], 4.2))
    if 1412 < z < 1432:  # coracoid
        parts.append(ribbon([(x - 30, y), (x - 26, y - 24)], 5.0))
    return parts
