"""Linear probe: multinomial logistic regression on standardised frozen features.

The regularisation is chosen on the validation split by the task's primary metric; the test items are scored once,
by the chosen model. The probe is not fitted again on train and validation together: the number of training items
stays the one that the record states, and a task with a large validation split gains nothing that kNN does not have.

The solver is scikit-learn's L-BFGS. Fits go from strong to weak regularisation, each from the weights of the one
before, which gives the whole grid for the price of a few fits. At scikit-learn's tolerance (1e-4) the weakest
regularisations stop before their optimum, near the fit before them: a mild early stopping, always the same for the
same data.

Shape legend: N items, D feature dimensions, K classes.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from radnet.errors import RadnetError, UsageError, did_you_mean
from radnet.transfer.contract import (
    FeatureProtocol,
    Features,
    FeatureSplit,
    ProtocolResult,
    check_inputs,
    missing_classes,
)
from radnet.transfer.metrics import METRICS

STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 4))
"""Default grid of C: inverse regularisation, from strong to weak."""


@dataclass(frozen=True)
class LinearProtocol(FeatureProtocol):
    """The linear probe.

    Attributes:
        C: Grid of inverse regularisation strengths (scikit-learn's `C`), kept in ascending order.
        max_iter: Most L-BFGS iterations of one fit; a fit that needs more is counted in `selected`.
        tolerance: Largest gradient component at which a fit counts as converged.
    """

    name: ClassVar[str] = "linear"

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
        object.__setattr__(self, "C", tuple(sorted({float(c) for c in self.C})))

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
        if len(np.unique(train.target)) < 2:
            raise RadnetError(
                "The training split holds items of one class only, so no linear probe can be fitted",
                seen=int(train.target[0]),
                fix="Raise the fraction, or use another seed for the subset",
            )
        with threadpool_limits(limits=self.threads):
            return self._fit_predict(train, val, test_features, classes=classes, metric=metric)

    def _fit_predict(
        self,
        train: FeatureSplit,
        val: FeatureSplit,
        test_features: Features,
        *,
        classes: int,
        metric: str,
    ) -> ProtocolResult:
        scaler = StandardScaler()
        train_x = scaler.fit_transform(np.asarray(train.features, dtype=np.float64))
        val_x = scaler.transform(np.asarray(val.features, dtype=np.float64))
        model = LogisticRegression(max_iter=self.max_iter, tol=self.tolerance, warm_start=True)
        best: tuple[float, float, NDArray[np.float64], NDArray[np.float64]] | None = None
        val_by_strength: list[float] = []
        not_converged: list[float] = []
        for strength in self.C:
            model.set_params(C=strength)
            if not _fit(model, train_x, train.target):
                not_converged.append(strength)
            value = METRICS[metric](val.target, _scores(model, val_x, classes))
            val_by_strength.append(value)
            if best is None or value > best[1]:
                best = (strength, value, model.coef_.copy(), model.intercept_.copy())
        if best is None or not math.isfinite(best[1]):
            raise RadnetError(
                f"The metric {metric!r} is undefined on the validation split (does it hold one class only?)",
                fix="Use a task with validation items of at least two classes, or metric=balanced_accuracy",
            )
        strength, value, model.coef_, model.intercept_ = best
        scores = _scores(model, scaler.transform(np.asarray(test_features, dtype=np.float64)), classes)
        selected: dict[str, Any] = {
            "C": strength,
            f"val_{metric}": value,
            "val_by_C": dict(zip([f"{c:g}" for c in self.C], val_by_strength, strict=True)),
            "not_converged": not_converged,
        }
        for name, split in (("train", train), ("val", val)):
            if missing := missing_classes(split, classes):
                selected[f"classes_missing_in_{name}"] = missing
        return ProtocolResult(scores, selected)


def _fit(model: LogisticRegression, features: NDArray[np.float64], target: NDArray[np.int64]) -> bool:
    """Fit in place; whether the solver converged. Other warnings are passed on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features, target)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return converged


def _scores(model: LogisticRegression, features: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Class probabilities, float64, shape (N, K); 0 for a class that the model has not seen."""
    scores = np.zeros((len(features), classes))
    scores[:, model.classes_] = model.predict_proba(features)
    return scores
