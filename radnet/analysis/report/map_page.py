"""The interactive map: one file without anything from elsewhere, points on a canvas, pictures on hover.

Shape legend: N points.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.report.figures import COLOURS

TEMPLATE = Path(__file__).with_name("map_template.html")
STEPS = 65535
"""Coordinates are whole numbers up to this: finer than any screen."""


def map_page(
    maps: Mapping[tuple[str, str], NDArray[np.float32]],
    fields: Mapping[str, NDArray[np.str_]],
    sheets: Sequence[bytes],
    *,
    per_sheet: int,
    columns: int,
    left_out: int = 0,
) -> str:
    """The page.

    Args:
        maps: (model, method) -> points, float32, (N, 2).
        fields: What points may be coloured by: name -> text, (N,), at most 65,536 values.
        sheets: JPEG files of thumbnails, `per_sheet` items each, in the order of the points.
        per_sheet: Thumbnails of a sheet.
        columns: Thumbnails in a row of a sheet.
        left_out: Items that have no point.
    """
    items = len(next(iter(maps.values())))
    content = {
        "items": items,
        "left_out": left_out,
        "per_sheet": per_sheet,
        "columns": columns,
        "palette": list(COLOURS),
        "maps": [_map(model, method, points) for (model, method), points in maps.items()],
        "fields": [_field(name, values) for name, values in fields.items()],
        "sheets": [base64.b64encode(sheet).decode() for sheet in sheets],
    }
    # "</script>" in a name would end the data
    text = json.dumps(content, separators=(",", ":")).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", text)


def _map(model: str, method: str, points: NDArray[np.float32]) -> dict[str, Any]:
    low, high = points.min(0), points.max(0)
    span = max(float((high - low).max()), 1e-12)  # one scale for both axes
    scaled = (points - (low + high) / 2) / span + 0.5
    x, y = (np.clip(axis * STEPS, 0, STEPS).astype("<u2") for axis in (scaled[:, 0], 1 - scaled[:, 1]))
    return {"model": model, "method": method, "x": _encoded(x), "y": _encoded(y)}


def _field(name: str, values: NDArray[np.str_]) -> dict[str, Any]:
    names, number, count = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(-count, kind="stable")  # the largest get the first colours
    place = np.argsort(order)
    return {"name": name, "values": _encoded(place[number].astype("<u2")), "names": names[order].tolist()}


def _encoded(values: NDArray[np.uint16]) -> str:
    return base64.b64encode(values.tobytes()).decode()
