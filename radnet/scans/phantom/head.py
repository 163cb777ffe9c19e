"""Head and neck: skull with its bases and sinuses, brain, orbits, jaws, airway, muscles and vessels of the neck."""

import numpy as np

from radnet.scans.phantom.brain import paint_brain
from radnet.scans.phantom.curves import Polygon, dome, keyed, oval, ribbon, spline, waved
from radnet.scans.phantom.lungs import trachea_mm
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES

# z: half width, front y and back y of the head's skin
_SKIN = np.array(
    [
        (1484, 50, -46, 58), (1496, 55, -60, 64), (1505, 60, -92, 67), (1516, 64, -101, 70), (1540, 69, -103, 76),
        (1565, 73, -103, 88), (1590, 77, -103, 97), (1620, 79, -101, 100), (1650, 78, -94, 98), (1680, 71, -80, 88),
        (1700, 58, -62, 72), (1714, 36, -38, 50), (1722, 6, -2, 14),
    ],
    dtype=np.float64,
)  # fmt: skip


def head_size(scene: Scene, inset_mm: float = 0.0) -> tuple[float, float, float, float]:
    """Middle (x, y) and radii of the head's contour."""
    half, front, back = keyed(_SKIN, scene.z_mm)
    long = 1 + scene.person.shift("head_length", 0.04)
    return 0.0, (front + back) / 2, half - inset_mm, (back - front) / 2 * long - inset_mm


def _contour(scene: Scene, inset_mm: float, power: float = 2.25) -> Polygon:
    x, y, a, b = head_size(scene, inset_mm)
    shape = oval(x, y, max(a, 2), max(b, 2), power=power, count=64)
    back = (shape[:, 1] - y) / max(b, 1)
    shape[:, 0] *= 1 + 0.06 * back  # heads are wider behind
    if scene.z_mm < 1600:  # faces are narrower in front
        shape[:, 0] *= 1 - 0.22 * np.clip(-back, 0, 1) ** 2
    return shape


def paint_head_skin(scene: Scene) -> None:
    """Skin, fat and the bulk of soft tissue of head and neck."""
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    if not 1478 < z < 1722:
        return
    canvas.paint(_contour(scene, 0), hu.skin + 5)
    if z < 1640:
        nose = dome((z - 1582) / 26)
        if nose > 0.1:
            _, y, _, b = head_size(scene)
            tip = y - b
            nose_shape = spline(
                [(-14, tip + 8), (-7, tip - 12 * nose), (0, tip - 18 * nose), (7, tip - 12 * nose), (14, tip + 8)]
            )
            canvas.paint(nose_shape, hu.skin + 10)
        if 1565 < z < 1615:
            for sign, _ in SIDES:
                canvas.paint(ribbon([(sign * 76, 18), (sign * 84, 26)], 2.6), hu.skin)
    canvas.paint(_contour(scene, 2.0), hu.fat, fine=10)


def paint_head(scene: Scene) -> None:
    """Everything under the skin of head and neck."""
    z = scene.z_mm
    if not 1440 < z < 1722:
        return
    if z < 1592:
        _neck(scene)
    if z < 1600:
        _pharynx(scene)
    if 1506 < z < 1570:
        _jaws(scene)
    if 1552 < z < 1640:
        _face(scene)
    if z > 1583:
        _skull(scene)


def _neck(scene: Scene) -> None:
    """Muscles behind and beside the spine, great vessels, glands."""
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    x, y = scene.person.spine_mm(z)
    bulk = scene.person.muscle * float(keyed([(1440, 0.7), (1475, 1.0), (1560, 1.0), (1592, 0.85)], z)[0])
    if z > 1478:
        for sign, _ in SIDES:
            for dx, dy, a, b, turn in (
                (13, 27, 11, 9, 0.3),
                (14, 42, 13, 7, 0.2),
                (32, 30, 12, 9, -0.5),
                (38, 8, 9, 11, 0.3),
            ):
                shape = waved(
                    oval(x + sign * dx * bulk, y + dy, a * bulk, b, turn=sign * turn),
                    0.06,
                    scene.person.draws("nape"),
                    z,
                )
                canvas.paint(shape, hu.muscle, 0, fine=8)
            wide = 46 - 0.12 * (z - 1480)
            t = np.linspace(0.12, 0.9, 9)
            trap = np.stack([sign * wide * np.sin(t * np.pi / 2), y + 50 - 30 * t**2], axis=1)
            canvas.paint(ribbon(trap, 3.6 * bulk), hu.muscle, 0)
            scm = keyed([(1478, 30, -30), (1520, 44, -12), (1560, 55, 14), (1592, 62, 26)], z)
            canvas.paint(oval(sign * scm[0], scm[1], 15 * bulk, 6.5, turn=sign * 1.0), hu.muscle + 3, 0)
            canvas.paint(oval(x + sign * 9, y - 12, 8, 4), hu.muscle, 0)
        for sign, side in SIDES:
            at = keyed([(1478, 24, -14), (1520, 27, -12), (1560, 30, -4), (1592, 28, 0)], z)
            canvas.paint(oval(sign * at[0], at[1], 4.0, 4.0), hu.artery, VALUES[f"carotid_{side}"])
            canvas.paint(
                oval(sign * (at[0] + 10), at[1] + 5, 6.5 + 1.5 * sign * scene.person.shift("jugular", 1), 5), hu.vein, 0
            )
    if 1468 < z < 1512:  # thyroid beside the windpipe
        tx, ty = trachea_mm(z)
        size = dome((z - 1490) / 23)
        for sign, _ in SIDES:
            canvas.paint(
                oval(tx + sign * 17, ty + 4, 8.5 * size, 12 * size, turn=-sign * 0.25), hu.thyroid, VALUES["thyroid"]
            )
        if 1478 < z < 1492:
            canvas.paint(
                ribbon([(tx - 14, ty - 8), (tx, ty - 13), (tx + 14, ty - 8)], 3.0), hu.thyroid, VALUES["thyroid"]
            )


def _pharynx(scene: Scene) -> None:
    """Larynx, throat, tongue, salivary glands."""
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    _, y = scene.person.spine_mm(z)
    if 1500 < z < 1530:  # thyroid cartilage around the larynx
        line = [(-19, -12), (-14, -26), (0, -40), (14, -26), (19, -12)]
        canvas.paint(oval(0, -22, 17, 16), hu.muscle, 0)
        canvas.bone(ribbon(line, 2.4), 230 + 2 * scene.person.age, 140, 0.8, 0)
        canvas.paint(oval(0, -22, 5 + 0.15 * abs(z - 1514), 11), -985, VALUES["trachea"])
    if 1528 < z < 1538:
        canvas.bone(
            ribbon([(-20, -22), (-13, -40), (0, -46), (13, -40), (20, -22)], 3.0),
            hu.cortical * 0.6,
            hu.trabecular,
            1.0,
            0,
        )
    if 1526 < z < 1592:
        canvas.paint(oval(0, y - 20, 24, 9), hu.muscle, 0, fine=6)
        canvas.paint(oval(0, y - 25, 13, 5.5 + scene.person.shift("throat", 1.5)), -980, VALUES["trachea"])
    if 1525 < z < 1562:
        canvas.paint(oval(0, -58, 24, 27), hu.muscle - 2, 0, fine=16)
        for sign, _ in SIDES:
            canvas.paint(oval(sign * 44, -8 + 0.3 * (z - 1540), 10, 14), 18, 0, fine=14)
    if 1545 < z < 1592:
        for sign, _ in SIDES:
            canvas.paint(oval(sign * 60, 0, 10, 17), -5, 0, fine=18)  # parotids
            canvas.paint(oval(sign * 55, -38, 7, 20, turn=-sign * 0.2), hu.muscle + 4, 0)  # masseters
            canvas.paint(oval(sign * 34, -26, 8, 14), hu.muscle + 2, 0)  # pterygoids


def _jaws(scene: Scene) -> None:
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    value = VALUES["mandible"]
    t = np.linspace(-1, 1, 21)
    arch = np.stack([46 * np.abs(t) ** 0.8 * np.sign(t), -90 + 68 * np.abs(t) ** 1.8], axis=1)
    if z < 1532:
        keep = np.abs(t) < np.interp(z, (1506, 1520), (0.3, 1.0))
        canvas.bone(ribbon(arch[keep], 6.0), hu.cortical * 1.15, hu.trabecular * 1.3, 1.8, value)
    else:
        for sign, _ in SIDES:  # the ascending rami
            canvas.bone(ribbon([(sign * 46, -36), (sign * 50, -8)], 4.0), hu.cortical, hu.trabecular * 1.4, 1.4, value)
    if 1528 < z < 1556:  # teeth
        teeth = []
        for u in np.linspace(-0.82, 0.82, 14):
            place = (44 * abs(u) ** 0.8 * np.sign(u), -91 + 64 * abs(u) ** 1.8)
            missing = scene.person.has(f"tooth_{u:.2f}", 0.006 * max(scene.person.age - 30, 0))
            if not missing:
                teeth.append(oval(*place, 4.3, 4.3, count=12))
        if teeth:
            canvas.paint(teeth, 1900 if 1536 < z < 1549 else 1350, value)
    if 1549 <= z < 1562:
        canvas.bone(
            ribbon(arch[np.abs(t) < 0.85] * 0.94, 5.0), hu.cortical * 0.9, hu.trabecular * 1.4, 1.4, VALUES["skull"]
        )
        if z > 1557:  # the hard palate
            canvas.paint(oval(0, -64, 20, 19), 105, VALUES["skull"], fine=60)


def _face(scene: Scene) -> None:
    """Sinuses, nasal cavity, cheek bones, orbits."""
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    value = VALUES["skull"]
    thin = hu.cortical * 0.75
    _, y, _, b = head_size(scene)
    front = y - b
    if 1556 < z < 1602:
        for sign, _ in SIDES:
            size = dome((z - 1579) / 23) * (1 + scene.person.shift("sinus", 0.12))
            shape = spline([(10, -28), (22, -32), (30, -14), (24, 12), (8, 8), (2, -10)]) * size
            shape = shape * (sign, 1.0) + (sign * 17, front + 44)
            canvas.bone(_grown(shape, 1.8), thin, thin, 0.8, value)
            filled = scene.person.has(f"sinusitis_{sign}", 0.1)
            canvas.paint(shape, 20 if filled else -985, 0)
        canvas.paint(
            spline([(-15, front + 26), (0, front + 14), (15, front + 26), (13, front + 66), (-13, front + 66)]), -960, 0
        )
        canvas.bone(ribbon([(0, front + 16), (1, front + 68)], 1.2), 320, 320, 0.8, value)
        for sign, _ in SIDES:
            canvas.paint(oval(sign * 8.5, front + 42, 3.6, 15), hu.muscle, 0)
    if 1579 < z < 1612:  # cheek bones and their arches
        for sign, _ in SIDES:
            line = [(sign * 40, front + 16), (sign * 56, front + 26), (sign * 65, front + 50), (sign * 67, front + 78)]
            wide = 4.5 if z > 1580 else 3.0
            upto = 4 if 1582 < z < 1593 else 2
            canvas.bone(ribbon(line[:upto], wide), hu.cortical, hu.trabecular * 1.5, 1.3, value)
    if 1594 < z < 1634:  # orbits with the eyes
        size = dome((z - 1614) / 20)
        for sign, side in SIDES:
            cone = spline([(-16, -20), (16, -17), (19, 0), (4, 30), (-8, 32), (-15, 5)]) * size
            cone = cone * (sign, 1.0) + (sign * 32, front + 34)
            canvas.bone(_grown(cone, 2.2), thin, thin, 0.8, value)
            canvas.paint(cone, hu.fat + 15, 0)
            eye = 12.0 * dome((z - 1614) / 13)
            if eye > 2:
                canvas.paint(oval(sign * 32, front + 20, eye + 0.8, eye + 0.8), 50, VALUES[f"eye_{side}"])
                canvas.paint(oval(sign * 32, front + 20, eye - 0.4, eye - 0.4), 9, VALUES[f"eye_{side}"])
                canvas.paint(oval(sign * 32, front + 11, 4.8, 2.1), 85, VALUES[f"eye_{side}"])
            if abs(z - 1614) < 9:
                canvas.paint(ribbon([(sign * 31, front + 33), (sign * 24, front + 62)], 2.0), 38, 0)
                for inner in (-13, 12):
                    canvas.paint(ribbon([(sign * (32 + inner), front + 26), (sign * 25, front + 58)], 1.5), 48, 0)
        _ethmoid(scene, front, thin)
    if 1590 < z < 1618:  # sphenoid sinus
        canvas.bone(oval(0, -12, 18, 13), thin, thin, 1.0, value)
        for sign, _ in SIDES:
            canvas.paint(oval(sign * 7.5, -13, 6.8, 10), -980, 0)


def _ethmoid(scene: Scene, front: float, thin: float) -> None:
    """Air cells of unequal size between the orbits."""
    block = spline([(-11, front + 14), (11, front + 14), (14, front + 38), (12, front + 64), (-12, front + 64),
                    (-14, front + 38)])  # fmt: skip
    scene.canvas.bone(block, thin * 0.55, thin * 0.4, 0.8, VALUES["skull"])
    for number in range(10):
        draw = scene.person.draws(f"ethmoid_{number}_{int(scene.z_mm // 6)}")
        sign, row = (1.0 if number % 2 else -1.0), front + 18 + 10 * (number // 2)
        at = (sign * (5.8 + 0.8 * draw[0]), row + 1.5 * draw[1])
        shape = oval(*at, 5.2 + 0.9 * draw[2], 4.7 + 0.8 * draw[3], power=2.8, turn=0.4 * draw[4])
        scene.canvas.paint(shape, -940 if draw[5] > -0.8 else 15, 0)


def _grown(shape: Polygon, by_mm: float) -> Polygon:
    centre = shape.mean(axis=0)
    offset = shape - centre
    return np.asarray(centre + offset * (1 + by_mm / np.maximum(np.hypot(*offset.T), 1e-6))[:, None])


def _skull(scene: Scene) -> None:
    """Vault or base, with the brain inside."""
    z, canvas, hu, person = scene.z_mm, scene.canvas, scene.hu, scene.person
    value = VALUES["skull"]
    thick = 6.0 + 0.02 * person.age + person.shift("vault", 1.0)
    outer = _contour(scene, 6.5)
    inner = _contour(scene, 6.5 + thick * (1 if z < 1690 else 1.4))
    face = z < 1630
    if face:  # the brain case ends behind the orbits
        edge = np.interp(z, (1585, 1600, 1618, 1632), (-14, -24, -38, -75))
        back, half = inner[:, 1].max(), inner[:, 0].max()
        middle, deep = (back + edge) / 2, (back - edge) / 2
        lobes = oval(0, middle, half, deep, power=2.5, count=64)
        lobes[:, 1] += np.where(lobes[:, 1] < middle, 10 * np.exp(-((lobes[:, 0] / 16) ** 2)), 0)  # the sella
        wall = np.where(lobes[:, 1] < middle - 0.5 * deep, 3.0, thick)[:, None]
        outward = (lobes - (0, middle)) / np.hypot(lobes[:, 0], lobes[:, 1] - middle)[:, None]
        inner, outer = lobes, lobes + outward * wall
    canvas.bone(outer, hu.cortical * 1.05, hu.cortical * 0.55, 1.6, value, fine=60)
    if inner[:, 0].max() < 4:
        return
    brain = VALUES["brain"]
    canvas.paint(inner, 14, 0)
    shrink = 0.985 - 0.0006 * max(person.age - 40, 0)
    centre = inner.mean(axis=0)
    tissue = waved(centre + (inner - centre) * shrink, 0.012, person.draws("gyri"), z * 3)
    canvas.paint(tissue, hu.brain + 2, brain, fine=2.5, coarse=1.5)
    if face:
        _base(scene, value)
    paint_brain(scene, tissue)


def _base(scene: Scene, value: int) -> None:
    """Petrous bones with mastoid cells, and the ring of the foramen magnum."""
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    if z < 1614:
        for sign, _ in SIDES:
            line = [(sign * 62, 34), (sign * 42, 18), (sign * 16, 0)]
            wide = [15, 10, 6] if z < 1606 else [9, 6, 3]
            canvas.bone(ribbon(line, wide), hu.cortical * 1.15, hu.cortical * 0.7, 1.5, value, fine=160)
            cells = [person_cells(scene, number) for number in range(9)]
            canvas.paint([oval(sign * (62 + dx), 33 + dy, r, r, count=8) for dx, dy, r in cells], -780, None)
            if 1594 < z < 1604:
                canvas.paint(ribbon([(sign * 74, 14), (sign * 50, 12)], 3.2), -950, 0)  # ear canal
    if z < 1598:
        canvas.bone(oval(0, 8, 17, 9), hu.cortical * 0.7, hu.trabecular * 1.6, 1.4, value)


def person_cells(scene: Scene, number: int) -> tuple[float, float, float]:
    """Offset and radius of one mastoid air cell."""
    draw = scene.person.draws(f"mastoid_{number}_{int(scene.z_mm // 7)}")
    return 10 * draw[0], 12 * draw[1], 1.9 + 1.0 * draw[2]
