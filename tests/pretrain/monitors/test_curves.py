"""The figure of a run: which panels it has, what is marked in them, and what it is made from."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from radnet.errors import UsageError
from radnet.pretrain.monitors.curves import CURVES, draw_curves, figure_of, read_curves
from radnet.pretrain.monitors.diagnosis import diagnose
from radnet.pretrain.monitors.findings import RunFacts

_spec = importlib.util.spec_from_file_location("histories", Path(__file__).with_name("histories.py"))
assert _spec is not None
assert _spec.loader is not None
runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runs)


def _run(path: Path, log: list[dict[str, float]], facts: RunFacts, *, knn: bool = False) -> Path:
    """The files of a run that the figure is made from; a crash has cut off the last line."""
    path.mkdir()
    for line in log:
        line |= {"lr": 1e-3 * line["step"] / 3000, "slices_per_s": 900.0}
        if knn and line["step"] % 300 == 0:
            line["knn_balanced_accuracy"] = 0.3 + line["step"] / 6000
    (path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log) + '{"step": 30')
    found = [json.dumps(one.as_line()) + "\n" for one in diagnose(log, facts)]
    (path / "diagnosis.jsonl").write_text("".join(found))
    task = {"task": "body_region", "metric": "balanced_accuracy", "chance": 0.25, "val_slices": 100}
    described = {
        "method": facts.method,
        "backbone": "resnet18",
        "landmarks": dict(facts.landmarks),
        "steps_per_epoch": 300,
        "total_steps": 3000,
        "knn": task if knn else None,
    }
    (path / "monitors.json").write_text(json.dumps(described))
    return path


def _titles(figure: Figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]


def test_every_group_of_values_has_its_panel_with_chance_and_collapse_marked(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", *runs.dino(), knn=True)
    figure = figure_of(read_curves(run))
    assert [title.split(":")[0].split(",")[0] for title in _titles(figure)] == [
        "loss",
        "online kNN",
        "features",
        "teacher",
        "learning rate and gradient norm",
        "speed",
    ]
    loss, knn = figure.axes[:2]
    assert "collapse: all outputs are alike (6.93)" in loss.get_legend_handles_labels()[1]
    assert "chance (0.25)" in knn.get_legend_handles_labels()[1]


def test_findings_are_marked_and_spelled_out(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", *runs.simclr(end=1.0))
    figure = figure_of(read_curves(run))
    assert _titles(figure)[-1] == "diagnosis"
    *_, words = (text.get_text() for axis in figure.axes for text in axis.texts)
    assert words.startswith("at-chance (step 3,000)")
    assert "finding" in figure.axes[0].get_legend_handles_labels()[1]


def test_findings_of_a_figure_without_a_free_place_stand_below_it(tmp_path: Path) -> None:
    mark = math.log(1024)
    log, facts = runs.dino(loss=lambda t, g: mark, teacher_entropy=lambda t, g: mark)
    figure = figure_of(read_curves(_run(tmp_path / "run", log, facts, knn=True)))
    assert _titles(figure)[-1] == "diagnosis"
    below, width = figure.axes[-1].get_position(), [axis.get_position().width for axis in figure.axes]
    assert below.y1 < min(axis.get_position().y0 for axis in figure.axes[:-1])
    assert width[-1] > 1.5 * width[0]


def test_a_run_of_one_step_can_be_drawn(tmp_path: Path) -> None:
    log, facts = runs.mae()
    assert _titles(figure_of(read_curves(_run(tmp_path / "run", log[:1], facts))))
    run = _run(tmp_path / "bare", [{"step": 1, "loss": 1.0, "epoch": 0}], facts)
    assert draw_curves(run) == run / CURVES
    assert (run / CURVES).read_bytes().startswith(b"\x89PNG")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"logged no step.*log\.jsonl"):
        draw_curves(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n')
    with pytest.raises(UsageError, match="not watched"):
        draw_curves(tmp_path)
