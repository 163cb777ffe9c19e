"""The brain on CT: white and grey matter, ventricles, cisterns, falx, cerebellum."""

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon, dome, keyed, oval, ribbon, spline, waved
from radnet.scans.phantom.scene import SIDES, Scene
from radnet.scans.phantom.structures import VALUES


def paint_brain(scene: Scene, tissue: Polygon) -> None:
    """Paint what is inside the contour of the brain."""
    z, canvas, hu, person = scene.z_mm, scene.canvas, scene.hu, scene.person
    value = VALUES["brain"]
    centre = tissue.mean(axis=0)
    wide, long = np.ptp(tissue[:, 0]) / 2, np.ptp(tissue[:, 1]) / 2
    white = hu.brain - 6
    atrophy = 1 + 0.012 * max(person.age - 45, 0) + person.shift("ventricles", 0.25)
    if z < 1628:
        _below_the_tentorium(scene, centre, wide, long)
        return
    _sulci(scene, tissue, atrophy)
    for sign, _ in SIDES:
        shape = spline([(0.10, -0.66), (0.45, -0.6), (0.66, -0.1), (0.62, 0.4), (0.3, 0.72), (0.12, 0.5), (0.14, -0.2)])
        shape = waved(shape * (sign * wide, long) + centre, 0.09, person.draws("white"), z * 2)
        canvas.paint(shape, white, value, fine=1.5, within=value)
    if z < 1672:
        for sign, _ in SIDES:  # thalamus, lentiform nucleus, caudate
            canvas.paint(oval(sign * 11, centre[1] + 8, 8.5, 14, turn=-sign * 0.3), hu.brain + 3, value)
            canvas.paint(oval(sign * 25, centre[1] - 6, 6.5, 15, turn=sign * 0.25), hu.brain + 3, value)
    if 1636 < z < 1688:
        for sign, _ in SIDES:
            size = dome((z - 1664) / 26) * atrophy
            horn = [(sign * 5, centre[1] - 30), (sign * 9, centre[1] - 16), (sign * 8, centre[1])]
            canvas.paint(ribbon(horn, np.array([2.0, 4.0, 2.5]) * size), 8, value)
            if z > 1662:
                body = [(sign * 9, centre[1] - 20), (sign * 13, centre[1] + 12), (sign * 20, centre[1] + 34)]
                canvas.paint(ribbon(body, np.array([3.0, 3.6, 3.2]) * size), 8, value)
            else:
                rear = [(sign * 15, centre[1] + 22), (sign * 21, centre[1] + 36), (sign * 18, centre[1] + 48)]
                canvas.paint(ribbon(rear, np.array([2.4, 4.4, 2.0]) * size), 8, value)
                if 1648 < z < 1660:
                    canvas.paint(oval(sign * 18, centre[1] + 30, 2.4, 3.4), 120, value)  # choroid calcification
        if z < 1658:
            canvas.paint(ribbon([(0, centre[1] - 4), (0, centre[1] + 16)], 1.6 * atrophy), 9, value)
            canvas.paint(oval(0, centre[1] + 25, 2.2, 2.4), 160, value)  # pineal
    canvas.paint(ribbon([(0, tissue[:, 1].min() + 1), (0.6, centre[1] - 0.42 * long)], 0.9), 58, None)
    canvas.paint(ribbon([(0, centre[1] + 0.5 * long), (0.4, tissue[:, 1].max())], 1.0), 58, None)
    canvas.paint(oval(0, tissue[:, 1].max() - 1, 4.5, 4), scene.hu.vein + 10, None)


def _sulci(scene: Scene, tissue: Polygon, atrophy: float) -> None:
    """Short clefts of fluid that enter the brain from its surface, and the Sylvian fissures."""
    z, canvas = scene.z_mm, scene.canvas
    centre = tissue.mean(axis=0)
    value = VALUES["brain"]
    draws = scene.person.stream(f"sulci_{int(z // 5)}").uniform(-1, 1, (26, 2))
    clefts = []
    for number, (turn, deep) in enumerate(draws):
        start = tissue[int((number + 0.4 * turn) / 26 * len(tissue)) % len(tissue)]
        end = start + (centre - start) * (0.14 + 0.08 * deep)
        side = np.array([-(centre - start)[1], (centre - start)[0]]) * 0.05 * turn
        clefts.append(ribbon([start, (start + end) / 2 + side, end], np.array([1.5, 0.9, 0.5]) * atrophy))
    canvas.paint(clefts, 16, value)
    if z < 1662:
        wide = np.ptp(tissue[:, 0]) / 2
        for sign, _ in SIDES:
            line = [
                (sign * wide, centre[1] - 14),
                (sign * wide * 0.78, centre[1] - 10),
                (sign * wide * 0.6, centre[1] - 2),
            ]
            canvas.paint(ribbon(line, np.array([2.6, 1.8, 1.2]) * atrophy), 12, value)


def _below_the_tentorium(scene: Scene, centre: NDArray[np.float64], wide: float, long: float) -> None:
    """Cerebellum, brain stem and cisterns between the petrous bones; temporal lobes in front of them."""
    z, canvas, hu = scene.z_mm, scene.canvas, scene.hu
    value = VALUES["brain"]
    stem = keyed([(1583, 0, 20, 8, 7), (1600, 0, 12, 13, 11), (1615, 0, 6, 15, 12), (1628, 0, 4, 14, 11)], z)
    if z > 1606:
        star = [(0, -22), (7, -8), (20, -2), (12, 8), (16, 22), (0, 18), (-16, 22), (-12, 8), (-20, -2), (-7, -8)]
        canvas.paint(np.array(star, dtype=np.float64) * 1.05 + (0, stem[1] - 6), 8, value)
    else:
        canvas.paint(oval(0, stem[1], stem[2] + 5, stem[3] + 4), 8, value)
    canvas.paint(oval(*stem), hu.brain - 1, value)
    for sign, _ in SIDES:
        back = oval(sign * 0.36 * wide, centre[1] + 0.48 * long, 0.42 * wide, 0.42 * long)
        canvas.paint(back, hu.brain + 3, value, fine=3, within=value)
    canvas.paint(oval(0, stem[1] + 19, 5.0, 3.5), 8, value)  # fourth ventricle
    canvas.paint(ribbon([(0, centre[1] + 0.45 * long), (0, centre[1] + 0.85 * long)], 1.0), 20, value)
