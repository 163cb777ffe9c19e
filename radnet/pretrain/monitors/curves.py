"""A figure of a run's curves, from the files in its directory alone."""

import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radnet.errors import RadnetError, UsageError
from radnet.files import write_atomically
from radnet.pretrain.monitors.history import read_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG, DIAGNOSIS, FACTS, CURVES = "log.jsonl", "diagnosis.jsonl", "monitors.json", "curves.png"
_BLUE, _ORANGE, _GREEN, _GREY, _RED = "#1f5fa8", "#c8641e", "#3b7d4f", "#6b6b6b", "#b3261e"
_LANDMARK_WORDS = {
    "chance": "chance: no slice is told from another",
    "collapse": "collapse: all outputs are alike",
    "floor": "floor: nothing is left to learn",
}
_LANDMARK_COLOURS = {"chance": _RED, "collapse": _RED, "floor": _GREEN}
_STYLE: Any = {"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.titlelocation": "left"}
_ROW_INCHES = 2.9
_MOST_WORDS = 4
"""Kinds of findings that fit into their panel."""
_SMOOTHED = 60
"""A curve of more points than this is also drawn as its running median."""


@dataclass(frozen=True)
class Curves:
    """What the figure shows.

    Attributes:
        name: Title.
        lines: Lines of `log.jsonl`.
        findings: Lines of `diagnosis.jsonl`.
        facts: `monitors.json`.
    """

    name: str
    lines: Sequence[Mapping[str, float]]
    findings: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]

    def has(self, *names: str) -> bool:
        """Whether any of these values was logged."""
        return any(name in line for line in self.lines for name in names)

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs done and values of one name, finite ones only."""
        found = [(line["step"], line[name]) for line in self.lines if name in line and math.isfinite(line[name])]
        an_epoch = self.facts["steps_per_epoch"]
        return [step / an_epoch for step, _ in found], [value for _, value in found]


def draw_curves(run: Path) -> Path:
    """Draw `curves.png` of a run, finished or not, continued or not.

    Args:
        run: The run directory.

    Returns:
        The figure's path.

    Raises:
        UsageError: The directory is no run, or it has logged nothing yet.
        RadnetError: The disk is full.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = figure_of(read_curves(run))
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    write_atomically(run / CURVES, buffer.getvalue())
    return run / CURVES


def read_curves(run: Path) -> Curves:
    """What the files of a run say.

    Raises:
        UsageError: The directory is no run, or it has logged nothing yet.
    """
    lines = read_lines(run / LOG)
    if not lines:
        raise UsageError(
            "There is nothing to draw: this run has logged no step",
            file=run / LOG,
            fix="Give the directory of a run of radnet pretrain (its out=…)",
        )
    if not (run / FACTS).is_file():
        raise UsageError("This run was not watched by monitors", file=run / FACTS, fix="Continue it, then draw again")
    try:
        facts = json.loads((run / FACTS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RadnetError("This file is damaged", file=run / FACTS, fix="Remove it and continue the run") from error
    return Curves(f"{facts['method']} on {facts['backbone']}", lines, read_lines(run / DIAGNOSIS), facts)


def figure_of(curves: Curves) -> "Figure":
    """The figure: a panel for each group of values that the run has logged."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels = [_loss]
    panels += [_knn] if curves.facts.get("knn") and curves.has(_knn_name(curves)) else []
    panels += [_features] if curves.has("features_std", "rankme") else []
    panels += [_entropy] if curves.has("teacher_entropy") else []
    panels += [_rate]
    panels += [_speed] if curves.has("slices_per_s") else []
    rows, is_odd = -(-len(panels) // 2), len(panels) % 2
    # words fill a free place, and else a strip below when there is something to say
    strip = 0.32 * min(len(_blocks(curves)), _MOST_WORDS) if curves.findings and not is_odd else 0.0
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, _ROW_INCHES * (rows + strip) + 0.7), dpi=130, layout="constrained")
        grid = figure.add_gridspec(rows + bool(strip), 2, height_ratios=[1.0] * rows + [strip] * bool(strip))
        for number, panel in enumerate(panels):
            axis = figure.add_subplot(grid[number // 2, number % 2])
            panel(axis, curves)
            axis.set_xlabel("epochs")
            axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
            axis.set_axisbelow(True)
        if is_odd:
            _words(figure.add_subplot(grid[rows - 1, 1]), curves, width=78)
        elif strip:
            _words(figure.add_subplot(grid[rows, :]), curves, width=170)
        done, total = int(curves.lines[-1]["step"]), curves.facts["total_steps"]
        figure.suptitle(f"{curves.name}, {done:,} of {total:,} steps", x=0.01, ha="left", fontsize=12)
    return figure


def _curve(axis: "Axes", curves: Curves, name: str, label: str, colour: str, *, smooth: bool = True) -> None:
    """One value over epochs; noisy ones faintly, with their running median on top."""
    epochs, found = curves.points(name)
    if smooth and len(found) > _SMOOTHED:
        axis.plot(epochs, found, color=colour, linewidth=0.6, alpha=0.3)
        axis.plot(epochs, _running_median(found), color=colour, linewidth=1.6, label=label)
    else:
        axis.plot(epochs, found, color=colour, linewidth=1.6, label=label, marker="o" if len(found) < 3 else None)


def _running_median(values: Sequence[float]) -> list[float]:
    """Median over a thirtieth of the curve around each point."""
    import numpy as np

    half = max(len(values) // 60, 2)
    padded = np.pad(np.asarray(values, dtype=np.float64), half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return [float(value) for value in np.median(windows, axis=1)]


def _second(axis: "Axes", colour: str, label: str) -> "Axes":
    other: Axes = axis.twinx()
    other.set_ylabel(label, color=colour)
    other.tick_params(axis="y", colors=colour)
    return other


def _label(axis: "Axes", text: str, colour: str) -> None:
    axis.set_ylabel(text, color=colour)
    axis.tick_params(axis="y", colors=colour)


def _loss(axis: "Axes", curves: Curves) -> None:
    """Loss, its landmarks, and where findings were made."""
    axis.set_title("loss")
    _curve(axis, curves, "loss", "loss", _BLUE)
    _, found = curves.points("loss")
    low, high = min(found), max(found)
    for name, value in curves.facts["landmarks"].items():
        # a landmark far below the curve would press it flat
        if low - (high - low) - 0.2 * abs(high) <= value <= high + (high - low) + 0.2 * abs(high):
            words = f"{_LANDMARK_WORDS.get(name, name)} ({value:.3g})"
            axis.axhline(value, color=_LANDMARK_COLOURS.get(name, _GREY), linewidth=1, linestyle="--", label=words)
    if curves.has("mean_picture"):
        _curve(axis, curves, "mean_picture", "where all slices get their mean picture", _RED)
    for number, step in enumerate(sorted({one["step"] for one in curves.findings})):
        label = None if number else "finding"
        axis.axvline(step / curves.facts["steps_per_epoch"], color=_ORANGE, linewidth=1, linestyle=":", label=label)
    axis.margins(y=0.12)
    axis.legend(frameon=False, fontsize=7.5, loc="best")


def _knn_name(curves: Curves) -> str:
    return f"knn_{curves.facts['knn']['metric']}"


def _knn(axis: "Axes", curves: Curves) -> None:
    """The online kNN against chance."""
    knn = curves.facts["knn"]
    axis.set_title(f"online kNN: {knn['task']}, {knn['val_slices']} slices of validation patients")
    epochs, found = curves.points(_knn_name(curves))
    axis.plot(epochs, found, color=_GREEN, linewidth=1.6, marker="o", markersize=3.5)
    axis.annotate(
        f"{found[-1]:.3f}", (epochs[-1], found[-1]), (0, -13), textcoords="offset points", color=_GREEN, ha="center"
    )
    if knn["chance"] is not None:
        axis.axhline(knn["chance"], color=_GREY, linewidth=1, linestyle="--", label=f"chance ({knn['chance']:.2g})")
        axis.legend(frameon=False, fontsize=7.5)
    axis.set_ylabel(knn["metric"].replace("_", " "))
    axis.margins(x=0.08, y=0.12)


def _features(axis: "Axes", curves: Curves) -> None:
    """Whether the features fill their space."""
    axis.set_title("features: how much of their space they fill")
    _curve(axis, curves, "features_std", "deviation", _BLUE)
    axis.set_ylim(0, max([1.0, *curves.points("features_std")[1]]) * 1.02)
    _label(axis, "deviation (1 fills the sphere)", _BLUE)
    if curves.has("rankme"):
        limit = max(line.get("rankme_limit", 0) for line in curves.lines)
        other = _second(axis, _ORANGE, f"RankMe (at most {limit:.0f})")
        _curve(other, curves, "rankme", "RankMe", _ORANGE, smooth=False)
        other.set_ylim(0, max(curves.points("rankme")[1], default=1) * 1.15)


def _entropy(axis: "Axes", curves: Curves) -> None:
    """The teacher between saying nothing (ln K) and one output (0)."""
    axis.set_title("teacher: entropy of its outputs")
    _curve(axis, curves, "teacher_entropy", "of a slice", _BLUE)
    if curves.has("marginal_entropy"):
        _curve(axis, curves, "marginal_entropy", "of a batch", _GREEN)
    if "collapse" in curves.facts["landmarks"]:
        mark = curves.facts["landmarks"]["collapse"]
        axis.axhline(mark, color=_RED, linewidth=1, linestyle="--", label=f"ln K ({mark:.3g}): it says nothing")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("nats")
    axis.legend(frameon=False, fontsize=7.5)


def _rate(axis: "Axes", curves: Curves) -> None:
    """Learning rate, and the gradient norm where it is known."""
    axis.set_title("learning rate" + (" and gradient norm" if curves.has("gradient_norm") else ""))
    _curve(axis, curves, "lr", "learning rate", _BLUE, smooth=False)
    _label(axis, "learning rate", _BLUE)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:.3g}")
    if curves.has("gradient_norm"):
        other = _second(axis, _ORANGE, "gradient norm")
        _curve(other, curves, "gradient_norm", "gradient norm", _ORANGE)
        if min(curves.points("gradient_norm")[1], default=0) > 0:
            other.set_yscale("log")


def _speed(axis: "Axes", curves: Curves) -> None:
    """Slices a second and what part of the time is lost to waiting."""
    axis.set_title("speed, and share of the time spent waiting for data")
    _curve(axis, curves, "slices_per_s", "slices/s", _BLUE)
    _label(axis, "slices/s", _BLUE)
    axis.set_ylim(0, sorted(curves.points("slices_per_s")[1])[int(0.99 * len(curves.points("slices_per_s")[1]))] * 1.2)
    other = _second(axis, _ORANGE, "waiting (%)")
    epochs, found = curves.points("waiting_share")
    other.fill_between(epochs, [100 * share for share in found], color=_ORANGE, alpha=0.25, linewidth=0)
    other.set_ylim(0, 100)


def _blocks(curves: Curves) -> list[str]:
    """The latest finding of each kind, a paragraph each."""
    latest = {str(one["code"]): one for one in curves.findings}
    return [f"{code} (step {one['step']:,}): {one['seen']}. {one['means']}." for code, one in latest.items()]


def _words(axis: "Axes", curves: Curves, *, width: int) -> None:
    """What the diagnosis has to say, each kind of finding once, in lines of `width` characters."""
    axis.set_axis_off()
    axis.set_title("diagnosis")
    blocks = _blocks(curves)
    text = "\n\n".join(textwrap.fill(block, width=width) for block in blocks[:_MOST_WORDS]) or "no findings"
    if len(blocks) > _MOST_WORDS:
        text += f"\n\nand {len(blocks) - _MOST_WORDS} more kinds, see {DIAGNOSIS}"
    axis.text(0, 0.97, text, transform=axis.transAxes, va="top", fontsize=8, color=_ORANGE if blocks else _GREY)
