import time
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from radnet.errors import RadnetError, UsageError
from radnet.transfer.contract import FeatureSplit
from radnet.transfer.linear import LinearProtocol
from radnet.transfer.metrics import METRICS


def split(features: np.ndarray, target: np.ndarray) -> FeatureSplit:
    return FeatureSplit(features.astype(np.float32), target.astype(np.int64), np.full(len(target), "p"))


def blobs(seed: int = 0, *, items: int = 300, classes: int = 3, dimensions: int = 10, apart: float = 0.7):
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=items)
    return apart * rng.normal(size=(classes, dimensions))[target] + rng.normal(size=(items, dimensions)), target


def three(features: np.ndarray, target: np.ndarray, train: int = 100, val: int = 100):
    return (
        split(features[:train], target[:train]),
        split(features[train : train + val], target[train : train + val]),
        features[train + val :].astype(np.float32),
    )


def fit(protocol: LinearProtocol, train: FeatureSplit, val: FeatureSplit, test: np.ndarray, **changes: object):
    return protocol.fit_predict(
        train, val, test, **({"classes": 3, "metric": "balanced_accuracy", "seed": 0} | changes)
    )


def test_chosen_model_is_the_one_that_fits_train_alone_with_the_chosen_strength() -> None:
    train, val, test = three(*blobs())
    result = fit(LinearProtocol(tolerance=1e-8), train, val, test)
    scaler = StandardScaler().fit(train.features)
    alone = LogisticRegression(C=result.selected["C"], tol=1e-8, max_iter=1000)
    alone.fit(scaler.transform(train.features), train.target)
    assert result.scores == pytest.approx(alone.predict_proba(scaler.transform(test)), abs=1e-3)
    assert result.scores.sum(1) == pytest.approx(np.ones(len(test)))


def test_strength_is_the_best_on_validation_and_the_smallest_of_equals() -> None:
    train, val, test = three(*blobs(1))
    selected = fit(LinearProtocol(), train, val, test).selected
    values = selected["val_by_C"]
    assert len(values) == 8
    assert selected["val_balanced_accuracy"] == max(values.values())
    assert selected["C"] == min(float(c) for c, value in values.items() if value == max(values.values()))
    easy = fit(LinearProtocol(), *three(*blobs(1, apart=50))).selected
    assert easy["C"] == min(float(c) for c, value in easy["val_by_C"].items() if value == 1)


def test_each_grid_value_is_honest_for_its_metric() -> None:
    train, val, test = three(*blobs(2))
    selected = fit(LinearProtocol(C=(0.5,), tolerance=1e-8), train, val, test, metric="macro_auroc").selected
    alone = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000)
    scaler = StandardScaler().fit(train.features.astype(np.float64))
    alone.fit(scaler.transform(train.features.astype(np.float64)), train.target)
    score = alone.predict_proba(scaler.transform(val.features.astype(np.float64)))
    assert selected["val_macro_auroc"] == pytest.approx(METRICS["macro_auroc"](val.target, score), abs=1e-4)


def test_test_items_change_neither_choice_nor_each_others_scores() -> None:
    train, val, test = three(*blobs(3))
    whole, part = fit(LinearProtocol(), train, val, test), fit(LinearProtocol(), train, val, test[:7] * 1)
    assert whole.selected == part.selected
    assert whole.scores[:7] == pytest.approx(part.scores, abs=1e-12)


def test_constant_and_huge_features_are_survived() -> None:
    features, target = blobs(4)
    plain = fit(LinearProtocol(), *three(features, target))
    constant = np.concatenate([features, np.full((len(features), 2), 3.7)], axis=1)
    assert fit(LinearProtocol(), *three(constant, target)).scores == pytest.approx(plain.scores, abs=1e-2)
    scaled = fit(LinearProtocol(tolerance=1e-7), *three(features * np.logspace(-6, 6, 10), target))
    exact = fit(LinearProtocol(tolerance=1e-7), *three(features, target))
    assert scaled.scores == pytest.approx(exact.scores, abs=1e-3)
    nothing = fit(LinearProtocol(), *three(np.ones_like(features), target))
    assert np.isfinite(nothing.scores).all()
    assert np.ptp(nothing.scores, axis=0) == pytest.approx(np.zeros(3)), "no information, one answer for all"


def test_class_missing_in_train_is_never_predicted_and_named() -> None:
    features, target = blobs(5)
    train, val, test = three(features, target)
    kept = train.target != 1
    train = split(train.features[kept], train.target[kept])
    result = fit(LinearProtocol(), train, val, test)
    assert (result.scores[:, 1] == 0).all()
    assert result.scores.sum(1) == pytest.approx(np.ones(len(test)))
    assert result.selected["classes_missing_in_train"] == [1]
    assert "classes_missing_in_val" not in result.selected


def test_class_missing_in_validation_has_no_say() -> None:
    train, val, test = three(*blobs(6))
    kept = val.target != 2
    result = fit(LinearProtocol(), train, split(val.features[kept], val.target[kept]), test)
    assert result.selected["classes_missing_in_val"] == [2]
    assert result.scores[:, 2].max() > 0


def test_two_classes_and_classes_beyond_those_seen() -> None:
    features, target = blobs(7, classes=2)
    result = fit(LinearProtocol(), *three(features, target), classes=2)
    assert result.scores.shape == (100, 2)
    assert (result.scores.argmax(1) == target[200:]).mean() > 0.7


def test_fit_that_stops_early_is_counted_not_shouted() -> None:
    train, val, test = three(*blobs(8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selected = fit(LinearProtocol(max_iter=1), train, val, test).selected
        assert len(selected["not_converged"]) >= 3
        assert fit(LinearProtocol(), train, val, test).selected["not_converged"] == []


def test_what_cannot_be_fitted_is_a_clear_error() -> None:
    train, val, test = three(*blobs(9))
    nobody = split(np.zeros((0, 10)), np.zeros(0))
    with pytest.raises(UsageError, match="validation split, which is empty"):
        fit(LinearProtocol(), train, nobody, test)
    with pytest.raises(UsageError, match="training split is empty"):
        fit(LinearProtocol(), nobody, val, test)
    with pytest.raises(RadnetError, match="one class only"):
        fit(LinearProtocol(), split(train.features, np.ones(100)), val, test)
    with pytest.raises(RadnetError, match="undefined on the validation split"):
        fit(LinearProtocol(), train, split(val.features, np.ones(100)), test, metric="macro_auroc")
    with pytest.raises(UsageError, match="Did you mean accuracy"):
        fit(LinearProtocol(), train, val, test, metric="acuracy")
    with pytest.raises(UsageError, match="beyond the task's 2 classes"):
        fit(LinearProtocol(), train, val, test, classes=2)


@pytest.mark.parametrize(
    "wrong", [{"C": ()}, {"C": (0.0,)}, {"C": (float("nan"),)}, {"max_iter": 0}, {"tolerance": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LinearProtocol(**wrong)


def test_four_thousand_items_take_seconds() -> None:
    features, target = blobs(10, items=6000, classes=20, dimensions=512, apart=0.15)
    train, val, test = three(features, target, train=4000, val=1000)
    started_s = time.process_time()
    result = fit(LinearProtocol(), train, val, test, classes=20)
    assert time.process_time() - started_s < 15, "about 1 s on one idle core"
    assert (result.scores.argmax(1) == target[5000:]).mean() > 0.4
