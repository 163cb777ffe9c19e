"""Figures beside the tables: score against the share of training data, as SVG that is the same for the same records."""

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from radnet.leaderboard.tables import Row, Table, task_labels

ARM_COLOURS = {
    "in-domain": ("#0b6e4f", "#45a884", "#8cc63f", "#00423a"),
    "imagenet": ("#b3541e", "#e39a5c"),
    "random": ("#6b7280",),
    "other": ("#3a5ba0",),
}
"""Colours of an arm's best models; as many are drawn."""

ARM_MARKERS = {"in-domain": "o", "imagenet": "s", "random": "x", "other": "^"}
SIZE_INCHES = (5.2, 3.9)
STYLE: Any = {
    "svg.hashsalt": "radnet",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # shipped with matplotlib, so that the layout is the same everywhere
    "font.size": 9,
    "text.parse_math": False,  # a dollar sign in a model's name is no formula
}


@dataclass(frozen=True)
class FractionFigure:
    """One figure of score against fraction.

    Attributes:
        name: File name without directory.
        title: Task, protocol and condition in words.
        caption: What is drawn, and what was left out.
        svg: The picture.
    """

    name: str
    title: str
    caption: str
    svg: str


def fraction_figures(tables: Iterable[Table]) -> list[FractionFigure]:
    """A figure for each task, protocol and condition that has results at two fractions or more."""
    tables = list(tables)
    labels = task_labels(tables)
    groups: dict[tuple[str, ...], list[Table]] = defaultdict(list)
    for table in tables:
        condition = table.condition.words if table.condition else ""
        groups[table.task.name, table.task.manifest_hash, table.protocol.name, table.protocol.hash, condition].append(
            table
        )
    drawn = [
        (key, group)
        for key, group in sorted(groups.items())
        if len({table.fraction for table in group if any(row.available for row in table.rows)}) > 1
    ]
    with mpl.rc_context(STYLE):
        return [_figure(number, group, labels) for number, (_, group) in enumerate(drawn)]


def _figure(number: int, tables: list[Table], labels: Mapping[tuple[str, str], str]) -> FractionFigure:
    lines: dict[str, list[tuple[float, Row]]] = defaultdict(list)
    for table in sorted(tables, key=lambda table: table.fraction):
        for row in table.rows:
            if row.available:
                lines[row.label].append((table.fraction, row))
    metric = tables[0].task.metric
    order = sorted(lines, key=lambda label: (-lines[label][-1][0], -lines[label][-1][1].metrics[metric].mean, label))
    colours = {
        label: colour
        for arm, palette in ARM_COLOURS.items()
        for label, colour in zip((one for one in order if lines[one][0][1].model.arm == arm), palette, strict=False)
    }
    shown = [label for label in order if label in colours]
    figure = Figure(figsize=SIZE_INCHES)  # fixed margins: a layout that is solved draws everything twice
    figure.subplots_adjust(left=0.13, right=0.98, top=0.97, bottom=0.31)
    canvas = FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for place, label in enumerate(shown):
        at = [100 * fraction * (1.02 ** (place - len(shown) / 2)) for fraction, _ in lines[label]]
        values = [row.metrics[metric] for _, row in lines[label]]
        arm = lines[label][0][1].model.arm
        axes.plot(
            at,
            [value.mean for value in values],
            label=label,
            color=colours[label],
            marker=ARM_MARKERS[arm],
            markersize=4,
            linewidth=1.2,
            linestyle=("-", "--", ":", "-.")[place % 4],
        )
        ends = [(value.low, value.high) for value in values]
        axes.vlines(at, *zip(*ends, strict=True), color=colours[label], linewidth=0.8)
    fractions = sorted({100 * table.fraction for table in tables})
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(fractions, [f"{fraction:g} %" for fraction in fractions])
    axes.set_xlabel("share of the training items")
    axes.set_ylabel(metric.replace("_", " "))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.6)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(-0.1, -0.2), ncols=2)
    condition = f", {tables[0].condition.words}" if tables[0].condition else ""
    task = tables[0].task
    title = f"{labels[task.name, task.manifest_hash]}, {tables[0].protocol.name}{condition}"
    left_out = ""
    if len(shown) < len(order):
        left_out = f" The best of each arm are drawn, {len(shown)} of {len(order)} models."
    name = "-".join(
        re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") for text in (tables[0].task.name, tables[0].protocol.name)
    )
    return FractionFigure(
        name=f"fractions-{number:03d}-{name[:60]}.svg",
        title=title + (" (synthetic)" if any(table.synthetic for table in tables) else ""),
        caption=f"Bars are 95 % intervals over test patients.{left_out}",
        svg=_svg(canvas),
    )


def _svg(canvas: Any) -> str:
    """The picture without date, with ids from a fixed salt."""
    buffer = io.BytesIO()
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue().decode()
