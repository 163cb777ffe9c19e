import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

from radnet.errors import UsageError
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
        library = reference.roc_auc_score if name == "macro_auroc" else reference.average_precision_score
        areas = [
            library(target == column, score[:, column], sample_weight=weight)
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
    if not METRICS[name].multi_label:
        assert METRICS[name](target, np.eye(3)[(target + 1) % 3]) == 0
    # Average precision has no zero: the 2 of 6 looked for come last and together, at a precision of 2 / 6.
    worst = 2 / 6 if name == "macro_average_precision" else 0
    assert METRICS[name](target % 2, np.eye(2)[1 - target % 2]) == worst


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


def findings(seed: int, *, items: int = 90, classes: int = 5, ties: bool = False):
    """Several labels an item, rare ones too."""
    rng = np.random.default_rng(seed)
    target = (rng.random((items, classes)) < np.linspace(0.05, 0.5, classes)).astype(np.int64)
    target[:classes] |= np.eye(classes, dtype=np.int64)
    target[classes] = 0
    score = np.clip(rng.random((items, classes)) + 0.3 * target, 0, 1)
    return target, np.round(score, 1) if ties else score


@pytest.mark.parametrize("ties", [False, True])
def test_several_labels_an_item_agree_with_scikit_learn_torchmetrics_and_a_slow_loop(ties: bool) -> None:
    target, score = findings(0, ties=ties)
    truth, guess = torch.from_numpy(target), torch.from_numpy(score)
    auroc, precision = METRICS["macro_auroc"](target, score), METRICS["macro_average_precision"](target, score)
    assert auroc == pytest.approx(reference.roc_auc_score(target, score, average="macro"), abs=1e-12)
    assert precision == pytest.approx(reference.average_precision_score(target, score, average="macro"), abs=1e-12)
    assert auroc == pytest.approx(float(multilabel_auroc(guess, truth, 5)), abs=1e-6)
    assert precision == pytest.approx(float(multilabel_average_precision(guess, truth, 5)), abs=1e-6)
    slow = []
    for labels, ranks in zip(target.T, score.T, strict=True):
        at = [labels[ranks >= ranks[item]].mean() for item in np.flatnonzero(labels)]
        slow.append(np.mean(at))
    assert precision == pytest.approx(np.mean(slow), abs=1e-12)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.multi_label])
def test_weights_of_findings_are_copies_and_a_class_without_positives_is_left_out(name: str) -> None:
    target, score = findings(1)
    weight = np.random.default_rng(2).integers(0, 3, size=len(target)).astype(float)
    copies = np.repeat(np.arange(len(target)), weight.astype(int))
    assert METRICS[name](target, score, weight) == pytest.approx(METRICS[name](target[copies], score[copies]))
    target[:, 2] = 0
    others = [0, 1, 3, 4]
    assert METRICS[name](target, score) == pytest.approx(METRICS[name](target[:, others], score[:, others]))


@pytest.mark.parametrize("name", METRICS)
def test_macro_metrics_are_the_mean_of_what_they_say_of_each_class(name: str) -> None:
    target, score, weight = case(4)
    each = METRICS[name].class_statistics(target, score, ["a", "b", "c", "d"])
    if name == "accuracy":
        assert each == {}
        return
    values = [float(statistic(weight[None])[0]) for statistic in each.values()]
    assert np.mean(values) == pytest.approx(METRICS[name](target, score, weight))
    assert [key.split("/")[1] for key in each] == ["a", "b", "c", "d"]
    if METRICS[name].multi_label:
        two = METRICS[name].class_statistics(target % 2, score[:, :2], ["no", "yes"])
        assert [key.split("/")[1] for key in two] == ["yes"]


def test_metrics_of_the_predicted_class_refuse_several_labels() -> None:
    target, score = findings(3)
    with pytest.raises(UsageError, match="macro_auroc, macro_average_precision"):
        METRICS["accuracy"](target, score)
    with pytest.raises(ValueError, match="target"):
        METRICS["macro_auroc"](target[:, :3], score)
    with pytest.raises(ValueError, match="target"):
        METRICS["macro_auroc"](target * 2, score)


def test_average_precision_without_a_negative_is_one_and_without_a_positive_undefined() -> None:
    score = np.random.default_rng(5).random((6, 1))
    assert METRICS["macro_average_precision"](np.ones((6, 1), dtype=int), score) == 1
    assert np.isnan(METRICS["macro_average_precision"](np.zeros((6, 1), dtype=int), score))
