"""Contract tests: whatever the registry holds."""

import json

import numpy as np
import pytest

from radnet.errors import RadnetError, UsageError
from radnet.transfer.protocols import PROTOCOLS, FeatureProtocol, FeatureSplit, build_protocol

ON_FEATURES = [name for name, kind in PROTOCOLS.items() if issubclass(kind, FeatureProtocol)]


def three(seed: int = 0, *, classes: int = 3):
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(classes), rng.integers(classes, size=180 - classes)])
    features = (3 * np.eye(classes, 6)[target] + rng.normal(size=(180, 6))).astype(np.float32)
    patients = np.array([f"p{number // 3}" for number in range(180)])
    train, val = (FeatureSplit(features[part], target[part], patients[part]) for part in (np.s_[:60], np.s_[60:120]))
    return train, val, features[120:], target[120:]


def run(protocol, train, val, test, **changes):
    return protocol.fit_predict(
        train, val, test, **({"classes": 3, "metric": "balanced_accuracy", "seed": 0} | changes)
    )


@pytest.mark.parametrize("name", ON_FEATURES)
def test_learns_what_is_there_to_learn(name: str) -> None:
    train, val, test, target = three()
    result = run(build_protocol(name, {}), train, val, test)
    assert result.scores.shape == (60, 3)
    assert result.scores.dtype == np.float64
    assert result.scores.sum(1) == pytest.approx(np.ones(60))
    assert (result.scores.argmax(1) == target).mean() > 0.8
    assert json.loads(json.dumps(result.selected)) == result.selected


@pytest.mark.parametrize("name", ON_FEATURES)
def test_same_input_same_output_and_input_untouched(name: str) -> None:
    train, val, test, _ = three(1)
    copies = [array.copy() for array in (train.features, val.features, test)]
    first, second = (run(build_protocol(name, {}), train, val, test) for _ in range(2))
    assert first.scores.tolist() == second.scores.tolist()
    assert first.selected == second.selected
    for array, copy in zip((train.features, val.features, test), copies, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("name", ON_FEATURES)
def test_empty_train_or_test_is_refused(name: str) -> None:
    train, val, test, _ = three(2)
    nobody = FeatureSplit(train.features[:0], train.target[:0], train.patients[:0])
    with pytest.raises(UsageError, match="test split is empty"):
        run(build_protocol(name, {}), train, val, test[:0])
    with pytest.raises(UsageError, match="training split is empty"):
        run(build_protocol(name, {}), nobody, val, test)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_settings_build_the_same_protocol_again(name: str) -> None:
    protocol = build_protocol(name, {})
    assert protocol.name == name
    again = build_protocol(name, json.loads(json.dumps(protocol.settings())))
    assert again == protocol
    assert again.hash() == protocol.hash()
    assert len(protocol.hash()) == 64


@pytest.mark.parametrize("name", PROTOCOLS)
def test_threads_are_no_setting(name: str) -> None:
    assert "threads" not in build_protocol(name, {}).settings()
    assert build_protocol(name, {}, threads=2).hash() == build_protocol(name, {}).hash()
    with pytest.raises(UsageError, match="threads"):
        build_protocol(name, {"threads": 2})


@pytest.mark.parametrize("name", ON_FEATURES)
def test_features_that_are_not_finite_are_refused(name: str) -> None:
    train, val, test, _ = three(3)
    broken = test.copy()
    broken[4, 2] = np.nan
    with pytest.raises(RadnetError, match="NaN or infinite for 1 of 60"):
        run(build_protocol(name, {}), train, val, broken)


def test_hashes_differ_between_protocols_and_settings() -> None:
    hashes = {
        build_protocol(name, settings).hash()
        for name, settings in (("knn", {}), ("knn", {"k": 5}), ("knn", {"temperature": 1}), ("linear", {}))
    }
    assert len(hashes) == 4
    # The golden value: when it changes, no new result can be compared with an old one.
    assert build_protocol("knn").hash().startswith("d315cce91f80ee9b")
    assert build_protocol("linear").hash().startswith("53a561079bacc0c0")


def test_what_is_only_reported_beside_the_result_keeps_it_comparable() -> None:
    assert build_protocol("knn", {"more_k": [50]}).hash() == build_protocol("knn").hash()
    assert build_protocol("knn", {"more_k": [50]}).settings()["more_k"] == [50]


def test_order_and_form_of_the_grid_do_not_matter() -> None:
    assert build_protocol("linear", {"C": [1, 0.1, 1.0]}) == build_protocol("linear", {"C": (0.1, 1.0)})
    assert build_protocol("linear", {"C": 1}).settings()["C"] == [1.0]
    assert build_protocol("knn", {"temperature": 1}).hash() == build_protocol("knn", {"temperature": 1.0}).hash()


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("kn", {}, "Did you mean knn"),
        ("finetuning", {}, "Did you mean finetune"),
        ("finetune", {"epochs": 2.5}, "a whole number"),
        ("finetune", {"lr": []}, "lr must be positive"),
        ("finetune", {"layer_decay": 0}, "layer_decay"),
        ("finetune", {"crop_scale": [0.5]}, "a range"),
        ("finetune", {"crop_scale": [0.9, 0.5]}, "a rising range"),
        ("knn", {"more_k": [10.5]}, "a list of whole numbers"),
        ("paper-finetune", {"cell": "R1"}, "Did you mean R"),
        ("paper-finetune", {"epochs": -1}, "at least 0"),
        ("knn", {"temprature": 0.1}, "Did you mean temperature"),
        ("knn", {"k": 2.5}, "a whole number"),
        ("knn", {"k": True}, "a whole number"),
        ("knn", {"k": "20"}, "a whole number"),
        ("knn", {"temperature": "hot"}, "a number"),
        ("knn", {"similarity": 3}, "text"),
        ("linear", {"C": "auto"}, "a list of numbers"),
        ("linear", {"C": [1, "2"]}, "a list of numbers"),
        ("linear", {"C": [-1]}, "positive"),
    ],
)
def test_wrong_names_and_values_say_what_would_be_right(name: str, settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build_protocol(name, settings)


@pytest.mark.parametrize(
    "change",
    [
        {"features": np.zeros((3, 2))},
        {"features": np.zeros(3, dtype=np.float32)},
        {"target": np.zeros(2, dtype=np.int64)},
        {"target": np.zeros(3, dtype=np.int32)},
        {"target": np.array([0, -1, 0])},
        {"target": np.array([[0, 1], [2, 0], [0, 0]])},
        {"patients": np.array(["a", "b"])},
        {"patients": np.array([1, 2, 3])},
    ],
)
def test_split_refuses_arrays_that_do_not_fit(change: dict[str, np.ndarray]) -> None:
    good = {
        "features": np.zeros((3, 2), dtype=np.float32),
        "target": np.zeros(3, dtype=np.int64),
        "patients": np.array(["a", "b", "c"]),
    }
    assert len(FeatureSplit(**good)) == 3
    with pytest.raises(ValueError, match=r"features|target|patients"):
        FeatureSplit(**(good | change))


def test_labels_of_both_forms_and_of_other_classes_are_refused() -> None:
    train, val, test, _ = three(4)
    findings = np.zeros((60, 3), dtype=np.int64)
    with pytest.raises(UsageError, match="one class an item and others several"):
        run(build_protocol("knn"), FeatureSplit(train.features, findings, train.patients), val, test)
    wide = FeatureSplit(train.features, np.zeros((60, 4), dtype=np.int64), train.patients)
    with pytest.raises(UsageError, match="labels of 4 classes, the task has 3"):
        run(build_protocol("knn"), wide, wide, test)
