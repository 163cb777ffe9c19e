"""Small pictures of items, as the report shows them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.analysis.report.study import Study
from radnet.views import EvaluationView, window_policy

GREY_LEVELS = 255


def thumbnail_view(study: Study, side: int) -> EvaluationView:
    """The report's window at another size, three channels so that pictures keep their colours."""
    window = window_policy(study.settings.window)
    channels = 3 if window.channels in (1, 3) else window.channels
    return EvaluationView(size=side, window=window, mean=(0.0,) * channels, std=(1.0,) * channels)


def thumbnail(study: Study, item: int, side: int = 96) -> NDArray[np.uint8]:
    """One pooled item, uint8 RGB, (side, side, 3)."""
    one, row = study.locate(item)
    view = thumbnail_view(study, side)(one.shards.read_image(row))[0]
    planes = view if len(view) == 3 else np.repeat(view[:1], 3, axis=0)
    return np.asarray((np.clip(planes, 0, 1) * GREY_LEVELS).round().astype(np.uint8).transpose(1, 2, 0))


def atlas(study: Study, items: NDArray[np.int64], side: int, columns: int) -> bytes:
    """Thumbnails of items in rows of `columns`, as JPEG."""
    rows = -(-len(items) // columns)
    sheet = np.zeros((rows * side, columns * side, 3), dtype=np.uint8)
    for place, item in enumerate(items):
        y, x = divmod(place, columns)
        sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = thumbnail(study, int(item), side)
    return bytes(cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1])
