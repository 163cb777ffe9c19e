"""Lungs with their vessels, bronchi and the trachea."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, capsule, keyed, oval, spline
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.ribcage import cut_tube
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES
from radnet.scans.phantom.torso import cavity_size, cavity_sizes

BASE_MM, APEX_MM = 1158.0, 1464.0
CARINA_MM = 1364.0

_OUTLINE = np.array(
    [
        (0.05, -0.86), (0.30, -0.955), (0.68, -0.76), (0.93, -0.36), (0.985, 0.05), (0.93, 0.42), (0.74, 0.75),
        (0.48, 0.95), (0.27, 0.90), (0.19, 0.62), (0.20, 0.25), (0.22, -0.1), (0.12, -0.5),
    ]
)  # fmt: skip


def lung_outline(person: Person, z_mm: float, sign: float) -> Polygon:
    """Contour of one lung as far as the chest wall bounds it; mediastinum and diaphragm are painted over it."""
    width, depth, middle, _ = cavity_size(person, z_mm)
    shape = spline(_OUTLINE) * (sign * width, depth) + (0, middle)
    if z_mm < BASE_MM + 25:  # only the recess behind the diaphragm is left
        shape = shape[shape[:, 1] > middle + depth * (0.2 + 0.02 * (BASE_MM + 25 - z_mm))]
    return shape


def paint_lungs(scene: Scene) -> None:
    """Both lungs with their vessels."""
    z = scene.z_mm
    if not BASE_MM < z < APEX_MM:
        return
    for sign, side in SIDES:
        shape = lung_outline(scene.person, z, sign)
        if len(shape) < 4:
            continue
        scene.canvas.paint(shape, scene.hu.lung, VALUES[f"lung_{side}"], fine=16, coarse=18)
        _paint_gravity(scene, shape, VALUES[f"lung_{side}"])
        _paint_vessels(scene, sign, VALUES[f"lung_{side}"])


def _paint_gravity(scene: Scene, shape: Polygon, value: int) -> None:
    """Dependent parts are denser in a patient on the back; some have a small atelectasis there."""
    for share, rise in ((0.62, 22), (0.8, 30)):
        y = shape[:, 1].min() + share * np.ptp(shape[:, 1])
        low = shape[shape[:, 1] > y]
        if len(low) > 3:
            scene.canvas.paint(
                low, scene.hu.lung + rise * (1 if share < 0.7 else 2), value, fine=18, coarse=18, within=value
            )
    if scene.person.has("atelectasis", 0.25) and scene.z_mm < 1250:
        x, y = shape[np.argmax(shape[:, 1])]
        scene.canvas.paint(oval(x, y, 24, 5), -120, value, fine=70, within=value)


@lru_cache(maxsize=4)
def lung_tree(person: Person) -> dict[str, NDArray[np.float64]]:
    """Vessels of each lung as straight pieces (x0, y0, z0, x1, y1, z1, radius), shape (N, 7).

    Points are scattered in the lung and joined one by one, from the hilum outwards, to the nearest point that
    leads on; a piece is the thicker the more points hang on it (Murray's law, with exponent 2.6).
    """
    found = {}
    for sign, side in SIDES:
        stream = person.stream(f"lung_tree_{side}")
        count = 380
        z = stream.uniform(BASE_MM + 12, APEX_MM - 8, count)
        angle, radius = stream.uniform(0, 2 * np.pi, count), stream.uniform(0.1, 1, count) ** 0.5 * 0.93
        width, depth, middle, _ = cavity_sizes(person, z).T
        x = width * (0.56 + 0.40 * radius * np.cos(angle))
        y = middle + depth * 0.86 * radius * np.sin(angle)
        root = np.array([38.0, 12.0, 1342.0])
        points = np.concatenate([[root], np.stack([x, y, z], axis=1)])
        distance = np.linalg.norm(points - root, axis=1)
        points = points[np.argsort(distance)]
        distance = np.sort(distance)
        parents = np.zeros(count + 1, dtype=int)
        for child in range(1, count + 1):
            gap = np.linalg.norm(points[:child] - points[child], axis=1) + 0.35 * distance[:child]
            parents[child] = int(np.argmin(gap))
        load = np.ones(count + 1)
        for child in range(count, 0, -1):
            load[parents[child]] += load[child]
        thick = 0.68 * load[1:] ** (1 / 2.6)
        pieces = np.concatenate([points[parents[1:]], points[1:], np.minimum(thick, 6.0)[:, None]], axis=1)
        pieces[:, [0, 3]] *= sign
        found[side] = pieces
    return found


def _paint_vessels(scene: Scene, sign: float, value: int) -> None:
    pieces = lung_tree(scene.person)["left" if sign > 0 else "right"]
    start, end, radius = pieces[:, :3], pieces[:, 3:6], pieces[:, 6]
    half = np.maximum(radius, 2.2)
    low, high = np.minimum(start[:, 2], end[:, 2]) - half, np.maximum(start[:, 2], end[:, 2]) + half
    near = (low < scene.z_mm) & (high > scene.z_mm)
    shapes: list[Polygon] = []
    for a, b, r, h in zip(start[near], end[near], radius[near], half[near], strict=True):
        rise = b[2] - a[2]
        if abs(rise) < 1e-6:
            t0, t1 = 0.0, 1.0
        else:
            t0, t1 = sorted(((scene.z_mm - h - a[2]) / rise, (scene.z_mm + h - a[2]) / rise))
            t0, t1 = max(t0, 0.0), min(t1, 1.0)
        p, q = (a + (b - a) * t0)[:2], (a + (b - a) * t1)[:2]
        shapes.append(capsule(p, q, float(r)))
    if shapes:
        scene.canvas.paint(shapes, 0.6 * scene.hu.heart_right, value, within=value)


def paint_airways(scene: Scene) -> None:
    """Trachea, main bronchi and their lobar branches, painted after the mediastinum."""
    z, canvas = scene.z_mm, scene.canvas
    if CARINA_MM - 4 < z < 1502:
        x, y = trachea_mm(z)
        wide = 9.0 if scene.person.female else 10.5
        canvas.paint(oval(x, y, wide + 1.6, wide + 0.6), 50)
        canvas.paint(oval(x, y, wide, wide - 1.2), -985, VALUES["trachea"])
    for sign, _ in SIDES:
        t = np.linspace(0, 1, 30)[:, None]
        main = np.array([0, 18, CARINA_MM + 3]) + t * np.array([sign * 46, 8, -30 if sign < 0 else -36])
        lower = main[-1] + t * np.array([sign * 26, 24, -62])
        upper = main[-1] + t * np.array([sign * 38, -14, 22])
        for line, radius in ((main, 7.0), (lower, 3.8), (upper, 3.2)):
            shapes = cut_tube(line, radius, radius, z)
            if shapes:
                canvas.paint([(s - s.mean(axis=0)) * 1.25 + s.mean(axis=0) for s in shapes], -10, None)
                canvas.paint(shapes, -975, VALUES["trachea"])


def trachea_mm(z_mm: float) -> tuple[float, float]:
    """Centre (x, y) of the trachea at a height."""
    x, y = keyed([(1360, -2, 18), (1400, -3, 12), (1440, -1, 2), (1475, 0, -12), (1505, 0, -20)], z_mm)
    return float(x), float(y)
