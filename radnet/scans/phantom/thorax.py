"""Mediastinum: heart with its chambers, great vessels, oesophagus."""

import numpy as np

from radnet.scans.phantom.curves import Polygon, dome, keyed, oval, oval_at, ribbon, spline, turned, waved
from radnet.scans.phantom.person import Person
from radnet.scans.phantom.ribcage import cut_tube
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES
from radnet.scans.phantom.torso import cavity_size


def heart_range_mm(person: Person) -> tuple[float, float]:
    """Lower and upper end of the heart."""
    shift = person.shift("heart_height", 9)
    return 1238 + shift, 1346 + shift


def paint_mediastinum(scene: Scene) -> None:
    """Everything between the lungs, from the diaphragm to the neck."""
    z, canvas, person = scene.z_mm, scene.canvas, scene.person
    if not 1200 < z < 1478:
        return
    canvas.paint(_mediastinal_fat(scene), scene.hu.fat + 22, fine=14)
    x, y = person.spine_mm(z)
    if z < 1462:
        canvas.paint(oval(x, y + 8, 27, 24), scene.hu.muscle - 12, fine=10)
    _veins(scene)
    _pulmonary_arteries(scene)
    low, high = heart_range_mm(person)
    if low < z < high:
        _heart(scene, (z - low) / (high - low))
    paint_aorta(scene)
    _oesophagus(scene)


def _mediastinal_fat(scene: Scene) -> Polygon:
    z = scene.z_mm
    _, depth, middle, _ = cavity_size(scene.person, z)
    _, spine = scene.person.spine_mm(z)
    front = middle - depth + 1
    wide, front_wide = keyed(
        [(1200, 34, 30), (1250, 40, 34), (1300, 42, 30), (1345, 45, 17), (1370, 42, 11), (1400, 40, 17), (1425, 42, 24),
         (1450, 38, 26), (1476, 40, 24)], z
    )  # fmt: skip
    return spline(
        [(0, front), (front_wide, front + 3), (0.72 * wide, front + 26), (wide, -8), (0.85 * wide, spine - 22),
         (27, spine + 4), (0, spine + 14), (-27, spine + 4), (-0.75 * wide, spine - 22), (-wide, -8),
         (-0.72 * wide, front + 26), (-front_wide, front + 3)]
    )  # fmt: skip


def _heart(scene: Scene, up: float) -> None:
    """Chambers at the share `up` of the heart's height."""
    hu, canvas, person, z = scene.hu, scene.canvas, scene.person, scene.z_mm
    value = VALUES["heart"]
    size = (1 + person.shift("heart_size", 0.09) + 0.0015 * (person.age - 60)) * dome(2 * up - 1.02, 3.2)
    if size < 0.15:
        return
    _, depth, middle, _ = cavity_size(person, z)
    x, y = keyed([(0, 34, -30), (0.3, 28, -26), (0.6, 18, -20), (1, 6, -14)], up)
    y += middle - 4 - 0.25 * (depth - 88)
    at = np.array([x + person.shift("heart_x", 5), y])
    tilt = 0.62 + person.shift("heart_turn", 0.14)
    outer = spline(
        [(66, 4), (48, 34), (8, 43), (-36, 38), (-60, 14), (-56, -22), (-20, -42), (28, -38), (56, -20)]
    ) * (size, size)  # fmt: skip
    outer = turned(waved(outer, 0.03, person.draws("heart"), z), -0.18) + at
    coat = 1 + 0.03 + 0.05 * min(person.visceral, 1.5)
    canvas.paint(at + (outer - at) * (coat, coat), hu.fat + 10, fine=10)
    canvas.paint(outer, hu.myocardium, value, fine=4)
    axis = np.array([np.cos(tilt), np.sin(tilt)])
    across = np.array([axis[1], -axis[0]])
    if up < 0.82:  # both ventricles, divided by the septum
        k = size * (1.0 if up > 0.25 else 0.55 + 1.8 * up)
        long, short = 35 * k, 18.5 * k
        centre = at + axis * 18 * size * np.array([1, 0.6]) + np.array([8, 2]) * size
        canvas.paint(
            waved(oval_at(centre, long, short, turn=tilt - 0.12), 0.05, person.draws("lv"), z), hu.heart_left, value
        )
        centre = at + across * 23 * size + axis * 2 * size + np.array([-4, -2])
        right = spline([(-34, -9), (-5, -15), (30, -9), (40, 3), (10, 6), (-20, 9), (-37, 4)]) * k
        canvas.paint(turned(right, tilt - 0.1) + centre, hu.heart_right, value)
    if 0.12 < up < 0.85:
        k = size * dome((up - 0.48) / 0.45)
        canvas.paint(oval(at[0] - 44 * size, at[1] + 2, 17 * k, 26 * k, turn=-0.15), hu.heart_right, value)
    if up > 0.45:
        k = dome((up - 0.78) / 0.36)
        canvas.paint(oval(at[0] - 8, at[1] + 27 * size, 36 * k * size, 17 * k * size, turn=0.08), hu.heart_left, value)
    if up > 0.7:
        canvas.paint(oval(-4 + person.shift("root", 3), at[1] - 8, 18, 17), hu.myocardium, value)
        canvas.paint(oval(-4 + person.shift("root", 3), at[1] - 8, 16.5, 15.5), hu.artery, VALUES["aorta"])
    if person.age > 58 and person.has("coronary_calcium", 0.5) and 0.55 < up < 0.8:
        canvas.paint(oval(at[0] + 26 * size, at[1] - 26 * size, 3, 1.3, turn=0.6), 620, None)


def paint_aorta(scene: Scene) -> None:
    """Ascending aorta, arch with its branches, descending and abdominal aorta, iliac arteries."""
    z, canvas, person = scene.z_mm, scene.canvas, scene.person
    value, hu = VALUES["aorta"], scene.hu.artery
    wide = 1 + person.shift("aorta_width", 0.12) + 0.004 * (person.age - 60)
    arch = 1388 + person.shift("arch_height", 7)
    spine_x, spine_y = person.spine_mm(z)
    if 1326 < z < arch + 8:
        if z < arch - 6:
            x, y = keyed([(1326, -6, -22), (1350, -16, -24), (1380, -15, -22)], z)
            canvas.paint(oval(x, y, 16.5 * wide, 16.5 * wide), hu, value)
        else:
            u = (z - arch) / 12
            t = np.linspace(0, 1, 12)
            line = np.stack([-14 + 36 * t**0.8, -22 + 62 * t], axis=1)
            canvas.paint(ribbon(line, 13 * wide * max(1 - u * u, 0.1) ** 0.5), hu, value)
    if 1040 < z < arch - 4:
        off = keyed(
            [(1040, 3, -25), (1130, 7, -25), (1190, 8, -23), (1240, 20, -15), (1300, 25, -6), (1385, 23, -12)], z
        )
        radius = wide * keyed([(1040, 8.5), (1150, 10), (1300, 12), (1385, 13)], z)[0]
        x, y = spine_x + off[0], spine_y + off[1]
        if z > 1200:
            canvas.paint(oval(x, y, radius + 2, radius + 2), scene.hu.fat + 40, None)
        canvas.paint(oval(x, y, radius, radius), hu, value)
        if person.age > 55 and person.has(f"plaque_{int(z // 25)}", 0.35):
            angle = np.pi * person.draws(f"plaque_{int(z // 25)}")[0]
            at = (x + radius * np.cos(angle), y + radius * np.sin(angle))
            canvas.paint(oval_at(at, 4.5, 1.6, turn=angle + np.pi / 2), 720, None)
    if arch + 4 < z < 1480:
        rise = (z - arch) / 85
        for start, end, radius in (((-14, -20), (-34, -8), 6.5), ((6, -8), (26, -12), 4.0), ((22, 12), (44, 2), 5.0)):
            x, y = np.array(start) + (np.array(end) - start) * rise
            canvas.paint(oval(x, y, radius * wide, radius * wide), hu, None)
    if 870 < z < 1046:
        for sign, _ in SIDES:
            x, y = keyed([(870, 66, -46), (905, 62, -40), (950, 54, -8), (1000, 30, 2), (1046, 7, -6)], z)
            canvas.paint(oval(sign * x + spine_x, y, 5.2 * wide, 5.2 * wide), hu, value if z > 1030 else 0)


def _veins(scene: Scene) -> None:
    z, canvas = scene.z_mm, scene.canvas
    early = scene.phase == "arterial"
    upper = scene.hu.vein + (260 * scene.person.shift("inflow", 1) ** 2 + 60 if early else 0)
    if 1335 < z < 1412:
        canvas.paint(oval(-37, -12, 9, 10.5), upper, VALUES["superior_vena_cava"])
    if 1398 < z < 1414:
        canvas.paint(ribbon([(46, -32), (20, -38), (-8, -34), (-34, -16)], 6.5), upper, VALUES["superior_vena_cava"])
    if 1410 <= z < 1478:
        for sign, _ in SIDES:
            x, y = keyed([(1410, 36, -22), (1445, 44, -24), (1478, 38, -12)], z)
            canvas.paint(oval(sign * x, y, 7.5, 6.0), upper if sign < 0 or not early else scene.hu.vein, 0)
    if 1230 < z < 1262:
        canvas.paint(oval(-24, 12, 14, 12), scene.hu.vein, VALUES["inferior_vena_cava"])
    x, y = scene.person.spine_mm(z)
    if 1200 < z < 1385:
        canvas.paint(oval(x - 9, y - 20, 3.6, 3.2), scene.hu.vein, 0)


def _pulmonary_arteries(scene: Scene) -> None:
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu.heart_right
    value = VALUES["pulmonary_artery"]
    if 1334 < z < 1366:
        canvas.paint(oval(22, -30 + 0.4 * (z - 1340), 15, 14), hu, value)
    t = np.linspace(0, 1, 30)[:, None]
    right = np.array([20.0, -10, 1352]) + t * np.array([-68.0, 14, -8]) + np.sin(np.pi * t) * (0, 8, 0)
    left = np.array([24.0, -18, 1358]) + t * np.array([26.0, 36, 4])
    for line, radius in ((right, 10.5), (left, 11.0)):
        shapes = cut_tube(line, radius, radius, z)
        if shapes:
            canvas.paint(shapes, hu, value)
    if 1290 < z < 1352:  # hilar vessels
        for sign, _ in SIDES:
            out = keyed([(1290, 54, 28), (1320, 50, 20), (1352, 46, 10)], z)
            canvas.paint(oval(sign * out[0], out[1], 8.5, 7.0, turn=sign * 0.5), hu, value)
            canvas.paint(oval(sign * (out[0] - 6), out[1] - 16, 6.5, 5.0, turn=-sign * 0.4), scene.hu.heart_left, 0)


def _oesophagus(scene: Scene) -> None:
    z = scene.z_mm
    x, y = scene.person.spine_mm(z)
    if 1225 < z < 1478:
        ox = x + np.interp(z, (1225, 1300, 1400), (10, 2, 5))
        oy = y - np.interp(z, (1225, 1300, 1400, 1478), (30, 24, 22, 17))
        scene.canvas.paint(oval(ox, oy, 9, 5.5), scene.hu.muscle, VALUES["esophagus"])
        if scene.person.has(f"air_{int(z // 20)}", 0.4):
            scene.canvas.paint(oval(ox, oy, 3, 1.7), -650, None)
