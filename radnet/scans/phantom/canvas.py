"""Painting contours into one axial slice with smooth edges, and the matching mask without."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.curves import Polygon

_SHIFT = 4
_COVERED = 127


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a series lie in the standard body.

    Attributes:
        size: Rows and columns.
        pixel_mm: Distance of neighbouring pixels, real millimetres.
        scale: Real millimetres a millimetre of the standard body.
        centre_mm: Position (x, y) of the picture's centre in the standard body.
        roll: How far the patient is rolled on the table, radians.
        depth: Stretch of y, for trunks that are deeper than the standard body's.
        sink_mm: How far the slice's anatomy is shifted to the front of its place in the picture.
    """

    size: int
    pixel_mm: float
    scale: float
    centre_mm: tuple[float, float]
    roll: float
    depth: float = 1.0
    sink_mm: float = 0.0

    def to_pixels(self, points: Polygon) -> NDArray[np.float64]:
        """Standard-body millimetres (N, 2) -> pixel coordinates (column, row), (N, 2)."""
        return np.asarray(points @ self._matrix + self._offset)

    @cached_property
    def _offset(self) -> NDArray[np.float64]:
        at = np.array([self.centre_mm[0], (self.centre_mm[1] + self.sink_mm) / self.depth])
        return np.asarray((self.size - 1) / 2 - at @ self._matrix)

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        turn = np.array([[cosine, sine], [-sine, cosine]]) * (self.scale / self.pixel_mm)
        return np.asarray(turn * ((1.0,), (self.depth,)))


@dataclass
class Canvas:
    """One slice in the making; later contours cover earlier ones.

    Attributes:
        grid: Geometry.
        hu: float32 (size, size), starts as air.
        mask: uint8 (size, size), starts as 0.
        fine: Noise of unit amplitude at the scale of a few mm (fat septa, marbling), float32 (size, size).
        coarse: Noise of unit amplitude at the scale of a few cm, float32 (size, size).
    """

    grid: Grid
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    hu: NDArray[np.float32] = field(init=False)
    mask: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.hu = np.full((self.grid.size, self.grid.size), -1000, np.float32)
        self.mask = np.zeros((self.grid.size, self.grid.size), np.uint8)

    def coverage(self, polygons: Sequence[Polygon]) -> tuple[tuple[slice, slice], NDArray[np.uint8]] | None:
        """How much of each pixel the union of the polygons covers, 0..255, within their bounding box.

        Returns:
            The box as (rows, columns) and the coverage, or None when nothing lies inside the picture.
        """
        points = polygons[0] if len(polygons) == 1 else np.concatenate(polygons)
        fixed = np.rint(self.grid.to_pixels(points) * (1 << _SHIFT)).astype(np.int32)
        x, y, wide, high = cv2.boundingRect(fixed)
        size = self.grid.size
        left, top = max((x >> _SHIFT) - 2, 0), max((y >> _SHIFT) - 2, 0)
        right, bottom = min(((x + wide) >> _SHIFT) + 4, size), min(((y + high) >> _SHIFT) + 4, size)
        if right - left < 1 or bottom - top < 1:
            return None
        covered = np.zeros((bottom - top, right - left), np.uint8)
        fixed -= np.array((left << _SHIFT, top << _SHIFT), np.int32)
        start = 0
        for polygon in polygons:
            cv2.fillPoly(covered, [fixed[start : start + len(polygon)]], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
            start += len(polygon)
        return (slice(top, bottom), slice(left, right)), covered

    def paint(
        self,
        polygons: Polygon | Sequence[Polygon],
        hu: float,
        label: int | None = 0,
        *,
        fine: float = 0.0,
        coarse: float = 0.0,
        within: int | None = None,
        above_y_mm: float | None = None,
    ) -> None:
        """Fill contours with one value and some texture.

        Args:
            polygons: One contour or several whose union is filled.
            hu: Value.
            label: Mask value, or None to leave the mask as it is.
            fine: Amplitude of the fine texture in HU.
            coarse: Amplitude of the coarse texture in HU.
            within: Paint only where the mask already has this value.
            above_y_mm: Paint only the part in front of this y, for gas over fluid in a patient on the back.
        """
        found = self.coverage([polygons] if isinstance(polygons, np.ndarray) else polygons)
        if found is None:
            return
        box, covered = found
        if above_y_mm is not None:
            level = self.grid.to_pixels(np.array([[self.grid.centre_mm[0], above_y_mm]]))[0, 1]
            covered[max(round(float(level)) - box[0].start, 0) :] = 0
        if within is not None:
            covered[self.mask[box] != within] = 0
        self._blend(box, covered, hu, label, fine, coarse)

    def _blend(
        self,
        box: tuple[slice, slice],
        covered: NDArray[np.uint8],
        hu: float,
        label: int | None,
        fine: float = 0.0,
        coarse: float = 0.0,
    ) -> None:
        area = self.hu[box]
        change = float(hu) - area  # a NumPy scalar would turn the slice into float64
        if fine:
            change += float(fine) * self.fine[box]
        if coarse:
            change += float(coarse) * self.coarse[box]
        change *= covered * np.float32(1 / 255)
        area += change
        if label is not None:
            np.copyto(self.mask[box], np.uint8(label), where=covered > _COVERED)

    def bone(
        self,
        polygons: Polygon | Sequence[Polygon],
        cortical_hu: float,
        marrow_hu: float,
        shell_mm: float,
        label: int,
        fine: float = 40.0,
    ) -> None:
        """Fill contours with a dense shell around spongy marrow; what is too thin for marrow stays shell."""
        found = self.coverage([polygons] if isinstance(polygons, np.ndarray) else polygons)
        if found is None:
            return
        box, covered = found
        self._blend(box, covered, cortical_hu, label)
        sigma = max(shell_mm * self.grid.scale / self.grid.pixel_mm, 0.6)
        padded = cv2.copyMakeBorder(covered, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
        soft = cv2.GaussianBlur(padded, (0, 0), sigma)[2:-2, 2:-2].astype(np.float32)
        inner = np.clip((soft - 190) * (255 / 45), 0, 255).astype(np.uint8)
        self._blend(box, inner, marrow_hu, None, fine=fine)
