"""Outline of the trunk: skin, fat under it, the muscular wall and the cavity inside.

Shape legend of the tables: z in mm above the soles of the standard body, then radii and middle of the contour.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, keyed, keyed_many, oval, ribbon, spline, waved
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES

TRUNK_BOTTOM_MM = 836.0
TRUNK_TOP_MM = 1530.0

# z, half width, half depth, middle y, power of the superellipse
_WALL = np.array(
    [
        (830, 150, 80, 14, 2.6), (870, 163, 92, 12, 2.7), (900, 167, 95, 8, 2.6), (940, 162, 92, 5, 2.5),
        (985, 151, 90, 0, 2.4), (1030, 139, 86, -2, 2.4), (1080, 134, 85, -2, 2.4), (1130, 138, 90, 0, 2.4),
        (1180, 144, 96, 3, 2.3), (1240, 149, 101, 5, 2.3), (1300, 152, 103, 6, 2.3), (1340, 155, 101, 6, 2.3),
        (1380, 160, 93, 9, 2.4), (1410, 164, 80, 13, 2.4), (1435, 150, 68, 15, 2.2), (1455, 112, 61, 15, 2.1),
        (1475, 74, 57, 11, 2.0), (1495, 60, 57, 7, 2.0), (1530, 57, 60, 5, 2.0), (1560, 57, 62, 4, 2.0),
    ],
    dtype=np.float64,
)  # fmt: skip

_CAVITY = np.array(
    [
        (845, 42, 45, 12, 2.0), (870, 60, 60, 8, 2.1), (900, 68, 66, 5, 2.2), (940, 84, 70, -2, 2.3),
        (980, 104, 72, -8, 2.4), (1030, 120, 70, -13, 2.4), (1080, 121, 70, -11, 2.4), (1130, 125, 76, -4, 2.4),
        (1180, 130, 85, 2, 2.3), (1240, 133, 89, 4, 2.3), (1300, 132, 89, 4, 2.3), (1340, 127, 84, 3, 2.2),
        (1380, 116, 74, 4, 2.2), (1410, 101, 61, 7, 2.1), (1435, 80, 46, 14, 2.1), (1455, 58, 32, 20, 2.0),
        (1470, 34, 17, 24, 2.0),
    ],
    dtype=np.float64,
)  # fmt: skip

# z, thickness of the fat in front, at the sides and at the back of a person with fat = 1
_FAT = np.array(
    [
        (830, 16, 30, 34), (880, 22, 32, 36), (930, 26, 27, 31), (985, 27, 22, 25), (1040, 25, 20, 19),
        (1100, 20, 16, 14), (1180, 14, 12, 12), (1300, 11, 12, 12), (1380, 10, 14, 13), (1430, 7, 12, 14),
        (1480, 5, 5, 9), (1560, 5, 5, 7),
    ],
    dtype=np.float64,
)  # fmt: skip


def depth_at(person: Person, z_mm: float) -> float:
    """How much deeper than in the tables the body is at a height: trunks differ, heads and legs less."""
    trunk = float(keyed([(780, 0.0), (870, 0.6), (1000, 1.0), (1400, 1.0), (1480, 0.0)], z_mm)[0])
    return 1 + trunk * (0.10 + person.shift("depth", 0.055))


def _girth(person: Person, z_mm: float) -> float:
    """How far visceral fat pushes the front wall forward at a height, mm."""
    bump = np.exp(-(((z_mm - 1070) / 95) ** 2))
    return float((person.visceral - 0.9) * 42 * bump)


@lru_cache(maxsize=64)
def wall_size(person: Person, z_mm: float) -> tuple[float, float, float, float]:
    """Half width, half depth, middle y and power of the muscular wall's contour."""
    width, depth, middle, power = keyed(_WALL, z_mm)
    girth = _girth(person, z_mm)
    bulk = 1 + 0.5 * (person.muscle - 1)
    return width * bulk + 0.3 * girth, depth * bulk + 0.5 * girth, middle - 0.5 * girth, power


@lru_cache(maxsize=64)
def cavity_size(person: Person, z_mm: float) -> tuple[float, float, float, float]:
    """Half width, half depth, middle y and power of the body cavity's contour."""
    width, depth, middle, power = keyed(_CAVITY, z_mm)
    girth = _girth(person, z_mm)
    chest = 1 + person.shift("chest_depth", 0.04)
    return width + 0.3 * girth, depth * chest + 0.5 * girth, middle - 0.5 * girth, power


def cavity_sizes(person: Person, z_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """`cavity_size` at many heights: shape (N,) -> (N, 4)."""
    sizes = keyed_many(_CAVITY, z_mm)
    girth = (person.visceral - 0.9) * 42 * np.exp(-(((z_mm - 1070) / 95) ** 2))
    chest = 1 + person.shift("chest_depth", 0.04)
    return np.stack(
        [sizes[:, 0] + 0.3 * girth, sizes[:, 1] * chest + 0.5 * girth, sizes[:, 2] - 0.5 * girth, sizes[:, 3]], axis=1
    )


def wall(person: Person, z_mm: float, inset_mm: float = 0.0) -> Polygon:
    """Contour of the muscular wall, `inset_mm` further in."""
    width, depth, middle, power = wall_size(person, z_mm)
    shape = oval(0, middle, width - inset_mm, depth - inset_mm, power=power, count=64)
    return waved(shape, 0.012, person.draws("wall"), z_mm)


def cavity(person: Person, z_mm: float, inset_mm: float = 0.0) -> Polygon:
    """Contour of the body cavity, `inset_mm` further in."""
    width, depth, middle, power = cavity_size(person, z_mm)
    return oval(0, middle, max(width - inset_mm, 3), max(depth - inset_mm, 3), power=power, count=64)


def skin(person: Person, z_mm: float, inset_mm: float = 0.0) -> Polygon:
    """Contour of the skin, `inset_mm` further in; the back lies flattened on the table."""
    shape = wall(person, z_mm)
    front, side, back = keyed(_FAT, z_mm) * person.fat
    hips = 1.25 if person.female and z_mm < 1000 else 1.0
    middle = wall_size(person, z_mm)[2]
    offset = shape - (0, middle)
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    sine = np.sin(angle)
    thick = side * hips * np.cos(angle) ** 2 + np.where(sine < 0, front, back) * sine**2 + 3 - inset_mm
    length = np.hypot(offset[:, 0], offset[:, 1])
    shape = shape + offset / length[:, None] * thick[:, None]
    return waved(shape, 0.008 + 0.008 * min(person.fat, 1.5), person.draws("skin"), z_mm)


def breasts(person: Person, z_mm: float) -> list[Polygon]:
    """Contours of both breasts of a woman on her back, empty elsewhere."""
    if not person.female or not 1225 < z_mm < 1385:
        return []
    u = (z_mm - 1300) / 85
    height = (10 + 14 * person.fat) * max(0.0, 1 - u * u) ** 0.7
    if height < 2:
        return []
    _, depth, middle, _ = wall_size(person, z_mm)
    sag = 6 * person.fat
    return [
        oval(sign * (82 + sag), middle - depth * 0.76 - 0.4 * height, 58 * max(0.05, 1 - u * u) ** 0.5, height + 12)
        for sign, _ in SIDES
    ]


def paint_skin(scene: Scene) -> None:
    """The skin of the trunk."""
    if TRUNK_BOTTOM_MM < scene.z_mm < TRUNK_TOP_MM:
        shapes = [skin(scene.person, scene.z_mm), *breasts(scene.person, scene.z_mm)]
        scene.canvas.paint(shapes, scene.hu.skin)


def paint_fat(scene: Scene) -> None:
    """Fat under the skin of the trunk, and the glandular tissue of the breasts."""
    if not TRUNK_BOTTOM_MM < scene.z_mm < TRUNK_TOP_MM:
        return
    person, z = scene.person, scene.z_mm
    scene.canvas.paint(skin(person, z, inset_mm=2.2), scene.hu.fat, fine=9)
    for shape in breasts(person, z):
        centre = shape.mean(axis=0)
        scene.canvas.paint(centre + (shape - centre) * 0.95, scene.hu.fat, fine=9)
        gland = 0.62 - 0.004 * person.age + person.shift("gland", 0.15)
        scene.canvas.paint(waved(centre + (shape - centre) * gland, 0.3, person.draws("gland"), z * 3), -25, fine=45)


def paint_wall(scene: Scene) -> None:
    """Muscles around the cavity, and fat inside it."""
    z, person, canvas = scene.z_mm, scene.person, scene.canvas
    if not TRUNK_BOTTOM_MM < z < TRUNK_TOP_MM:
        return
    muscle, fat = scene.hu.muscle, scene.hu.fat
    if z > 1478:
        return
    if z > 1005 and z < 1436:
        canvas.paint(wall(person, z), muscle, fine=7)
        _fat_planes(scene)
    elif z >= 1436:
        canvas.paint(wall(person, z), fat + 6, fine=12)
        _neck_root(scene)
    else:
        canvas.paint(wall(person, z), fat, fine=8)
        _front_wall(scene)
    if z > 845:
        canvas.paint(cavity(person, z), fat - 3, fine=7)
    if z < 1200:
        _back_muscles(scene)


def _neck_root(scene: Scene) -> None:
    """Trapezius, scalene and deep muscles between neck and shoulders."""
    z, person, canvas, hu = scene.z_mm, scene.person, scene.canvas, scene.hu
    width, depth, middle, _ = wall_size(person, z)
    x0, y0 = person.spine_mm(z)
    for sign, _ in SIDES:
        t = np.linspace(0.08, 1.0, 12) * np.pi / 2
        line = np.stack([sign * (width - 6) * np.sin(t), middle + (depth - 7) * np.cos(t) ** 1.1], axis=1)
        canvas.paint(ribbon(line, np.linspace(4, 8, 12) * person.muscle), hu.muscle, fine=8)
        for dx, dy, a, b, turn in (
            (15, 30, 14, 11, 0.3),
            (44, 26, 13, 9, -0.5),
            (38, -4, 14, 9, 0.9),
            (0.6 * width, 8, 14, 8, 0.5),
        ):
            shape = oval(x0 + sign * dx, y0 + dy, a, b, turn=sign * turn)
            canvas.paint(waved(shape, 0.08, person.draws(f"root_{dx:.0f}"), z), hu.muscle, fine=8)
        canvas.paint(oval(sign * 30, middle - 0.72 * depth, 15, 5, turn=sign * 0.45), hu.muscle, fine=6)


def _front_wall(scene: Scene) -> None:
    """Rectus and oblique muscles in front of the pelvis."""
    width, depth, middle, power = wall_size(scene.person, scene.z_mm)
    reach = np.interp(scene.z_mm, (850, 940, 1005), (0.28, 0.55, 0.98))
    thick = np.interp(scene.z_mm, (850, 940, 1005), (5, 6.5, 7.5)) * scene.person.muscle
    for sign, _ in SIDES:
        t = np.linspace(0.06, reach, 12) * np.pi / 2
        x = sign * (width - thick) * np.sin(t) ** (2 / power)
        y = middle - (depth - thick) * np.cos(t) ** (2 / power)
        scene.canvas.paint(ribbon(np.stack([x, y], axis=1), thick), scene.hu.muscle, fine=6)


def _fat_planes(scene: Scene) -> None:
    """Thin layers of fat between the muscles of the wall."""
    person, z = scene.person, scene.z_mm
    outer, inner = wall_size(person, z), cavity_size(person, z)
    width, depth, middle = ((outer[i] + inner[i]) / 2 + shift for i, shift in ((0, 2.0), (1, 1.0), (2, 0.0)))
    thin = 0.7 + 0.7 * person.fat
    for sign, _ in SIDES:
        for low, high in ((-0.45, 0.42),):
            t = np.linspace(low, high, 14) * np.pi / 2
            line = np.stack([sign * width * np.cos(t) ** 0.85, middle + depth * np.sin(t)], axis=1)
            scene.canvas.paint(ribbon(line, thin), scene.hu.fat, fine=10)
        if z < 1200:  # the line between rectus and obliques
            x, y = sign * (62 + 0.1 * width), middle - outer[1] * 0.87
            scene.canvas.paint(oval(x, y, 5, 3 + 6 * min(person.fat, 1.2), turn=-sign * 0.8), scene.hu.fat)
            scene.canvas.paint(oval(0, middle - outer[1] + 5, 4.5, 9), scene.hu.fat)
        if z > 1330:  # the armpit
            open_mm = np.interp(z, (1330, 1380, 1420, 1440), (0, 21, 20, 0))
            if open_mm > 1:
                shape = oval(sign * (width + 4), 2, open_mm * 0.62, open_mm * 1.6, turn=sign * 0.3)
                scene.canvas.paint(waved(shape, 0.12, person.draws("armpit"), z), scene.hu.fat, fine=14)


def _back_muscles(scene: Scene) -> None:
    """Erector spinae, quadratus lumborum and psoas, with fat between them."""
    z, person, canvas = scene.z_mm, scene.person, scene.canvas
    if z < 915:
        return
    x0, y0 = person.spine_mm(z)
    bulk = person.muscle * np.interp(z, (915, 950, 1000, 1100, 1200), (0.25, 0.6, 0.95, 1.0, 0.8))
    for sign, side in SIDES:
        flat = float(np.interp(z, (915, 985, 1010), (0.3, 0.55, 1.0)))
        back = spline(
            [(9, 42), (30, 30), (52, 36), (58, 50), (45, 63), (22, 68), (8, 62)]
        ) * (sign * bulk, flat) + (x0, y0 + 2 + 10 * (1 - flat))  # fmt: skip
        canvas.paint(back + np.array((0, -1.0)), scene.hu.fat)
        canvas.paint(
            (back - back.mean(axis=0)) * 0.94 + back.mean(axis=0),
            scene.hu.muscle - 0.18 * person.age + 6,
            VALUES[f"erector_spinae_{side}"],
            fine=7 + 0.08 * person.age,
        )
        if 1010 < z < 1150:
            canvas.paint(oval(x0 + sign * 66, y0 + 25, 16 * bulk, 7.5, turn=sign * 0.45), scene.hu.muscle, fine=8)
        if 915 < z < 1165:
            size = np.interp(z, (915, 985, 1040, 1120, 1165), (19, 21, 20, 12, 4)) * person.muscle
            out = np.interp(z, (915, 950, 985, 1040, 1120, 1165), (80, 70, 54, 44, 34, 28))
            y = y0 + 8 if z > 1000 else np.interp(z, (915, 1000), (-22, 27))
            shape = oval(x0 + sign * out, y, size * 0.86, size * 1.05, turn=sign * 0.35)
            canvas.paint(shape, scene.hu.muscle + 3, VALUES[f"psoas_{side}"], fine=6)
