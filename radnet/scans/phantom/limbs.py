"""Legs and arms: skin, fat, muscles in their compartments, long bones with a cortex and marrow."""

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, keyed, oval, oval_at, ribbon, spline, waved
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.ribcage import cut_tube, shoulder_mm
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES

# z: middle (x, y) and radii of the muscles of the left leg without fat
_LEG = np.array(
    [
        (70, 84, 8, 33, 38), (110, 84, 4, 27, 32), (180, 84, 6, 33, 38), (260, 85, 12, 46, 50), (330, 86, 12, 52, 55),
        (390, 86, 8, 49, 52), (440, 86, 2, 52, 52), (475, 86, 0, 54, 55), (520, 88, 2, 56, 58), (600, 92, 4, 66, 68),
        (700, 97, 5, 74, 76), (780, 100, 6, 80, 82), (840, 100, 8, 82, 84), (880, 98, 8, 80, 84),
    ],
    dtype=np.float64,
)  # fmt: skip

_FEMUR = np.array(
    [(500, 88, 2), (560, 92, -4), (650, 98, -8), (740, 108, -4), (800, 119, 8), (832, 124, 16)], dtype=np.float64
)

# name, angle (0 = side, pi/2 = back), distance, radii, all in units of the thigh's radius
_THIGH = (
    (-1.05, 0.56, 0.34, 0.26), (-1.65, 0.66, 0.24, 0.20), (-2.45, 0.62, 0.32, 0.24), (-0.25, 0.56, 0.46, 0.30),
    (-1.45, 0.36, 0.40, 0.24), (2.75, 0.52, 0.44, 0.30), (1.15, 0.66, 0.28, 0.24), (1.85, 0.66, 0.28, 0.26),
    (2.35, 0.72, 0.20, 0.26), (3.4, 0.80, 0.14, 0.22), (0.45, 0.70, 0.20, 0.30),
)  # fmt: skip
_CALF = (
    (1.05, 0.58, 0.40, 0.36), (2.0, 0.58, 0.40, 0.38), (1.5, 0.26, 0.56, 0.30), (-0.75, 0.56, 0.30, 0.26),
    (-0.05, 0.74, 0.26, 0.16), (0.4, 0.30, 0.30, 0.22),
)  # fmt: skip


def leg_size(person: Person, z_mm: float) -> tuple[float, float, float, float]:
    """Middle (x, y) and radii of the muscle bag of the left leg."""
    x, y, a, b = keyed(_LEG, z_mm)
    bulk = person.muscle**1.3
    return x, y, a * bulk, b * bulk


def _leg_fat(person: Person, z_mm: float) -> float:
    usual = float(keyed([(80, 4), (260, 7), (440, 7), (600, 11), (800, 17), (880, 20)], z_mm)[0])
    return usual * (1.25 if person.female else 0.85) * (0.35 + 0.65 * person.fat)


def leg_back_mm(person: Person, z_mm: float) -> float:
    """How far back the legs reach at a height, in the standard body."""
    _, y, _, b = leg_size(person, z_mm)
    return y + b + _leg_fat(person, z_mm)


def paint_leg_skin(scene: Scene) -> None:
    """Skin of both legs, before any fat is painted."""
    if scene.z_mm < 885:
        x, y, a, b = leg_size(scene.person, scene.z_mm)
        coat = _leg_fat(scene.person, scene.z_mm) + 2
        for sign, _ in SIDES:
            shape = oval(sign * x, y, a + coat, b + coat, power=2.15, count=48)
            scene.canvas.paint(waved(shape, 0.02, scene.person.draws("leg_skin"), scene.z_mm), scene.hu.skin)


def paint_leg_fat(scene: Scene) -> None:
    """Fat of both legs."""
    if scene.z_mm < 885:
        x, y, a, b = leg_size(scene.person, scene.z_mm)
        coat = _leg_fat(scene.person, scene.z_mm)
        for sign, _ in SIDES:
            shape = oval(sign * x, y, a + coat, b + coat, power=2.15, count=48)
            scene.canvas.paint(waved(shape, 0.02, scene.person.draws("leg_skin"), scene.z_mm), scene.hu.fat, fine=8)


def paint_legs(scene: Scene) -> None:
    """Muscles, vessels and bones of both legs."""
    z = scene.z_mm
    if z > 925:
        return
    for sign, side in SIDES:
        if z < 835:
            _leg_muscles(scene, sign)
        _femur(scene, sign, side)
        if z < 482:
            _lower_leg_bones(scene, sign, side)


def _leg_muscles(scene: Scene, sign: float) -> None:
    z, hu, canvas = scene.z_mm, scene.hu, scene.canvas
    x, y, a, b = leg_size(scene.person, scene.z_mm)
    thin = 0.9 + 0.9 * scene.person.fat
    waste = 0.1 * scene.person.age
    bundles = _THIGH if z > 440 else _CALF
    shrink = float(
        keyed([(80, 0.75), (200, 0.95), (330, 1.0), (420, 0.8), (440, 0.55), (500, 0.72), (560, 0.95), (700, 1.0)], z)[
            0
        ]
    )
    shapes = []
    for number, (angle, away, wide, deep) in enumerate(bundles):
        turn = angle + np.pi / 2
        size_a, size_b = wide * a * shrink - thin * 0.4, deep * b * shrink - thin * 0.4
        shape = oval(
            away * a * np.cos(angle), away * b * np.sin(angle), size_a * 1.18, size_b * 1.18, turn=turn, power=2.6
        )
        shape = waved(shape, 0.07, scene.person.draws(f"muscle_{number}"), z * 0.7)
        shapes.append(shape * (sign, 1.0) + (sign * x, y))
    for shape in shapes:
        canvas.paint(_scaled(shape, thin), hu.fat + 12, 0, fine=10)
        canvas.paint(shape, hu.muscle + 5 - waste, 0, fine=9)
    if z > 480:
        at = keyed([(480, 80, 34), (560, 74, 14), (680, 74, -14), (800, 80, -46)], z)
        canvas.paint(oval(sign * at[0], at[1] + 1, 12, 7.5), hu.fat, 0)
        canvas.paint(oval(sign * at[0] - 4, at[1], 3.6, 3.6), hu.artery, 0)
        canvas.paint(oval(sign * at[0] + 4, at[1] + 1, 4.4, 4.0), hu.vein, 0)
    elif z > 90:
        for dx, dy in ((2, 16), (18, 4), (-6, 24)):
            canvas.paint(oval(sign * (x + dx), y + dy, 3, 2.4), 0.5 * (hu.artery + hu.vein), 0)


def _scaled(shape: Polygon, by_mm: float) -> Polygon:
    centre = shape.mean(axis=0)
    offset = shape - centre
    return np.asarray(centre + offset * (1 + by_mm / np.maximum(np.hypot(*offset.T), 1e-6))[:, None])


def _femur(scene: Scene, sign: float, side: str) -> None:
    z, hu, canvas = scene.z_mm, scene.hu, scene.canvas
    value = VALUES[f"femur_{side}"]
    dense = hu.cortical
    if 855 < z < 905:  # head, with the joint space around it
        cut = 23.5 * max(1 - ((z - 880) / 24) ** 2, 0) ** 0.5
        if cut > 2:
            canvas.paint(oval(sign * 89, 5, cut + 1.6, cut + 1.6), 60, 0)
            canvas.bone(oval(sign * 89, 5, cut, cut), dense * 0.6, hu.trabecular * 1.45, 1.0, value, fine=35)
    parts = []
    if 832 < z < 893:  # neck and greater trochanter
        share = np.clip((893 - z) / 45, 0, 1)
        inner, outer = (100 + 8 * share, 8 + 4 * share), (104 + 22 * share**0.6, 11 + 9 * share)
        parts.append(ribbon([inner, outer], [11 * min(1, (896 - z) / 14), 12 * min(1, (896 - z) / 14)]))
    if 826 < z < 882:
        wide = 17 * max(1 - ((z - 850) / 33) ** 2, 0) ** 0.5
        if wide > 1:
            parts.append(oval(128, 22, wide * 0.8, wide * 1.1, turn=0.3))
    if parts:
        canvas.bone([part * (sign, 1.0) for part in parts], dense * 0.75, hu.trabecular * 0.7, 1.4, value, fine=40)
    if 500 < z <= 836:
        x, y = keyed(_FEMUR, z)
        radius = keyed([(500, 21), (540, 16.5), (600, 14.2), (760, 14.6), (810, 17), (836, 20)], z)[0]
        shell = keyed([(500, 1.3), (560, 3.0), (640, 5.0), (760, 5.2), (810, 3.2), (836, 1.6)], z)[0]
        shapes = [oval(sign * x, y, radius, radius * 0.97)]
        if 790 < z < 815:
            shapes.append(oval(sign * (x - 15), y + 12, 9, 9))
        canvas.bone(shapes, dense * 1.12, hu.marrow, shell * 0.8, value, fine=14)
    if 447 < z <= 500:  # condyles
        x, y = keyed(_LEG, z)[:2]
        if z > 478:
            shape = spline([(36, 6), (28, -18), (4, -24), (-22, -20), (-36, 4), (-30, 26), (0, 14), (28, 26)])
            shapes = [shape * keyed([(478, 1.0), (500, 0.66)], z)[0]]
        else:
            cut = keyed([(447, 0.45), (455, 0.85), (470, 1.0), (478, 1.02)], z)[0]
            shapes = [oval(22, 12, 15 * cut, 30 * cut, turn=-0.1), oval(-21, 10, 16 * cut, 29 * cut, turn=0.12)]
            if z > 462:
                shapes.append(oval(0, -8, 24, 14))
        shapes = [s * (sign, 1.0) + (sign * x, y - 2) for s in shapes]
        canvas.bone(shapes, dense * 0.55, hu.trabecular * 0.95, 1.0, value, fine=45)
    if 462 < z < 506:  # patella in front of them
        cut = max(1 - ((z - 484) / 22) ** 2, 0) ** 0.5
        x, y = keyed(_LEG, z)[:2]
        shape = oval(sign * x, y - 39, 21 * cut + 1, 10 * cut + 0.5)
        canvas.bone(shape, dense * 0.7, hu.trabecular * 1.1, 1.1, VALUES[f"patella_{side}"])


def _lower_leg_bones(scene: Scene, sign: float, side: str) -> None:
    z, hu, canvas = scene.z_mm, scene.hu, scene.canvas
    x, y = keyed(_LEG, z)[:2]
    if 445 < z < 452:
        canvas.paint(oval(sign * x, y, 34, 24), 80, 0)  # menisci and joint
    if 60 < z <= 446:
        size = keyed(
            [(60, 0.95), (85, 1.1), (110, 0.82), (200, 0.68), (330, 0.76), (390, 0.95), (425, 1.7), (446, 1.85)], z
        )[0]
        shell = keyed([(60, 1.0), (100, 1.3), (150, 3.6), (330, 4.6), (390, 2.4), (430, 1.0)], z)[0]
        round_ = np.clip((z - 380) / 45, 0, 1) + np.clip((130 - z) / 40, 0, 1)
        triangle = spline([(13, 12), (15, -2), (2, -22), (-9, -12), (-17, 8), (-4, 15)])
        round_shape = spline([(16, 8), (18, -2), (8, -13), (-8, -13), (-18, -2), (-15, 9)])
        shape = (triangle * (1 - min(round_, 1.0)) + round_shape * min(round_, 1.0)) * size
        marrow = hu.marrow if round_ < 0.3 else hu.trabecular * 0.75
        at = (sign * (x - 8), y - 8 + 5 * min(round_, 1))
        strength = hu.cortical * (1.1 - 0.5 * min(round_, 1.0))
        canvas.bone(shape * (sign, 1.0) + at, strength, marrow, shell * 0.8, VALUES[f"tibia_{side}"], fine=25)
    if 40 < z < 430:
        radius = keyed([(40, 8), (70, 11), (110, 7.5), (200, 6.5), (380, 7), (410, 11), (430, 8)], z)[0]
        out, back = keyed([(40, 28, 10), (110, 24, 12), (250, 28, 14), (420, 36, 14)], z)
        canvas.bone(oval(sign * (x + out), y + back, radius, radius * 1.15), hu.cortical * 0.95, hu.marrow + 60, 2.0,
                    VALUES[f"fibula_{side}"])  # fmt: skip


def arm_line(scene: Scene) -> NDArray[np.float64]:
    """Centre line of the left humerus, shape (60, 3)."""
    x, y, z = shoulder_mm(scene)
    t = np.linspace(0, 1, 60)[:, None]
    away = np.array([26.0, -12, 300]) if scene.arms_up else np.array([62 + 14 * scene.person.fat, 14, -300])
    start = np.array([x + 4, y, z - (0 if scene.arms_up else 4)])
    return np.asarray(start + t * away + np.sin(np.pi * t) * (6, 0, 0))


def paint_arms(scene: Scene) -> None:
    """Shoulders and upper arms beside the trunk or beside the head; elbow and forearm below them."""
    z, hu, canvas = scene.z_mm, scene.hu, scene.canvas
    _, _, top = shoulder_mm(scene)
    if scene.arms_up and z < 1340:
        return
    if z < (980 if not scene.arms_up else 1340) or (not scene.arms_up and z > 1475):
        return
    line = arm_line(scene)
    order = np.argsort(line[:, 2])
    at = np.array([np.interp(z, line[order, 2], line[order, i]) for i in range(2)])
    from_top = abs(z - top)
    along = from_top if (z > top) == scene.arms_up else 0.0
    radius = (
        float(keyed([(0, 37), (60, 41), (140, 36), (260, 31), (310, 32), (360, 33), (440, 28)], along)[0])
        * scene.person.muscle
    )
    if along == 0.0:
        radius *= max(0.0, 1 - (from_top / 66) ** 2) ** 0.5
    if radius < 4:
        return
    coat = 4 + 6 * scene.person.fat
    for sign, side in SIDES:
        centre = at * (sign, 1.0)
        skin = waved(oval_at(centre, radius + coat, (radius + coat) * 1.12), 0.03, scene.person.draws("arm"), z)
        canvas.paint(skin, hu.skin)
        canvas.paint(_scaled(skin, -2.0), hu.fat, fine=8)
        for number, (angle, away, wide, deep) in enumerate(
            ((-1.3, 0.45, 0.62, 0.46), (1.5, 0.42, 0.74, 0.5), (0.1, 0.6, 0.38, 0.5))
        ):
            place = centre + away * radius * np.array([sign * np.cos(angle), 1.1 * np.sin(angle)])
            shape = oval_at(place, wide * radius, deep * radius, turn=0.1 * number)
            canvas.paint(_scaled(shape, 0.8 + 0.6 * scene.person.fat), hu.fat + 15, 0, fine=8)
            canvas.paint(shape, hu.muscle, 0, fine=8)
        if along < 300:
            _humerus(scene, sign, side, line, top)
        else:
            for dx, dy, r in ((-9, 4, 7.5), (10, -3, 7.0)):
                shape = oval(centre[0] + sign * dx, centre[1] + dy, r, r * 1.1)
                canvas.bone(shape, hu.cortical, hu.marrow + 80, 2.2, VALUES[f"forearm_{side}"])


def _humerus(scene: Scene, sign: float, side: str, line: NDArray[np.float64], top: float) -> None:
    z, hu = scene.z_mm, scene.hu
    value = VALUES[f"humerus_{side}"]
    flip = np.array([sign, 1.0])
    cut = 24 * max(1 - ((z - top) / 24) ** 2, 0) ** 0.5
    if cut > 2:
        centre = (line[0, :2] - (4, 0)) * flip
        scene.canvas.bone(
            oval_at(centre, cut, cut * 0.95), hu.cortical * 0.55, hu.trabecular * 0.9, 1.0, value, fine=35
        )
        return
    shaft = cut_tube(line, 16, 11.5, z)
    shaft = [oval_at(s.mean(axis=0), 11.0, 11.0) * flip for s in shaft]
    if shaft:
        scene.canvas.bone(shaft, hu.cortical * 1.05, hu.marrow + 20, 3.2, value, fine=14)
