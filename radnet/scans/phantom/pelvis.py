"""Pelvic bones with their muscles and the hip joints."""

import numpy as np

from radnet.scans.phantom.curves import Polygon, keyed, oval, ribbon, spline
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES

HIP_MM = (89.0, 5.0, 880.0)
"""Centre of the left femoral head."""

# z, five points (x, y) of the iliac wing, half width
_WING = np.array(
    [
        (905, 70, 37, 76, 28, 84, 16, 90, 4, 93, -9, 14), (920, 61, 47, 70, 35, 79, 19, 89, 0, 97, -20, 11),
        (945, 52, 56, 67, 40, 81, 17, 97, -10, 107, -36, 8), (975, 48, 63, 69, 47, 90, 22, 106, -12, 115, -42, 6.5),
        (1010, 62, 58, 85, 44, 105, 20, 116, -8, 118, -27, 6), (1036, 96, 35, 107, 24, 114, 10, 117, -3, 117, -12, 5),
    ],
    dtype=np.float64,
)  # fmt: skip


def _hip_parts(z_mm: float) -> list[Polygon]:
    """Cross-sections of the left hip bone."""
    parts = []
    if 905 <= z_mm < 1040:
        row = keyed(_WING, z_mm)
        thin = np.array([1.0, 0.8, 0.6, 0.75, 1.0]) if z_mm > 930 else np.ones(5)
        closing = min(1.0, (1042 - z_mm) / 12)
        line = row[:10].reshape(5, 2)
        middle = line.mean(axis=0)
        parts.append(ribbon(middle + (line - middle) * closing**0.5, row[10] * thin))
    if 852 < z_mm < 910:  # the socket opens to the side
        off = (z_mm - HIP_MM[2]) / 33
        rim = 30 * max(1 - off * off, 0.05) ** 0.5
        t = np.linspace(-2.1, 2.1, 15) * (1.0 if z_mm < 893 else 1.1)
        line = np.stack([HIP_MM[0] + 1 - rim * np.cos(t), HIP_MM[1] + 3 - rim * np.sin(-t) * 1.05], axis=1)
        parts.append(ribbon(line, 5.0 + 4.5 * np.abs(np.sin(t))))
    if 843 < z_mm < 876:  # superior ramus of the pubis
        ramus = np.array([(70.0, -24), (45, -38), (22, -46), (9, -45)])
        u = (z_mm - 860) / 17
        parts.append(ribbon(ramus + np.array((0, 3 * u)), 7.5 * max(1 - u * u, 0.05) ** 0.5))
        if z_mm < 872:
            parts.append(oval(9.5, -43, 6.5, 15 * max(1 - u * u, 0.1) ** 0.5, turn=0.2))
    if 798 < z_mm < 862:  # ischium
        wide, deep, x, y = keyed(
            [(798, 6, 8, 52, 48), (815, 14, 17, 56, 44), (835, 13, 18, 63, 36), (862, 10, 13, 70, 30)], z_mm
        )
        parts.append(oval(x, y, wide, deep, turn=0.5))
    if 803 < z_mm < 848:  # inferior ramus
        share = (848 - z_mm) / 45
        parts.append(oval(13 + 36 * share, -36 + 62 * share, 5.5, 13, turn=-0.75))
    return parts


def paint_hip_bones(scene: Scene) -> None:
    """Both hip bones and the symphysis."""
    parts = _hip_parts(scene.z_mm)
    if 845 < scene.z_mm < 872:
        scene.canvas.paint(oval(0, -43, 5, 13), 85)
    for sign, side in SIDES:
        if parts:
            shapes = [part * (sign, 1.0) for part in parts]
            scene.canvas.bone(shapes, scene.hu.cortical * 0.62, scene.hu.trabecular * 0.9, 1.15, VALUES[f"hip_{side}"])


def paint_pelvic_muscles(scene: Scene) -> None:
    """Muscles around the pelvis, each in its own coat of fat."""
    z = scene.z_mm
    if not 790 < z < 1030:
        return
    bulk = scene.person.muscle
    for sign, side in SIDES:
        for name, shape, marbling in _muscles(z, bulk):
            value = VALUES[f"gluteus_{side}"] if name == "gluteus" else 0
            waste = 0.12 * scene.person.age
            scene.canvas.paint(shape * (sign, 1.0), scene.hu.muscle + 4 - waste, value, fine=marbling)


def _muscles(z: float, bulk: float) -> list[tuple[str, Polygon, float]]:
    """Name, contour and marbling of the muscles of the left side."""
    found: list[tuple[str, Polygon, float]] = []
    if 800 < z < 975:
        s = 1.17 * bulk * keyed([(800, 0.55), (830, 0.9), (890, 1.0), (935, 0.85), (975, 0.35)], z)[0]
        inner = 14 if z < 905 else 30
        shape = spline(
            [(inner, 86), (40, 72), (72, 62), (104, 48), (136, 36), (142, 46), (116, 72), (82, 94), (45, 104)]
        )
        middle = np.array((85.0, 72.0))
        found.append(("gluteus", middle + (shape - middle) * s, 16))
    if 893 < z < 1022:
        s = 1.16 * bulk * keyed([(893, 0.4), (915, 0.8), (955, 1.0), (1000, 0.7), (1022, 0.3)], z)[0]
        shape = spline([(82, 50), (98, 26), (112, 2), (122, -30), (134, -34), (142, -8), (134, 22), (112, 46)])
        middle = np.array((113.0, 8.0))
        found.append(("gluteus", middle + (shape - middle) * s, 9))
    if 925 < z < 1022:  # iliacus lines the wing
        row = keyed(_WING, z)
        line = row[:10].reshape(5, 2)[1:] + np.array((-8, -7))
        found.append(("iliacus", ribbon(line, 7 * bulk), 6))
    if 800 < z < 925:
        x, y = keyed([(800, 98, -2), (850, 98, -28), (880, 92, -38), (925, 82, -26)], z)
        found.append(("iliopsoas", oval(x, y, 19 * bulk, 15 * bulk), 6))
    if 835 < z < 905:
        found.append(("obturator", ribbon([(52, 42), (50, 18), (53, -8), (58, -20)], 6.5 * bulk), 6))
    if 820 < z < 935:
        found.append(("sartorius", oval(112, -60 + 0.12 * (z - 880), 13, 7.5, turn=0.35), 5))
        found.append(("tensor", oval(134, -38, 9.5, 20 * bulk, turn=-0.35), 6))
        found.append(("rectus", oval(108, -43, 14 * bulk, 9), 6))
    if 800 < z < 858:
        found.append(("pectineus", oval(58, -34, 24 * bulk, 10, turn=0.35), 7))
        found.append(("obturator_externus", oval(66, -4, 24, 12, turn=-0.25), 7))
        found.append(("adductor", oval(36, -14, 16, 22 * bulk, turn=-0.5), 8))
    if 850 < z < 945:  # gluteus minimus on the bone
        found.append(("minimus", oval(112, 8, 9 * bulk, 24, turn=0.25), 7))
    if 805 < z < 880:
        found.append(("quadratus", oval(96, 34, 26, 9, turn=-0.25), 7))
    return found
