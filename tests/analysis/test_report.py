"""A whole report on phantoms with tiny models: what it holds, that it goes on, and what it refuses."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from radnet.analysis.report.records import Votes, votes_of_records
from radnet.analysis.report.run import analyze
from radnet.analysis.report.settings import AnalyzeSettings, settings_from_overrides
from radnet.analysis.report.store import Store
from radnet.analysis.report.study import Study
from radnet.analysis.report.wkw import _shown
from radnet.cli import main
from radnet.errors import RadnetError, UsageError
from radnet.models import LoadedModel, ModelName, load_model
from radnet.records import (
    Condition,
    Counts,
    Interval,
    ModelCard,
    ProtocolCard,
    ResultRecord,
    TaskCard,
    cell_hash,
    current_environment,
    write_record,
)
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


def test_equal_weights_that_see_other_pictures_share_no_part(
    report: Path, phantom_set: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_other_normalisation(name: ModelName, **asked: int) -> LoadedModel:
        model = load_model(name, **asked)
        return replace(model, std=tuple(value / 3 for value in model.std))

    out = report / "normalised"
    shutil.copytree(report / "out", out)
    monkeypatch.setattr("radnet.analysis.report.run.load_model", with_other_normalisation)
    analyze(settings(out, phantom_set, cache=report / "cache"))
    for table in ("spectrum", "retrieval", "domains", "similarity", "cka_layers", "wkw_items"):
        now, before = ((root / "numbers" / f"{table}.json").read_text() for root in (out, report / "out"))
        assert now != before, table


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


def put_record(
    results: Path, model: str, table: pd.DataFrame | None, *, seed: int = 0, condition: Condition | None = None
) -> None:
    """A finished cell, with its predictions where there are any."""
    card = ModelCard(
        name=model,
        arm="random",
        architecture="resnet18",
        weights_sha256=hashlib.sha256(model.encode()).hexdigest(),
        pretraining="none",
        method=None,
        parameters=1,
        in_chans=1,
        synthetic=False,
    )
    classes = ("head", "chest")
    task = TaskCard(name="body_region", manifest_hash="0" * 64, metric="accuracy", classes=classes, synthetic=True)
    protocol = ProtocolCard(name="linear", settings={}, hash="1" * 64)
    cell = cell_hash(card, task, protocol, 0.5, seed, condition)
    if table is not None:
        (results / "predictions").mkdir(parents=True, exist_ok=True)
        table.to_parquet(results / "predictions" / f"{cell}.parquet")
    record = ResultRecord(
        created="2026-01-31T12:00:00+00:00",
        status="done",
        model=card,
        task=task,
        protocol=protocol,
        fraction=0.5,
        seed=seed,
        counts=Counts(train_items=3, val_items=3, test_items=3, train_patients=2, val_patients=2, test_patients=2),
        metrics={"accuracy": Interval(value=0.5, low=0.25, high=0.75)},
        condition=condition,
        predictions=None if table is None else f"predictions/{cell}.parquet",
        environment=current_environment(),
        wall_time_s=1,
        cell=cell,
    )
    write_record(record, results)


def scores(*first: float) -> pd.DataFrame:
    """Predictions of three items of the classes 0, 1, 1: the score of class 0 of each."""
    table = pd.DataFrame({"key": ["1", "2", "3"], "patient": ["a", "b", "b"], "target": [0, 1, 1]})
    return table.assign(score_0=first, score_1=1 - np.array(first))


def test_predictions_of_records_are_compared_on_one_test_set(tmp_path: Path) -> None:
    put_record(tmp_path, "x", scores(0.9, 0.1, 0.8))
    put_record(tmp_path, "y", scores(0.2, 0.3, 0.4))
    put_record(tmp_path, "z", pd.DataFrame({"key": ["1"], "patient": ["a"], "value_dice": [1.0]}))
    put_record(tmp_path, "x", None, seed=1)
    (votes,) = votes_of_records(tmp_path)
    right = dict(zip(votes.models, votes.correct.tolist(), strict=True))
    assert right == {"x": [True, True, False], "y": [False, True, True]}
    assert votes.target.tolist() == ["head", "chest", "chest"]
    assert votes.title == "body_region, linear, 50 % of the training patients, seed 0"


def test_votes_under_two_conditions_are_two_comparisons(tmp_path: Path) -> None:
    dose = Condition(name="dose", on="test", settings={"share": 0.1})
    for model, plain, dosed in (("x", (0.9, 0.1, 0.1), (0.1, 0.9, 0.9)), ("y", (0.9, 0.1, 0.9), (0.1, 0.9, 0.1))):
        put_record(tmp_path, model, scores(*plain))
        put_record(tmp_path, model, scores(*dosed), condition=dose)
    about = "body_region, linear, 50 % of the training patients"
    found = {
        votes.title: dict(zip(votes.models, votes.correct.tolist(), strict=True))
        for votes in votes_of_records(tmp_path)
    }
    assert found == {
        f"{about}, seed 0": {"x": [True, True, True], "y": [True, True, False]},
        f"{about}, dose on test, share = 0.1, seed 0": {"x": [False, False, False], "y": [False, False, True]},
    }


def test_predictions_lie_beside_the_record_at_any_depth(tmp_path: Path) -> None:
    for model in "xy":
        put_record(tmp_path / "mini", model, scores(0.9, 0.1, 0.1))
    (votes,) = votes_of_records(tmp_path)
    assert votes.correct.all()


def test_comparisons_whose_titles_begin_alike_have_their_own_figures(tmp_path: Path) -> None:
    study = SimpleNamespace(
        settings=SimpleNamespace(resamples=100, seed=0), store=Store(tmp_path, {}), figures=tmp_path / "figures"
    )
    rows, title = [True, False, True], "body_region, linear, 50 % of the training patients, dose on test, share = "
    for share, other in (("0.1", [True, True, True]), ("0.2", [False, True, True])):
        keys, patients = np.array(["1", "2", "3"]), np.array(["a", "b", "c"])
        votes = Votes(title + share, ["x", "y"], np.array([rows, other]), keys, patients, np.full(3, "head"))
        _shown(cast("Study", study), votes, "", [None] * 3)
    assert len(list((tmp_path / "figures").iterdir())) == 2


def test_what_cannot_be_measured_is_kept_and_what_cannot_be_read_is_not(tmp_path: Path) -> None:
    def too_small() -> list[dict[str, float]]:
        raise RadnetError("Too few items", seen=1)

    def damaged() -> list[dict[str, float]]:
        raise RadnetError("Slice 3 cannot be read", file=tmp_path / "ct-000000.tar")

    store = Store(tmp_path, {})
    reason = [{"model": "x", "reason": "Too few items (seen: 1)"}]
    assert store.part("spectrum", {"model": "x"}, too_small) == reason
    assert Store(tmp_path, {}).part("spectrum", {"model": "x"}, list) == reason
    with pytest.raises(RadnetError, match=r"Slice 3 .*ct-000000\.tar"):
        store.part("layers", {"model": "x"}, damaged)
    assert Store(tmp_path, {}).part("layers", {"model": "x"}, lambda: [{"cka": 1.0}]) == [{"cka": 1.0}]
