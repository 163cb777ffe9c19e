"""What the scanner does to the picture: couch, blur, noise with the kernel's texture, streaks, padding.

Noise grows with what the rays have to cross: its standard deviation goes with exp(mu d / 2) (photon statistics),
more in rows where much is crossed from side to side, which gives the streaks between shoulders or hips.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.scans.phantom.canvas import Canvas, Grid
from radnet.scans.phantom.curves import oval, ribbon
from radnet.scans.phantom.plan import Plan

METAL_HU = 6000.0
PADDING_HU = -1024
_METAL_FROM_HU = 3300.0


def _blurred(image: NDArray[np.float32], sigma: float, sigma_down: float = 0.0) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, sigmaY=sigma_down), dtype=np.float32)


def _resized(image: NDArray[np.float32], size: int, how: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), dtype=np.float32)


def texture(stream: np.random.Generator, size: int, sigma_px: float) -> NDArray[np.float32]:
    """Smooth noise of zero mean and unit deviation, float32 (size, size)."""
    small = max(int(size / max(sigma_px / 1.5, 1.0)), 8)
    field = stream.standard_normal((small, small), dtype=np.float32)
    field = _blurred(field, 1.5)
    field = _resized(field, size, cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), dtype=np.float32)


def paint_couch(canvas: Canvas, plan: Plan, shape_draw: NDArray[np.float64], down_mm: float) -> None:
    """A curved carbon-fibre couch filled with foam, or a flat one, and the mattress on it."""
    head = plan.part in ("head", "head_neck")
    half = 95.0 if head else 205 + 20 * shape_draw[0]
    sag = 60.0 if head else 26 + 16 * shape_draw[1]
    x = np.linspace(-half, half, 41)
    top = plan.table_y_mm + down_mm
    y = top + 3 - sag * (x / half) ** 2
    deep = 16 if head else 34 + 14 * shape_draw[2]
    under = top + deep + 3 - (sag + 0.55 * deep) * (x / half) ** 4
    body = np.concatenate([np.stack([x, y], axis=1), np.stack([x, np.maximum(under, y)], axis=1)[::-1]])
    canvas.paint(body, -935 + 25 * shape_draw[3])
    shell = 10 + 110 * shape_draw[4]
    canvas.paint(ribbon(np.stack([x, y], axis=1), 1.1), shell)
    canvas.paint(ribbon(np.stack([x, np.maximum(under, y)], axis=1), 1.1), shell)
    if shape_draw[5] > 0 and not head:
        for sign in (-1, 1):
            canvas.paint(oval(sign * (half - 3), float(y[0]) + 3, 4, 4), 60)


@dataclass(frozen=True)
class Scanner:
    """Fixed blur and noise settings of a series.

    Attributes:
        blur_px: Standard deviation of the point spread in pixels.
        grain_px: Standard deviation of the noise's correlation in pixels.
        noise_hu: Noise at 25 cm of water.
        edge: Share of edge enhancement of the kernel.
    """

    blur_px: float
    grain_px: float
    noise_hu: float
    edge: float


def scanner_of(plan: Plan, stream: np.random.Generator) -> Scanner:
    """Derive the scanner's behaviour from the plan."""
    voltage = (120 / plan.kvp) ** 0.6
    if plan.sharp:
        return Scanner(
            blur_px=max(0.30, 0.40 / plan.pixel_mm),
            grain_px=max(0.32, 0.35 / plan.pixel_mm),
            noise_hu=plan.noise_hu * 2.3 * voltage,
            edge=float(stream.uniform(0.35, 0.8)),
        )
    return Scanner(
        blur_px=max(0.45, float(stream.uniform(0.6, 0.85)) / plan.pixel_mm),
        grain_px=max(0.5, float(stream.uniform(0.7, 1.1)) / plan.pixel_mm),
        noise_hu=plan.noise_hu * voltage,
        edge=0.0,
    )


def scanned(
    hu: NDArray[np.float32], grid: Grid, plan: Plan, scanner: Scanner, stream: np.random.Generator
) -> NDArray[np.int16]:
    """Turn an ideal slice into what a scanner would reconstruct.

    Args:
        hu: float32 (Y, X), ideal values.
        grid: Geometry.
        plan: Acquisition.
        scanner: Settings of the series.
        stream: Random stream of the slice.

    Returns:
        int16 (Y, X), within -1024..3071 HU.
    """
    image = _blurred(hu, scanner.blur_px)
    if scanner.edge:
        image += scanner.edge * (image - _blurred(image, 1.4 * scanner.blur_px + 0.5))
    if float(hu.max()) > _METAL_FROM_HU:
        image += _metal_streaks(hu, grid, stream)
    image += _noise(hu, plan, scanner, stream)
    np.clip(image, PADDING_HU, 3071, out=image)
    return np.rint(image).astype(np.int16)


def outside_field(size: int) -> NDArray[np.bool_]:
    """Pixels (size, size) outside the round field of view."""
    rows, columns = np.ogrid[:size, :size]
    middle = (size - 1) / 2
    return np.asarray((rows - middle) ** 2 + (columns - middle) ** 2 > (size / 2) ** 2)


def _noise(hu: NDArray[np.float32], plan: Plan, scanner: Scanner, stream: np.random.Generator) -> NDArray[np.float32]:
    size = hu.shape[0]
    small = _resized(hu, 64, cv2.INTER_AREA)
    water_cm = np.clip((small + 1000) / 1000, 0, 3.0) * (plan.pixel_mm * size / 64 / 10)
    across, down = water_cm.sum(axis=1), water_cm.sum(axis=0)
    # Rays through a pixel run in all directions: take the mean of the deviations along the row and the column.
    from_rows = np.exp(0.075 * (across - 25))[:, None]
    from_columns = np.exp(0.075 * (down - 25))[None, :]
    spread = np.clip(np.sqrt(0.5 * (from_rows**2 + from_columns**2)), 0.12, 4.5).astype(np.float32)
    spread = _resized(_blurred(spread, 4), size, cv2.INTER_LINEAR)
    white = stream.standard_normal((size, size), dtype=np.float32)
    grain = _blurred(white, scanner.grain_px)
    wide = 2 * round(2.6 * scanner.grain_px + 1) + 1
    grain -= np.asarray(
        cv2.blur(grain, (wide, wide)), dtype=np.float32
    )  # filtered back-projection lacks low frequencies
    grain *= scanner.noise_hu / (float(grain.std()) + 1e-6)
    noise = grain * spread
    heavy = np.clip(np.exp(0.085 * (across - 36)) - 0.5, 0, 5).astype(np.float32)
    if heavy.max() > 0.05:  # photon starvation: streaks along the rows
        lines = stream.standard_normal((size, 12), dtype=np.float32)
        lines = _blurred(lines, 0.1, 0.55)
        lines = _resized(lines, size, cv2.INTER_LINEAR)
        lines *= 1.0 / (float(lines.std()) + 1e-6)
        rows = cv2.resize(heavy[:, None], (1, size), interpolation=cv2.INTER_LINEAR)
        noise += lines * rows.reshape(size, 1) * scanner.noise_hu * 0.55
    return np.asarray(noise, dtype=np.float32)


def _metal_streaks(hu: NDArray[np.float32], grid: Grid, stream: np.random.Generator) -> NDArray[np.float32]:
    """Bright and dark rays around each piece of metal, fading with distance."""
    size = grid.size
    total = np.zeros((size, size), np.float32)
    metal = (hu > _METAL_FROM_HU).astype(np.uint8)
    count, _, stats, centres = cv2.connectedComponentsWithStats(metal)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    for index in range(1, min(count, 5)):
        x, y = centres[index]
        area_mm2 = float(stats[index, cv2.CC_STAT_AREA]) * grid.pixel_mm**2
        angle = (np.arctan2(rows - y, columns - x) * (256 / (2 * np.pi)) + 256) % 256
        rays = stream.standard_normal(128).astype(np.float32)
        rays = np.convolve(np.tile(rays, 3), (0.25, 0.5, 0.25), "same")[128:256].astype(np.float32)
        rays = np.tile(rays, 2)  # a ray goes on at the other side
        away = np.hypot(rows - y, columns - x) * grid.pixel_mm
        reach = 12 + 1.1 * area_mm2**0.5
        total += (rays[angle.astype(np.int32) % 256] * 380 * min(area_mm2 / 120, 1.6) * np.exp(-away / reach)).astype(
            np.float32
        )
    return _blurred(total, 0.7)
