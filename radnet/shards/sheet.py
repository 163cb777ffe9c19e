"""A contact sheet of a set: is this what we believe it is? One row a body region, one block a window."""

import hashlib
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.files import explained_disk_errors
from radnet.shards.codec import DamagedFrameError, decode
from radnet.shards.columns import batches, stream_rows
from radnet.shards.copying import Copier
from radnet.shards.pictures import decode_image
from radnet.shards.shard_set import ShardSet
from radnet.shards.splits import SPLITS

SHEET_WINDOWS_HU = {
    "brain": (0, 80),
    "soft_tissue": (-160, 240),
    "lung": (-1350, 150),
    "bone": (-500, 1300),
    "full": (-1024, 3071),
}
"""Name -> HU that is black and HU that is white. `radnet.views` has windows of its own, for training."""
CELL, CAPTION, HEADING, MARGIN = 176, 34, 40, 6
_OUTLINES = [(255, 92, 92), (92, 220, 120), (96, 160, 255), (250, 210, 70), (220, 120, 250), (90, 225, 225)]


@dataclass(frozen=True)
class _Cell:
    """One slice, its mask and what the index says of it."""

    pixels: NDArray[Any]
    mask: NDArray[Any] | None
    row: dict[str, Any]


def draw_sheet(
    path: Path,
    out: Path,
    *,
    columns: int = 8,
    windows: Sequence[str] = ("soft_tissue", "lung", "bone"),
    split: str | None = None,
    seed: int = 0,
    masks: bool = False,
) -> int:
    """Write the sheet as PNG.

    Slices come from different patients and series where there are enough, and from bottom to top along a row. int16
    is shown in HU windows, uint16 from its least to its greatest value, uint8 as it is; these two in the first block.

    Args:
        path: The set.
        out: The file, `.png`.
        columns: Slices of a row.
        windows: Names of `SHEET_WINDOWS_HU`, one block each.
        split: Only slices of this split.
        seed: Another seed shows other slices.
        masks: Draw the outlines of masks.

    Returns:
        Number of slices that are shown.

    Raises:
        UsageError: An unknown window or split, a file that is no PNG, or nothing to show.
        RadnetError: A sample is damaged.
    """
    for name in windows:
        if name not in SHEET_WINDOWS_HU:
            raise UsageError("No such window", seen=name, fix=did_you_mean(name, SHEET_WINDOWS_HU))
    if split is not None and split not in SPLITS:
        raise UsageError("No such split", seen=split, fix=did_you_mean(split, SPLITS))
    if out.suffix.lower() != ".png":
        raise UsageError("A sheet is a PNG file", file=out, fix=f"For example {out.with_suffix('.png')}")
    cells = _cells(ShardSet.open(path), columns, split, seed)
    if not cells:
        raise UsageError("There is nothing to show in this set", seen=split, file=path, fix="Choose another split")
    picture = _draw(cells, columns, windows, masks)
    with explained_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        picture.save(out, format="PNG")
    return sum(len(row) for row in cells.values())


def choose_slices(index: Path, columns: int, split: str | None, seed: int) -> dict[tuple[str, int], tuple[str, int]]:
    """(series, number of the stored slice in it) -> (region, column of the sheet)."""
    slices: dict[tuple[str, str, str], int] = defaultdict(int)
    for table in batches(index, ["body_region", "patient_key", "series_key", "split"]):
        for row in table.group_by(table.column_names).aggregate([([], "count_all")]).to_pylist():
            if split in (None, row["split"]):
                slices[row["body_region"], row["patient_key"], row["series_key"]] += row["count_all"]
    chosen: dict[tuple[str, int], tuple[str, int]] = {}
    for region in sorted({region for region, _, _ in slices}):
        by_patient: dict[str, list[tuple[bytes, str, int]]] = defaultdict(list)
        for (other, patient, series), count in slices.items():
            if other == region:
                by_patient[patient].append((_drawn(series, seed), series, count))
        # every patient's first series comes before anybody's second
        ranked = [(rank, *item) for items in by_patient.values() for rank, item in enumerate(sorted(items))]
        order = [(series, count) for _, _, series, count in sorted(ranked)]
        for column in range(min(columns, sum(count for _, count in order))):
            share = (column + 0.5) / columns
            chosen[_next_slice(order, column, share, chosen)] = (region, column)
    return chosen


def _next_slice(
    order: Sequence[tuple[str, int]], column: int, share: float, taken: Container[tuple[str, int]]
) -> tuple[str, int]:
    """The slice nearest to this share of the height that is not shown yet, in the next series that has one."""
    for step in range(len(order)):
        series, count = order[(column + step) % len(order)]
        for number in sorted(range(count), key=lambda number: abs(number + 0.5 - share * count)):
            if (series, number) not in taken:
                return series, number
    raise ValueError("more slices are asked for than there are")


def _drawn(series: str, seed: int) -> bytes:
    return hashlib.sha256(f"sheet\0{seed}\0{series}".encode()).digest()


def _cells(source: ShardSet, columns: int, split: str | None, seed: int) -> dict[str, dict[int, _Cell]]:
    index = source.path / source.manifest.index.file
    chosen = choose_slices(index, columns, split, seed)
    cells: dict[str, dict[int, _Cell]] = defaultdict(dict)
    passed: dict[str, int] = defaultdict(int)
    with Copier() as copier:
        for row in stream_rows(index):
            number = passed[row["series_key"]]
            passed[row["series_key"]] += 1
            place = chosen.get((row["series_key"], number))
            if place is None:
                continue
            sample = copier.sample(source, row)
            try:
                pixels = decode_image(sample.image, sample.row["image_format"])
                mask = None if sample.mask is None else decode(sample.mask)
            except DamagedFrameError as error:
                raise RadnetError(
                    f"Sample {row['key']} is damaged: {error}", file=source.path / row["shard"]
                ) from error
            cells[place[0]][place[1]] = _Cell(pixels, mask, row)
    return dict(sorted(cells.items()))


def _draw(cells: dict[str, dict[int, _Cell]], columns: int, windows: Sequence[str], masks: bool) -> Image.Image:
    has_ct = any(cell.pixels.dtype == np.int16 for row in cells.values() for cell in row.values())
    blocks = list(windows) if has_ct else [""]
    plan = [(window, [r for r in cells if number == 0 or _is_ct(cells[r])]) for number, window in enumerate(blocks)]
    height = sum(HEADING + len(regions) * (CELL + CAPTION) for _, regions in plan) + MARGIN
    picture = Image.new("RGB", (columns * (CELL + MARGIN) + MARGIN, height), (24, 24, 26))
    pen = ImageDraw.Draw(picture)
    large, small = ImageFont.load_default(size=18), ImageFont.load_default(size=12)
    top = 0
    for window, regions in plan:
        pen.text((MARGIN, top + 10), _heading(window), fill=(255, 255, 255), font=large)
        top += HEADING
        for region in regions:
            for column, cell in cells[region].items():
                left = MARGIN + column * (CELL + MARGIN)
                picture.paste(Image.fromarray(_picture_of(cell, window, masks)), (left, top))
                for line, text in enumerate(_caption(cell)):
                    pen.text((left + 1, top + CELL + 2 + 14 * line), text, fill=(205, 205, 205), font=small)
            top += CELL + CAPTION
    return picture


def _is_ct(row: dict[int, _Cell]) -> bool:
    return any(cell.pixels.dtype == np.int16 for cell in row.values())


def _heading(window: str) -> str:
    if not window:
        return "no Hounsfield units: from the least to the greatest value, pictures as they are"
    black, white = SHEET_WINDOWS_HU[window]
    return f"window {window.replace('_', ' ')}: {black} to {white} HU"


def _caption(cell: _Cell) -> tuple[str, str]:
    row = cell.row
    thickness = row["slice_thickness_mm"] or row["spacing_z_mm"]
    spacing = f"{thickness:g} mm" if thickness else "? mm"
    first = f"{row['body_region'].replace('_', ' ')}, {row['split']}"
    return first, f"{row['rows']} x {row['columns']}, {spacing}, {row['slice'] + 1}/{row['slices']}"


def grey_of(pixels: NDArray[Any], window: str) -> NDArray[np.uint8]:
    """Grey values as they are shown.

    Args:
        pixels: int16 HU, uint16 or uint8, (Y, X) or (Y, X, 3).
        window: Name of a window, for int16.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.int16:
        black, white = SHEET_WINDOWS_HU[window]
    else:
        black, white = int(pixels.min()), int(pixels.max())
    grey = (pixels.astype(np.float32) - black) / max(white - black, 1)
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _picture_of(cell: _Cell, window: str, masks: bool) -> NDArray[np.uint8]:
    """The slice in its true proportions on a black square, RGB."""
    grey = grey_of(cell.pixels, window)
    colour = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
    height, width = colour.shape[0] * (cell.row["spacing_y_mm"] or 1), colour.shape[1] * (cell.row["spacing_x_mm"] or 1)
    scale = CELL / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    shrinks = size[0] < colour.shape[1] or size[1] < colour.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(colour), size, interpolation=how)
    if masks and cell.mask is not None:
        labels = cv2.resize(cell.mask.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
        for label in np.unique(labels[labels > 0]):
            outlines, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(scaled, outlines, -1, _OUTLINES[int(label) % len(_OUTLINES)], 1)
    square = np.zeros((CELL, CELL, 3), np.uint8)
    top, left = (CELL - size[1]) // 2, (CELL - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = scaled
    return square
