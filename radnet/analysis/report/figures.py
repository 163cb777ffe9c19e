"""Figures of the report, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from radnet.files import atomic_file

Grid = tuple[str, str, list[str], list[str], NDArray[np.float64]]
"""Title of the rows, title of the columns, names of both, values (rows, columns)."""
DPI = 130
COLOURS = ("#0b5cad", "#d1495b", "#2a9d4a", "#e08e0b", "#7b4fb5", "#1aa6a6", "#8c564b", "#c2479e", "#6b7280", "#a3b18a")
GREY = "#c4cad1"


def save(drawing: Figure, path: Path) -> Path:
    """Write a figure as PNG in one step."""
    with atomic_file(path) as file:
        FigureCanvasAgg(drawing)
        drawing.savefig(file, format="png", dpi=DPI)
    return path


def heat_maps(
    path: Path, grids: Sequence[Grid], title: str, *, lowest: float = 0, highest: float = 1, across: int = 3
) -> Path | None:
    """Matrices beside each other on one colour scale; None when there are none."""
    if not grids:
        return None
    columns = min(across, len(grids))
    rows = -(-len(grids) // columns)
    widest = max(len(grid[3]) for grid in grids)
    tallest = max(len(grid[2]) for grid in grids)
    cell = 0.55 if max(widest, tallest) <= 8 else 0.42
    size = (columns * max(2.6, widest * cell + 1.9) + 0.8, rows * max(2.2, tallest * cell + 1.6))
    drawing = Figure(figsize=size, layout="constrained")
    axes = np.asarray(drawing.subplots(rows, columns, squeeze=False)).ravel()
    shown = None
    for place, (left, right, names, others, values) in zip(axes, grids, strict=False):
        shown = place.imshow(values, vmin=lowest, vmax=highest, cmap="viridis", aspect="equal")
        place.set_xticks(range(len(others)), others, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
        place.set_yticks(range(len(names)), names, fontsize=7)
        place.set_xlabel(right, fontsize=8)
        place.set_ylabel(left, fontsize=8)
        for (i, j), value in np.ndenumerate(values):
            text = "-" if not np.isfinite(value) else f"{value:.2f}".replace("-0.00", "0.00")
            # dark cells carry light digits, light ones dark digits
            light = np.isfinite(value) and (value - lowest) / (highest - lowest) < 0.6
            place.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if light else "black")
    for place in axes[len(grids) :]:
        place.set_axis_off()
    if shown is not None:
        bar = drawing.colorbar(shown, ax=list(axes), shrink=0.9)
        bar.set_label(title, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return save(drawing, path)


def bars(
    path: Path,
    names: Sequence[str],
    values: Sequence[float],
    errors: Sequence[float] | tuple[Sequence[float], Sequence[float]] | None,
    label: str,
    *,
    expected: Sequence[float] | None = None,
) -> Path:
    """Bars with error bars; hatched ones beside them for what chance would give."""
    drawing = Figure(figsize=(max(5.0, 0.75 * len(names) + 1.5), 3.8), layout="constrained")
    axes = drawing.subplots()
    place = np.arange(len(names))
    width = 0.62 if expected is None else 0.4
    axes.bar(place, values, width, yerr=errors, capsize=3, color=COLOURS[0], label="observed", zorder=2)
    if expected is not None:
        axes.bar(
            place + width, expected, width, color=GREY, hatch="//", edgecolor="#6b7280", label="independent", zorder=2
        )
        axes.legend(fontsize=8, frameon=False)
    axes.set_xticks(place + (0 if expected is None else width / 2), names, rotation=35, ha="right", fontsize=7)
    axes.set_ylabel(label, fontsize=9)
    _plain_axes(axes)
    return save(drawing, path)


def lines(
    path: Path, curves: Mapping[str, Mapping[str, tuple[list[float], list[float]]]], horizontal: str
) -> Path | None:
    """Small panels of curves: panel -> curve -> (x, y); None when there is none."""
    if not curves:
        return None
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    drawing = Figure(figsize=(3.6 * columns, 2.7 * rows + 0.4), layout="constrained")
    axes = np.asarray(drawing.subplots(rows, columns, squeeze=False)).ravel()
    for place, (panel, members) in zip(axes, curves.items(), strict=False):
        for number, (name, (x, y)) in enumerate(members.items()):
            place.plot(x, y, marker="o", markersize=3, label=name, color=COLOURS[number % len(COLOURS)])
        place.set_title(panel.replace("_", " "), fontsize=9)
        place.set_xlabel(horizontal, fontsize=8)
        _plain_axes(place)
    for place in axes[len(curves) :]:
        place.set_axis_off()
    handles, names = axes[0].get_legend_handles_labels()
    drawing.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), fontsize=8, frameon=False)
    return save(drawing, path)


def _plain_axes(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eceff2", zorder=0)
    axes.tick_params(labelsize=8)


def scatter_panels(path: Path, panels: Mapping[str, NDArray[np.float32]], values: NDArray[np.str_], title: str) -> Path:
    """Maps beside each other, points coloured by one value: panel -> (N, 2)."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    drawing = Figure(figsize=(3.9 * columns, 3.7 * rows + 0.5), layout="constrained")
    axes = np.asarray(drawing.subplots(rows, columns, squeeze=False)).ravel()
    names, count = np.unique(values[values != ""], return_counts=True)
    shown = names[np.argsort(-count, kind="stable")][: len(COLOURS)]
    order = np.random.default_rng(0).permutation(len(values))  # no set lies on top of all others
    for place, (panel, points) in zip(axes, panels.items(), strict=False):
        colours = np.full(len(values), GREY, dtype=object)
        for number, name in enumerate(shown):
            colours[values == name] = COLOURS[number]
        place.scatter(
            points[order, 0],
            points[order, 1],
            s=float(np.clip(4000 / max(len(values), 1), 4, 22)),
            c=list(colours[order]),
            linewidths=0,
            alpha=0.75,
        )
        place.set_title(panel, fontsize=8)
        place.set_xticks([])
        place.set_yticks([])
    for place in axes[len(panels) :]:
        place.set_axis_off()
    for number, name in enumerate(shown):
        axes[0].scatter([], [], s=18, color=COLOURS[number], label=str(name))
    if (~np.isin(values, shown)).any():
        axes[0].scatter([], [], s=18, color=GREY, label="other or unknown")
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False, title=title)
    return save(drawing, path)
