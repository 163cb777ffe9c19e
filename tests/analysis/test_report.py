"""A whole report on phantoms with tiny models: what it holds, that it goes on, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radnet.analysis.report.run import analyze
from radnet.analysis.report.settings import AnalyzeSettings, settings_from_overrides
from radnet.cli import main
from radnet.errors import UsageError
from radnet.shards import ShardSet

MODELS = ["random:test_resnet", "random:test_vit"]


def settings(out: Path, phantom_set: ShardSet, *more: str, cache: Path) -> AnalyzeSettings:
    task = str(phantom_set.path)
    overrides = [f"models=[{','.join(MODELS)}]", f"tasks=[{task},label_contrast_phase@{task}]", f"out={out}"]
    small = ["size=32", "layer_items=40", "domain_items=80", "permutations=19", "resamples=100", "k=5", "map=none"]
    return settings_from_overrides([*overrides, *small, "items=120", f"cache={cache}", "device=cpu", *more])


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
    assert (duplicates["correlation"] >= 0.98).all()


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
