import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from radnet.transfer.metrics import METRICS


def case(seed: int, *, items: int = 60, classes: int = 4, ties: bool = False):
    """Scores better than chance; every class is there."""
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(classes), rng.integers(classes, size=items - classes)])
    score = rng.random((items, classes))
    score[np.arange(items), target] += 0.4
    score /= score.sum(1, keepdims=True)
    return target, np.round(score, 1) if ties else score, rng.integers(0, 4, size=items).astype(float)


def expected(name: str, target, score, weight) -> float:
    """The same number from scikit-learn, on the items that have weight."""
    kept = weight > 0
    target, score, weight = target[kept], score[kept], weight[kept]
    predicted = score.argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "accuracy":
            return reference.accuracy_score(target, predicted, sample_weight=weight)
        if name == "balanced_accuracy":
            return reference.balanced_accuracy_score(target, predicted, sample_weight=weight)
        if name == "macro_f1":
            there = np.unique(target)
            return reference.f1_score(target, predicted, labels=there, average="macro", sample_weight=weight)
        areas = [
            reference.roc_auc_score(target == column, score[:, column], sample_weight=weight)
            for column in ([1] if score.shape[1] == 2 else np.unique(target))
        ]
        return float(np.mean(areas))


@pytest.mark.parametrize("name", METRICS)
@given(
    seed=st.integers(0, 10_000),
    classes=st.integers(2, 6),
    ties=st.booleans(),
    items=st.integers(20, 80),
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_scikit_learn(name: str, seed: int, classes: int, ties: bool, items: int) -> None:
    target, score, weight = case(seed, items=items, classes=classes, ties=ties)
    weight[:classes] += 1
    assert METRICS[name](target, score, weight) == pytest.approx(expected(name, target, score, weight), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_many_weightings_at_once_equal_one_at_a_time(name: str) -> None:
    target, score, _ = case(1)
    weights = np.random.default_rng(2).integers(0, 3, size=(7, len(target))).astype(float)
    together = METRICS[name].statistic(target, score)(weights)
    assert together == pytest.approx([METRICS[name](target, score, weight) for weight in weights], abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_weight_two_is_the_item_twice_and_weight_zero_its_absence(name: str) -> None:
    target, score, weight = case(3)
    copies = np.repeat(np.arange(len(target)), weight.astype(int))
    assert METRICS[name](target, score, weight) == pytest.approx(METRICS[name](target[copies], score[copies]))


@pytest.mark.parametrize("name", METRICS)
def test_perfect_is_one_and_always_wrong_is_zero(name: str) -> None:
    target = np.array([0, 1, 2, 0, 1, 2])
    assert METRICS[name](target, np.eye(3)[target]) == 1
    if name != "macro_auroc":
        assert METRICS[name](target, np.eye(3)[(target + 1) % 3]) == 0
    assert METRICS[name](target % 2, np.eye(2)[1 - target % 2]) == 0


def test_class_without_weight_is_left_out_of_the_mean() -> None:
    target = np.array([0, 0, 1, 2])
    score = np.eye(3)[[0, 1, 1, 0]]
    weight = np.array([1.0, 1, 1, 0])
    assert METRICS["balanced_accuracy"](target, score, weight) == pytest.approx((0.5 + 1) / 2)
    assert METRICS["balanced_accuracy"](target, score) == pytest.approx((0.5 + 1 + 0) / 3)


def test_class_that_is_only_predicted_has_no_f1_of_its_own() -> None:
    # Class 1 is not there; its false alarm counts against class 0 alone.
    assert METRICS["macro_f1"](np.array([0, 0]), np.eye(2)[[0, 1]]) == pytest.approx(2 / 3)


def test_constant_score_has_area_one_half() -> None:
    target = np.array([0, 1, 2, 0, 1])
    assert METRICS["macro_auroc"](target, np.full((5, 3), 1 / 3)) == pytest.approx(0.5)


def test_undefined_is_nan_not_a_number_that_looks_fine() -> None:
    one_class = np.zeros(4, dtype=np.int64)
    assert np.isnan(METRICS["macro_auroc"](one_class, np.eye(2)[one_class]))
    for metric in METRICS.values():
        assert np.isnan(metric(np.array([0, 1]), np.eye(2), np.zeros(2)))


@pytest.mark.parametrize(
    ("target", "score"),
    [
        (np.array([0, 1]), np.eye(3)),
        (np.array([0, 3, 1]), np.eye(3)),
        (np.array([0, -1, 1]), np.eye(3)),
        (np.array([0, 1, 2]), np.full((3, 3), np.nan)),
        (np.array([[0, 1, 2]]), np.eye(3)),
    ],
)
def test_inputs_that_do_not_fit_are_refused(target: np.ndarray, score: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"target|score"):
        METRICS["accuracy"](target, score)
