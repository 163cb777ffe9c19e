"""Who is scanned: the traits that one synthetic patient keeps in every series."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import keyed
from radnet.scans.phantom.structures import VERTEBRAE

SPINE_BOTTOM_MM = 985.0
"""Lower end of L5 in the standard body, mm above the soles."""

_UNIT_HEIGHTS_MM = (
    36, 37, 37, 36, 35, 30, 29, 27, 26, 25, 25, 24, 23, 22, 22, 21, 21, 18, 17, 17, 17, 17, 22, 16,
)  # fmt: skip

_SPINE_Y_MM = np.array(
    [
        (865, 58), (890, 70), (920, 64), (950, 48), (985, 28), (1030, 19), (1080, 19), (1130, 26), (1180, 36),
        (1240, 50), (1300, 58), (1360, 57), (1420, 46), (1465, 33), (1500, 18), (1530, 11), (1585, 12), (1600, 12),
    ],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Traits of one patient; positions are in the standard body of 1720 mm.

    Attributes:
        seed: Seed of the archive.
        number: Number of the patient.
        female: Sex.
        height_scale: Real mm along z a standard mm.
        width_scale: Real mm in the slice plane a standard mm.
        fat: Subcutaneous fat, about 0.3 (lean) to 2 (obese), 1 is usual.
        visceral: Intra-abdominal fat and girth, about 0.5 to 1.8.
        muscle: Muscle bulk, about 0.85 to 1.15.
        age: Years.
        bone: Bone density, 1 is usual.
    """

    seed: int
    number: int
    female: bool
    height_scale: float
    width_scale: float
    fat: float
    visceral: float
    muscle: float
    age: int
    bone: float
    _draws: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The patient's id, "SYN-0007"."""
        return f"SYN-{self.number:04d}"

    def draws(self, trait: str) -> NDArray[np.float64]:
        """Twelve numbers in -1..1 that this person keeps for a named trait."""
        if trait not in self._draws:
            stream = np.random.default_rng([self.seed, self.number, zlib.crc32(trait.encode())])
            self._draws[trait] = stream.uniform(-1, 1, 12)
        return self._draws[trait]

    def shift(self, trait: str, amount: float) -> float:
        """A deviation within ±amount that this person keeps for a named trait."""
        return amount * float(self.draws(trait)[11])

    def has(self, trait: str, share: float) -> bool:
        """Whether this person belongs to the given share of people with a trait."""
        return bool((self.draws(trait)[10] + 1) / 2 < share)

    def stream(self, trait: str) -> np.random.Generator:
        """A random stream of its own for a named trait."""
        return np.random.default_rng([self.seed, self.number, zlib.crc32(trait.encode()), 1])

    def vertebra_edges_mm(self) -> NDArray[np.float64]:
        """Lower ends of L5 … C1 and the upper end of C1, 25 heights in the standard body."""
        lumbar = 1 + self.shift("lumbar_length", 0.05)
        heights = np.array(_UNIT_HEIGHTS_MM, dtype=np.float64)
        heights[:5] *= lumbar
        heights *= 600 / heights.sum()
        return np.concatenate([[SPINE_BOTTOM_MM], SPINE_BOTTOM_MM + np.cumsum(heights)])

    def vertebra_at(self, z_mm: float) -> tuple[str, float] | None:
        """Level of the vertebra at a height and how far up it (0..1, disc on top), None off the spine."""
        edges = self.vertebra_edges_mm()
        if not edges[0] <= z_mm < edges[-1]:
            return None
        index = int(np.searchsorted(edges, z_mm, side="right")) - 1
        return VERTEBRAE[index], float((z_mm - edges[index]) / (edges[index + 1] - edges[index]))

    def spine_mm(self, z_mm: float) -> tuple[float, float]:
        """Centre (x, y) of the vertebral bodies at a height, with this person's curvature."""
        y = float(keyed(_SPINE_Y_MM, z_mm)[0])
        middle = 38 + (y - 38) * (1 + self.shift("kyphosis", 0.22)) if 900 < z_mm < 1500 else y
        blend = float(np.clip((1500 - z_mm) / 60, 0, 1) * np.clip((z_mm - 900) / 60, 0, 1))
        bend = self.shift("scoliosis", 5) * np.sin((z_mm - 985) / 480 * np.pi * 1.6) * blend
        return float(bend), y + (middle - y) * blend


def person_of(seed: int, number: int) -> Person:
    """Draw the patient `number` of an archive; the same arguments always give the same person."""
    stream = np.random.default_rng([seed, number])
    female = bool(stream.random() < 0.5)
    height_mm = stream.normal(1655 if female else 1775, 62)
    fat = float(np.clip(stream.lognormal(0.1 if female else -0.15, 0.45), 0.3, 2.3))
    visceral = float(np.clip(stream.lognormal(-0.2 if female else 0.1, 0.35) * (0.6 + 0.4 * fat), 0.45, 1.9))
    age = int(np.clip(stream.normal(61, 15), 21, 92))
    width = (height_mm / 1720) ** 0.6 * (0.955 if female else 1.02) * stream.normal(1, 0.035)
    return Person(
        seed=seed,
        number=number,
        female=female,
        height_scale=float(np.clip(height_mm, 1480, 1980) / 1720),
        width_scale=float(np.clip(width, 0.82, 1.16)),
        fat=fat,
        visceral=visceral,
        muscle=float(np.clip(stream.normal(0.96 if female else 1.03, 0.05), 0.85, 1.15)),
        age=age,
        bone=float(np.clip(1.25 - 0.0045 * age + stream.normal(0, 0.1), 0.65, 1.3)),
    )
