"""Pictures in rows, each with its frame and a line of text; drawn as one picture, which is far quicker than axes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from radnet.files import atomic_file

Cell = tuple[NDArray[np.uint8], str, str | None]
"""Picture, uint8 (Y, X, 3); the text below it; the colour of its frame, None for a thin grey one."""
SIDE, FRAME, TEXT, GAP = 116, 3, 11, 8
GREY, INK = "#c4cad1", "#1b1f24"
LETTERS = 21
"""What fits below a picture."""


def contact_sheet(path: Path, rows: Sequence[Sequence[Cell]]) -> Path | None:
    """Write a sheet as PNG; None when there is nothing to show."""
    if not rows:
        return None
    width, height = SIDE + 2 * FRAME + GAP, SIDE + 2 * FRAME + TEXT + GAP + 4
    sheet = Image.new("RGB", (GAP + width * max(len(row) for row in rows), GAP + height * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for line, row in enumerate(rows):
        for column, (picture, text, colour) in enumerate(row):
            x, y = GAP + column * width, GAP + line * height
            frame = (x, y, x + SIDE + 2 * FRAME - 1, y + SIDE + 2 * FRAME - 1)
            pen.rectangle(frame, outline=colour or GREY, width=FRAME if colour else 1)
            sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x + FRAME, y + FRAME))
            pen.text((x + FRAME, y + SIDE + 2 * FRAME + 2), text[:LETTERS], fill=INK, font=font)
    with atomic_file(path) as file:
        sheet.save(file, format="PNG")
    return path
