"""Linear probe: logistic regression on standardised frozen features.

One class an item: multinomial. Several: one classifier a class against the rest, all with the same regularisation.
The regularisation is chosen on the validation split by the task's primary metric; the test items are scored once,
by the chosen model. The probe is not fitted again on train and validation together: the number of training items
stays the one that the record states, and a task with a large validation split gains nothing that kNN does not have.

`radnet.transfer.logistic` says how the grid is fitted at the price of a few fits, on features that may be far larger
than memory.

Shape legend: N items, D feature dimensions, K classes.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from threadpoolctl import threadpool_limits

from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.transfer.contract import FeatureProtocol, FeatureSplit, ProtocolResult, check_inputs, missing_classes
from radnet.transfer.logistic import fit_path, logits_of
from radnet.transfer.metrics import METRICS
from radnet.transfer.splits import Features

STRENGTHS = tuple(10.0**exponent for exponent in np.linspace(-6, 3, 13).tolist())
"""Default grid of C: inverse regularisation, from strong to weak, four values in three decades."""


@dataclass(frozen=True)
class LinearProtocol(FeatureProtocol):
    """The linear probe.

    Attributes:
        C: Grid of inverse regularisation strengths (scikit-learn's `C`), kept in ascending order.
        max_iter: Most L-BFGS iterations of one fit; a fit that needs more is counted in `selected`.
        tolerance: Largest component of the preconditioned gradient at which a fit counts as converged.
    """

    name: ClassVar[str] = "linear"
    REVISION: ClassVar[int] = 2  # 2: fits go to their optimum instead of stopping on the way

    C: tuple[float, ...] = STRENGTHS
    max_iter: int = 1000
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.C or not all(math.isfinite(c) and c > 0 for c in self.C):
            raise UsageError("C must be a list of positive numbers", seen=self.C, fix="Set C to [0.01, 1, 100]")
        if self.max_iter < 1:
            raise UsageError("max_iter must be at least 1", seen=self.max_iter, fix="Set max_iter to 1000")
        if not self.tolerance > 0:
            raise UsageError("tolerance must be positive", seen=self.tolerance, fix="Set tolerance to 0.0001")
        object.__setattr__(self, "C", tuple(sorted({float(f"{c:.6g}") for c in self.C})))

    def fit_predict(
        self,
        train: FeatureSplit,
        val: FeatureSplit,
        test_features: Features,
        *,
        classes: int,
        metric: str,
        seed: int,
    ) -> ProtocolResult:
        """Fit every C on `train`, keep the best on `val`, score the test items with it; `seed` is not used.

        Of equally good values the smallest C (the strongest regularisation) is kept. A constant feature becomes 0. A
        class without training items has score 0 everywhere; one without validation items has no say in the choice.

        Returns:
            The scores, and in `selected`: "C", "val_METRIC", "val_by_C" (one value for each C of the grid),
            "not_converged" (the C whose fit stopped early), and the classes missing in train or val, if any.

        Raises:
            UsageError: The validation split is empty, or the metric unknown.
            RadnetError: The training split holds one class only, or the metric is undefined on validation.
        """
        check_inputs(train, val, test_features, classes)
        if metric not in METRICS:
            raise UsageError(f"Unknown metric {metric!r}", fix=did_you_mean(metric, METRICS))
        if not len(val):
            raise UsageError(
                "The linear probe chooses its regularisation on the validation split, which is empty",
                fix="Build the set with other --split-fractions, or use protocol=knn, which chooses nothing",
            )
        with threadpool_limits(limits=self.threads):
            return self._fit_predict(train, val, test_features, Columns.of(train, classes), metric)

    def _fit_predict(
        self, train: FeatureSplit, val: FeatureSplit, test_features: Features, columns: "Columns", metric: str
    ) -> ProtocolResult:
        standardise, fits = fit_path(
            train.features,
            columns.truth,
            strengths=self.C,
            exclusive=columns.exclusive,
            max_iter=self.max_iter,
            tolerance=self.tolerance,
        )
        val_logits = logits_of(val.features, standardise, [fit.weights for fit in fits])
        values = [METRICS[metric](val.target, columns.scores(logits)) for logits in val_logits]
        if not math.isfinite(values[0]):
            raise RadnetError(
                f"The metric {metric!r} is undefined on the validation split (does it hold one class only?)",
                fix="Use a task with validation items of at least two classes, or task.metric=balanced_accuracy",
            )
        best = int(np.argmax(values))  # the first of equal ones: the strongest regularisation
        scores = columns.scores(logits_of(test_features, standardise, [fits[best].weights])[0])
        selected: dict[str, Any] = {
            "C": self.C[best],
            f"val_{metric}": values[best],
            "val_by_C": dict(zip([f"{c:g}" for c in self.C], values, strict=True)),
            "not_converged": [fit.strength for fit in fits if not fit.converged],
        }
        for name, split in (("train", train), ("val", val)):
            if missing := missing_classes(split, columns.classes):
                selected[f"classes_missing_in_{name}"] = missing
        return ProtocolResult(scores, selected)


@dataclass(frozen=True)
class Columns:
    """Which classes a classifier learns to tell apart, and how its logits become scores.

    Attributes:
        truth: 0 and 1 of each column of weights, int64, (N, C).
        exclusive: Whether the columns are classes of which exactly one is right.
        learned: Class number of each logit that becomes a score. One column for two exclusive classes: both.
        always: Class numbers that every training item has (several labels an item only).
        classes: Number of classes K.
    """

    truth: NDArray[np.int64]
    exclusive: bool
    learned: NDArray[np.int64]
    always: NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, train: FeatureSplit, classes: int) -> "Columns":
        """Those that the training items make.

        Raises:
            RadnetError: No class can be told from another.
        """
        target, nobody = train.target, np.zeros(0, dtype=np.int64)
        if train.multi_label:
            share = target.mean(0)
            learned = np.flatnonzero((share > 0) & (share < 1))
            if not len(learned):
                raise RadnetError(
                    "No class is there in some training items and absent in others, so no probe can be fitted",
                    seen={"items": len(train), "classes": classes},
                    fix="Raise the fraction, or use another seed for the subset",
                )
            return cls(target[:, learned], False, learned, np.flatnonzero(share == 1), classes)
        learned = np.unique(target)
        if len(learned) < 2:
            raise RadnetError(
                "The training split holds items of one class only, so no linear probe can be fitted",
                seen=int(target[0]),
                fix="Raise the fraction, or use another seed for the subset",
            )
        if len(learned) == 2:
            return cls((target == learned[1]).astype(np.int64)[:, None], False, learned, nobody, classes)
        return cls((target[:, None] == learned).astype(np.int64), True, learned, nobody, classes)

    def scores(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Class probabilities, float64, (N, K); 0 for a class that no training item has, 1 for one that all have."""
        scores = np.zeros((len(logits), self.classes))
        if self.exclusive:
            scores[:, self.learned] = softmax(logits, axis=1)
        elif len(self.learned) == logits.shape[1]:
            scores[:, self.learned] = expit(logits)
            scores[:, self.always] = 1
        else:
            scores[:, self.learned] = np.concatenate([expit(-logits), expit(logits)], axis=1)
        return scores
