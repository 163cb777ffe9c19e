"""A picture of slices beside their views: what a network will see, before days of training go into it.

One row a slice: the slice as a radiologist sees it, then
the views in their order, each with the window it was seen through.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from radnet.views.pixels import Image, Levels, own_levels
from radnet.views.recipe import View, ViewRecipe
from radnet.views.window import WindowPolicy, apply_levels

CELL_PX = 224
"""Side of a slice; views are drawn pixel by pixel, up to this."""

_MARGIN_PX, _CAPTION_PX, _TITLE_PX, _FONT_PX = 10, 34, 30, 12
_PAPER, _INK, _FAINT = (24, 24, 28), (235, 235, 235), (160, 160, 168)
_LOOKS = {"head_neck": (40.0, 100.0), "thorax": (-300.0, 1600.0)}
"""Windows of the left column by region; soft tissue for the rest."""
_SOFT_TISSUE = (40.0, 400.0)


@dataclass(frozen=True)
class Shown:
    """One row of the picture.

    Attributes:
        image: The slice as it is stored.
        caption: Stands under it; its first word is the region, by which the window of the left column is chosen.
        seed: (seed, epoch, row), as the stream seeds its views.
    """

    image: Image
    caption: str
    seed: tuple[int, int, int]


@dataclass(frozen=True)
class _Remembering:
    """A window policy that keeps what it drew."""

    policy: WindowPolicy
    drawn: list[Levels] = field(default_factory=list)

    @property
    def channels(self) -> int:
        return self.policy.channels

    def levels(self, hu: NDArray[Any], generator: np.random.Generator) -> Levels:
        self.drawn.append(self.policy.levels(hu, generator))
        return self.drawn[-1]

    def __call__(self, hu: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
        return apply_levels(hu, self.levels(hu, generator))


def choose(index: pd.DataFrame, count: int, seed: int) -> list[int]:
    """Positions of slices that differ: regions in turn, series in turn, from the middle half of each series.

    Args:
        index: Columns series_key and body_region; the slices of a series in their order.
        count: How many; fewer where there are fewer.
        seed: Of the choice.
    """
    generator = np.random.default_rng([seed, len(index)])
    series = [
        positions for _, positions in index.reset_index(drop=True).groupby("series_key", sort=True).groups.items()
    ]
    regions: dict[str, list[list[int]]] = {}
    for positions in series:
        places = [int(position) for position in positions]
        middle = places[len(places) // 4 : max(len(places) - len(places) // 4, len(places) // 4 + 1)]
        middle_first = [*generator.permutation(middle).tolist(), *sorted(set(places) - set(middle))]
        regions.setdefault(str(index["body_region"].iloc[places[0]]), []).append(middle_first)
    chosen: list[int] = []
    while len(chosen) < min(count, len(index)):
        for region in sorted(regions):
            queue = regions[region]
            if queue and len(chosen) < count:
                first = queue.pop(0)
                chosen.append(first.pop(0))
                queue.extend([first] if first else [])  # this series comes again after the others of its region
    return chosen


def draw(rows: Sequence[Shown], recipe: ViewRecipe) -> bytes:
    """The picture as PNG.

    Args:
        rows: What to show.
        recipe: Makes the views; one with a `window` has it written beside each view.

    Raises:
        RadnetError: A slice is of no dtype that views are made of.
    """
    drawn = [_row(row, recipe) for row in rows]
    width = max(row.width for row in drawn)
    height = _TITLE_PX + sum(row.height for row in drawn)
    sheet = Pictures.new("RGB", (width, height), _PAPER)
    settings = recipe.describe()
    window = settings.get("window", {}).get("policy", "none")
    title = f"{type(recipe).__name__}: {len(recipe.shapes)} views, window policy {window}"
    if rows:
        title += f", seed {rows[0].seed[0]}, epoch {rows[0].seed[1]}"
    ImageDraw.Draw(sheet).text((_MARGIN_PX, 9), title, fill=_INK, font=_font(_FONT_PX + 2))
    top = _TITLE_PX
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    return _png(sheet)


def _row(row: Shown, recipe: ViewRecipe) -> Pictures.Image:
    """The slice and its views, side by side; small views stand two above each other."""
    window = getattr(recipe, "window", None)
    remembering = _Remembering(window) if window is not None else None
    # a frozen dataclass with another window makes the same draws: the views are those of the recipe itself
    spied: ViewRecipe = recipe if remembering is None else replace(recipe, window=remembering)  # type: ignore[type-var]
    views = spied(row.image, np.random.default_rng(row.seed))
    seen = remembering.drawn if remembering is not None else []
    labels = [_window_label(seen[number] if number < len(seen) else None, row.image) for number in range(len(views))]
    height = CELL_PX + _CAPTION_PX
    look, seen_through = _look(row.image, row.caption)
    rows, columns = row.image.shape[:2]
    cells = [_cell(look, [row.caption, f"{seen_through}, {columns} x {rows} px"], CELL_PX, fill=True)]
    small: list[Pictures.Image] = []
    for number, (view, label) in enumerate(zip(views, labels, strict=True)):
        picture = _as_picture(view, recipe)
        if view.shape[-1] * 2 + _CAPTION_PX <= height:
            small.append(_cell(picture, [label], max(view.shape[-1], 96), lines=1))
        else:
            cells.append(_cell(picture, [f"view {number}", label], CELL_PX))
    for first, second in zip(small[::2], [*small[1::2], None], strict=False):
        column = Pictures.new("RGB", (first.width, height), _PAPER)
        column.paste(first, (0, 0))
        if second is not None:
            column.paste(second, (0, height // 2))
        cells.append(column)
    strip = Pictures.new("RGB", (sum(cell.width for cell in cells) + _MARGIN_PX, height + _MARGIN_PX), _PAPER)
    left = 0
    for cell in cells:
        strip.paste(cell, (left, 0))
        left += cell.width
    return strip


def _cell(
    picture: NDArray[np.uint8], lines_of_text: Sequence[str], side: int, lines: int = 2, fill: bool = False
) -> Pictures.Image:
    """A picture (Y, X) or (Y, X, 3), no larger than `side`, or as large, with its caption under it."""
    scale = side / max(picture.shape[:2])
    if scale < 1 or fill:
        shape = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, shape, interpolation=how), dtype=np.uint8)
    cell = Pictures.new("RGB", (side + _MARGIN_PX, side + 3 + lines * 15), _PAPER)
    place = ((_MARGIN_PX + side - picture.shape[1] + _MARGIN_PX) // 2, (side - picture.shape[0]) // 2)
    cell.paste(Pictures.fromarray(picture).convert("RGB"), (max(place[0], _MARGIN_PX), max(place[1], 0)))
    pen = ImageDraw.Draw(cell)
    for line, text in enumerate(lines_of_text[:lines]):
        colour = _INK if line == 0 else _FAINT
        pen.text((_MARGIN_PX, side + 2 + 15 * line), text, fill=colour, font=_font(_FONT_PX if lines > 1 else 10))
    return cell


def _look(image: Image, caption: str) -> tuple[NDArray[np.uint8], str]:
    """The slice as a radiologist sees it, and how: in the window of its region; other images in their own range."""
    if image.dtype == np.uint8:
        return np.asarray(image, dtype=np.uint8), "picture"
    own = own_levels(image, (0.5, 99.5))
    if own is None:
        center, width = _LOOKS.get(caption.split(",")[0], _SOFT_TISSUE)
        own = (center - width / 2, width)
    picture: NDArray[np.uint8] = (apply_levels(image, (own,))[0] * 255).round().astype(np.uint8)
    return picture, _window_label((own,), image)


def _as_picture(view: View, recipe: ViewRecipe) -> NDArray[np.uint8]:
    """Normalisation undone: three channels as red, green and blue, any other number by its first."""
    mean, std = (np.atleast_1d(np.asarray(getattr(recipe, name), np.float32)) for name in ("mean", "std"))
    grey = np.clip(view * std[:, None, None] + mean[:, None, None], 0, 1)
    picture = (grey * 255).round().astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0)) if len(picture) == 3 else picture[0]


def _window_label(levels: Levels | None, image: Image) -> str:
    """The window as radiologists say it, centre/width; "own range" for images that have none."""
    if levels is None or image.dtype != np.int16:
        return "own range"
    return ", ".join(f"{low + width / 2:.0f}/{width:.0f} HU" for low, width in levels)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _png(sheet: Pictures.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
