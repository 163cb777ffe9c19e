"""Stomach, colon, small bowel and the organs of the small pelvis."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, dome, keyed, keyed_many, oval, oval_at, ribbon, waved
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.ribcage import cut_tube
from radnet.scans.phantom.scene import Scene
from radnet.scans.phantom.structures import VALUES
from radnet.scans.phantom.torso import cavity_size, cavity_sizes

# Course of the colon: x and y in units of the cavity, z in mm, radius in mm.
_COLON = np.array(
    [
        (-0.72, 0.12, 1000, 26), (-0.78, 0.18, 1040, 24), (-0.78, 0.22, 1075, 22), (-0.72, 0.0, 1102, 21),
        (-0.55, -0.55, 1100, 20), (-0.25, -0.72, 1088, 20), (0.1, -0.74, 1085, 19), (0.42, -0.64, 1106, 19),
        (0.68, -0.3, 1150, 19), (0.80, 0.2, 1178, 18), (0.83, 0.42, 1150, 16), (0.82, 0.40, 1100, 15),
        (0.80, 0.25, 1050, 15), (0.76, 0.02, 1000, 14), (0.66, -0.18, 965, 14), (0.40, -0.05, 945, 15),
        (0.10, -0.22, 955, 16), (-0.12, 0.1, 950, 15), (0.02, 0.55, 930, 16), (0.0, 0.72, 905, 17),
        (0.0, 0.70, 880, 15), (0.0, 0.55, 858, 11), (0.0, 0.5, 842, 8),
    ],
    dtype=np.float64,
)  # fmt: skip


@lru_cache(maxsize=4)
def colon_pieces(person: Person) -> list[tuple[NDArray[np.float64], float, float]]:
    """The colon as short tubes: line (N, 3) in mm, radius in mm, share of gas in it."""
    rows = _COLON.copy()
    stream = person.stream("colon")
    rows[:, :2] += stream.uniform(-0.07, 0.07, rows[:, :2].shape)
    rows[:, 2] += stream.uniform(-9, 9, len(rows))
    rows[-4:, :3] = _COLON[-4:, :3]
    rows[:, 3] *= stream.uniform(0.72, 1.3, len(rows))
    pieces = []
    keys = np.arange(len(rows))
    table = np.column_stack([keys, rows])
    for index in range(len(rows) - 1):
        u, v, z, _ = keyed_many(table, np.linspace(index, index + 1.04, 14)).T
        width, depth, middle, _ = cavity_sizes(person, z).T
        pieces.append(
            (
                np.stack([u * width, middle + v * depth, z], axis=1),
                float(rows[index : index + 2, 3].mean()),
                float(stream.uniform(-0.3, 1.0)),
            )
        )
    return pieces


@lru_cache(maxsize=4)
def bowel_loops(person: Person) -> list[tuple[NDArray[np.float64], float, float, float]]:
    """Loops of small bowel: line (N, 3), radius, HU of the contents relative to water, share of gas."""
    stream = person.stream("small_bowel")
    loops = []
    for _ in range(84):
        z = stream.triangular(915, 985, 1125)
        width, depth, middle, _ = cavity_size(person, z)
        u, v = stream.uniform(-0.66, 0.68), stream.uniform(-0.8, 0.15)
        heading, length = stream.uniform(0, 2 * np.pi), stream.uniform(25, 62)
        bend = stream.uniform(-1.4, 1.4)
        t = np.linspace(-0.5, 0.5, 12)
        x = u * width + length * t * np.cos(heading + bend * t)
        y = middle + v * depth + 0.6 * length * t * np.sin(heading + bend * t)
        line = np.stack([x, y, z + 16 * t * stream.uniform(-1, 1)], axis=1)
        loops.append((line, stream.uniform(8.5, 14), stream.uniform(2, 40), stream.uniform(-2, 0.7)))
    return loops


def paint_bowel(scene: Scene) -> None:
    """Small bowel first, then colon, then stomach and duodenum."""
    z = scene.z_mm
    if not 838 < z < 1265:
        return
    _mesentery(scene)
    _small_bowel(scene)
    _colon(scene)
    _stomach(scene)


def _mesentery(scene: Scene) -> None:
    """Vessels in the fat of the mesentery."""
    z = scene.z_mm
    if not 930 < z < 1120:
        return
    stream = np.random.default_rng([scene.person.seed, scene.person.number, int(z * 4)])
    width, depth, middle, _ = cavity_size(scene.person, z)
    spots = stream.uniform((-0.5, -0.6, 1.0), (0.5, 0.2, 2.2), (26, 3))
    vessels = [oval(u * width, middle + v * depth, r, r * 1.3, count=8) for u, v, r in spots]
    scene.canvas.paint(vessels, 0.6 * scene.hu.portal, 0)


def _small_bowel(scene: Scene) -> None:
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    value = VALUES["small_bowel"]
    positive = 180 if scene.person.has("oral_contrast", 0.25) else 0
    for number, (line, radius, content, gas) in enumerate(bowel_loops(scene.person)):
        if abs(z - line[6, 2]) > radius + 9:  # loops rise by 8 mm either way at most
            continue
        shapes = cut_tube(line, radius, radius, z)
        if not shapes:
            continue
        shapes = [waved(shape, 0.05, scene.person.draws(f"loop_{number % 20}"), z) for shape in shapes]
        canvas.paint([_grown(shape, 2.4) for shape in shapes], hu.fat + 5, 0)
        canvas.paint([_grown(shape, 1.5) for shape in shapes], hu.bowel_wall, value)
        canvas.paint([_grown(shape, -1.0) for shape in shapes], content + positive * (number % 3 > 0), value, fine=12)
        if gas > 0:
            top = min(shape[:, 1].min() for shape in shapes)
            low = max(shape[:, 1].max() for shape in shapes)
            canvas.paint([_grown(s, -1.5) for s in shapes], -900, value, above_y_mm=top + gas * 0.5 * (low - top))


def _grown(shape: Polygon, by_mm: float) -> Polygon:
    centre = shape.mean(axis=0)
    offset = shape - centre
    length = np.maximum(np.hypot(offset[:, 0], offset[:, 1]), 1e-6)[:, None]
    return np.asarray(centre + offset * np.maximum(1 + by_mm / length, 0.05))


def _colon(scene: Scene) -> None:
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    value = VALUES["colon"]
    for number, (line, radius, gas) in enumerate(colon_pieces(scene.person)):
        haustra = radius * (1 + 0.10 * np.sin(z / 6.5 + number))
        shapes = cut_tube(line, haustra, haustra, z)
        if not shapes:
            continue
        shapes = [waved(s, 0.06, scene.person.draws(f"colon_{number}"), z * 2.5) for s in shapes]
        canvas.paint(shapes, hu.bowel_wall, value)
        inner = [_grown(s, -2.2) for s in shapes]
        if gas > 0.55:
            low, top = max(s[:, 1].max() for s in inner), min(s[:, 1].min() for s in inner)
            canvas.paint(inner, 35, value, fine=30)
            canvas.paint(inner, -960, value, above_y_mm=top + (0.45 + 0.6 * gas) * (low - top))
        else:  # stool: mottled with bubbles
            canvas.paint(inner, -25 - 120 * max(gas, 0), value, fine=75 + 120 * max(gas, 0))


def _stomach(scene: Scene) -> None:
    """Fundus under the left dome, body, antrum; then the duodenum."""
    z, person, canvas, hu = scene.z_mm, scene.person, scene.canvas, scene.hu
    fill = 1 + person.shift("stomach", 0.28)
    bottom = 1118 + person.shift("stomach_low", 16)
    table = np.array(
        [
            (1240, 0.40, 0.12, 0.14, 0.16), (1226, 0.42, 0.08, 0.30, 0.36), (1200, 0.44, -0.06, 0.33, 0.42),
            (1175, 0.42, -0.32, 0.30, 0.36), (1150, 0.30, -0.52, 0.34, 0.26), (1130, 0.18, -0.58, 0.36, 0.20),
            (1118, 0.12, -0.6, 0.20, 0.10),
        ]
    )[::-1]  # fmt: skip
    table[:, 0] = bottom + (table[:, 0] - 1118) * (1240 - bottom) / 122
    if bottom < z < 1240 + person.shift("left_dome", 9) * 0.5:
        width, depth, middle, _ = cavity_size(person, z)
        u, v, a, b = keyed(table, z)
        shape = oval(u * width, middle + v * depth, a * width * fill, b * depth * fill, turn=-0.45)
        shape = waved(shape, 0.07, person.draws("stomach"), z)
        canvas.paint(shape, hu.bowel_wall + 6, VALUES["stomach"])
        inner = _grown(shape, -4.0)
        drink = 160 if person.has("oral_contrast", 0.25) else 18
        canvas.paint(inner, drink, VALUES["stomach"], fine=9)
        gas = middle + (-0.38 + person.shift("stomach_gas", 0.3)) * depth
        canvas.paint(inner, -970, VALUES["stomach"], above_y_mm=gas)
    x, y = person.spine_mm(z)
    if 1085 < z < 1148:
        canvas.paint(oval(x - 44, y - 42, 13, 15), hu.bowel_wall, VALUES["small_bowel"])
        canvas.paint(oval(x - 44, y - 42, 9.5, 11.5), 22, VALUES["small_bowel"], fine=20)
    elif 1070 < z <= 1085:
        canvas.paint(
            ribbon([(x - 42, y - 36), (x - 5, y - 44), (x + 38, y - 40)], 9.0), hu.bowel_wall - 5, VALUES["small_bowel"]
        )


def paint_small_pelvis(scene: Scene) -> None:
    """Bladder, prostate or uterus."""
    z, person, canvas, hu = scene.z_mm, scene.person, scene.canvas, scene.hu
    full = 1 + person.shift("bladder", 0.45)
    height = 34 * full
    size = dome((z - 868 - 0.9 * height) / height)
    if person.female and 880 < z < 965 and person.has("uterus", 0.85):
        u = dome((z - 925) / 38)
        lean = person.shift("uterus_x", 14)
        shape = waved(oval(lean, 18 - 0.25 * (z - 900), 27 * u, 21 * u), 0.07, person.draws("uterus"), z)
        canvas.paint(shape, hu.muscle + 8, VALUES["uterus"], fine=5)
        for sign in (1.0, -1.0):
            if u > 0.5:
                canvas.paint(oval(sign * 46, 14, 13 * u, 10 * u), 26, 0, fine=10)
    if not person.female:
        if 842 < z < 880:
            u = dome((z - 861) / 20) * (0.9 + 0.006 * (person.age - 40))
            canvas.paint(oval(0, -2, 22 * u, 18 * u), hu.muscle + 6, VALUES["prostate"], fine=6)
        elif 880 <= z < 893:
            canvas.paint(oval(0, 22, 30, 5.5), hu.muscle - 10, 0)
    elif 842 < z < 880:
        canvas.paint(oval(0, 12, 20, 6), hu.muscle, 0)
    if size > 0.1:
        at = (person.shift("bladder_x", 4), -8 - 0.12 * (z - 868))
        shape = waved(
            oval_at(at, 45 * size * full**0.6, 33 * size * full**0.6, power=2.3), 0.04, person.draws("bladder"), z
        )
        canvas.paint(shape, hu.muscle - 8, VALUES["urinary_bladder"])
        inner = _grown(shape, -3.0)
        canvas.paint(inner, hu.urine_bladder, VALUES["urinary_bladder"])
        if scene.phase == "late":  # the contrast sinks to the back
            canvas.paint(inner, 12, VALUES["urinary_bladder"], above_y_mm=at[1] + 6)
    if 838 < z < 935:  # muscles of the pelvic floor around the rectum
        wide = keyed([(838, 17), (860, 28), (880, 40)], z)[0]
        if z < 872:
            for sign in (1.0, -1.0):
                line = [(sign * 8, 60), (sign * wide, 40), (sign * (wide + 4), 10)]
                canvas.paint(ribbon(line, 2.6), hu.muscle, 0)
