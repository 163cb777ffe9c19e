"""A whole report on phantoms with tiny models: what it holds, that it goes on, and what it refuses."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from radnet.analysis.report.records import votes_of_records
from radnet.analysis.report.run import analyze
from radnet.analysis.report.settings import AnalyzeSettings, settings_from_overrides
from radnet.cli import main
from radnet.errors import UsageError
from radnet.shards import ShardSet

pytestmark = pytest.mark.xdist_group("analysis report")  # one process: the report is made once
MODELS = ["random:test_resnet", "random:test_vit"]


def settings(out: Path, phantom_set: ShardSet, *more: str, cache: Path) -> AnalyzeSettings:
    task = str(phantom_set.path)
    overrides = [f"models=[{','.join(MODELS)}]", f"tasks=[{task},label_contrast_phase@{task}]", f"out={out}"]
    small = ["size=32", "layer_items=24", "domain_items=48", "permutations=19", "resamples=100", "k=5", "map=none"]
    return settings_from_overrides([*overrides, *small, "items=80", f"cache={cache}", "device=cpu", *more])


@pytest.fixture(scope="module")
def report(phantom_set: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    analyze(settings(root / "out", phantom_set, cache=root / "cache"))
    return root


def test_a_report_has_page_figures_and_numbers(report: Path) -> None:
    out = report / "out"
    page = (out / "index.html").read_text()
    for section in ("similarity", "neighbours", "domains", "spectrum", "maps", "wkw"):
        assert f'id="{section}"' in page
    figures = {path.name for path in (out / "figures").iterdir()}
    assert {"cka_layers.png", "domains_auc.png", "eigenvalues.png", "maps_by_set.png", "duplicates.png"} <= figures
    for figure in figures:
        assert f"figures/{figure}" in page
    assert "share" in page
    assert "patients; they are never on both sides" in page
    for name in ("similarity", "cka_layers", "retrieval", "domains", "spectrum", "wkw", "duplicates", "map"):
        rows = json.loads((out / "numbers" / f"{name}.json").read_text())
        frame = pd.read_parquet(out / "numbers" / f"{name}.parquet")
        assert len(rows) == len(frame) > 0, name
    layers = pd.read_parquet(out / "numbers" / "cka_layers.parquet").query("model == other_model")
    same = layers[layers["layer"] == layers["other_layer"]]
    assert np.allclose(same["cka"].dropna(), 1)
    html = (out / "map.html").read_text()
    assert "__DATA__" not in html
    assert "http://" not in html
    assert "https://" not in html


def test_one_set_given_twice_is_told_as_such(report: Path) -> None:
    domains = pd.read_parquet(report / "out" / "numbers" / "domains.parquet")
    assert (domains["a_distance"] < 1).all()
    assert (domains["shared_patients"] == domains["patients"]).all()
    duplicates = pd.read_parquet(report / "out" / "numbers" / "duplicates.parquet")
    assert (duplicates["correlation"] >= 0.995).all()


def test_an_interrupted_report_goes_on(report: Path, phantom_set: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    out = report / "again"
    shutil.copytree(report / "out", out)
    parts = sorted((out / ".parts").glob("*.json"))
    for path in (*parts[::2], out / "index.html"):
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in parts[1::2]}
    analyze(settings(out, phantom_set, cache=report / "cache"))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for table in (out / "numbers").glob("*.json"):
        assert table.read_bytes() == (report / "out" / "numbers" / table.name).read_bytes(), table.name


def test_what_is_no_report_is_not_touched(report: Path, phantom_set: ShardSet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="something else than a report"):
        analyze(settings(tmp_path / "out", phantom_set, cache=tmp_path))
    with pytest.raises(UsageError, match="has no label 'nonsense'"):
        analyze(settings(tmp_path / "b", phantom_set, f"tasks=[nonsense@{phantom_set.path}]", cache=tmp_path))


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["analyze", "tasks=[x]", "out=y"])
    assert left.value.code == 2
    assert "models" in capsys.readouterr().err


def test_predictions_of_records_are_compared_on_one_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(model: str, predictions: str | None, seed: int = 0) -> SimpleNamespace:
        task = SimpleNamespace(name="body_region", manifest_hash="0", classes=("head", "chest"))
        protocol = SimpleNamespace(name="linear", hash="1")
        card = SimpleNamespace(name=model)
        return SimpleNamespace(
            model=card, task=task, protocol=protocol, fraction=0.5, seed=seed, predictions=predictions
        )

    table = pd.DataFrame({"key": ["1", "2", "3"], "patient": ["a", "b", "b"], "target": [0, 1, 1]})
    for name, first in (("x", [0.9, 0.1, 0.8]), ("y", [0.2, 0.3, 0.4])):
        table.assign(score_0=first, score_1=1 - np.array(first)).to_parquet(tmp_path / f"{name}.parquet")
    table.drop(columns="target").assign(value_dice=1.0).to_parquet(tmp_path / "volumes.parquet")
    records = [record("x", "x.parquet"), record("y", "y.parquet"), record("z", "volumes.parquet"), record("x", None, 1)]
    monkeypatch.setattr("radnet.analysis.report.records.read_records", lambda directory: records)
    (votes,) = votes_of_records(tmp_path)
    assert votes.models == ["x", "y"]
    assert votes.correct.tolist() == [[True, True, False], [False, True, True]]
    assert votes.target.tolist() == ["head", "chest", "chest"]
    assert votes.title == "body_region, linear, 50 % of the training patients, seed 0"
