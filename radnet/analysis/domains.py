"""Where one domain ends and another begins: can a probe tell them apart, do neighbours mix, does a probe carry over.

Shape legend: N items, D feature dimensions, K classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radnet.analysis.arrays import Floats, checked, labelled
from radnet.analysis.neighbours import nearest_neighbours
from radnet.analysis.significance import Estimate
from radnet.errors import RadnetError
from radnet.transfer.metrics import METRICS
from radnet.transfer.statistics import Statistic, patient_draws, percentile_interval

FOLDS = 5
EVIDENCE = 10.0
"""C of the logistic probe times the number of items: weak evidence of a thousand standardised features must not be
believed at once, and a small set must not be held back more than a large one."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Boundary:
    """How well two domains can be told apart.

    Attributes:
        auc: Of the domain classifier, with its interval over patients.
        a_distance: Proxy A-distance, in [0, 2], with its interval.
        error: Balanced error of the classifier.
        folds: Folds of the cross-validation.
        shared_patients: Patients who are in both domains; they are never on both sides of a fold.
    """

    auc: Estimate
    a_distance: Estimate
    error: float
    folds: int
    shared_patients: int


def domain_boundary(
    a: NDArray[Any],
    b: NDArray[Any],
    patients_a: NDArray[Any],
    patients_b: NDArray[Any],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Boundary:
    """Domain classifier AUC and proxy A-distance of two domains.

    A logistic regression on standardised features tells the domains apart; every score comes from a fold whose
    patients it was not trained on. The proxy A-distance is 2 (1 - 2 e) with the balanced error e, cut at 0 (Ben-David
    et al. 2007, NeurIPS, "Analysis of representations for domain adaptation"): 0 where nothing tells them apart, 2
    where one look does. Intervals resample the patients of each domain.

    Args:
        a: (N_a, D), floating.
        b: (N_b, D), floating.
        patients_a: Patient of each item of `a`.
        patients_b: Patient of each item of `b`.
        resamples: Bootstrap resamples.
        seed: Of the folds and the bootstrap.

    Raises:
        RadnetError: A domain has fewer than 2 patients, or a feature is not finite.
    """
    features = np.concatenate([checked(a), checked(b)])
    patients = np.concatenate([np.asarray(patients_a, dtype=np.str_), np.asarray(patients_b, dtype=np.str_)])
    target = np.repeat([0, 1], [len(a), len(b)]).astype(np.int64)
    counts = [len(np.unique(patients[target == side])) for side in (0, 1)]
    shared = len(np.intersect1d(patients[target == 0], patients[target == 1]))
    scores, folds = out_of_fold(features, target, patients, seed=seed)
    whole, drawn = [], []
    for name in ("macro_auroc", "balanced_accuracy"):
        value, values = _two_sided_bootstrap(METRICS[name].statistic(target, scores), target, patients, resamples, seed)
        whole.append(value)
        drawn.append(values)
    auc = percentile_interval(whole[0], drawn[0], patients=min(counts))
    error = 1 - whole[1]
    distance = percentile_interval(_a_distance(whole[1]), _a_distance(drawn[1]), patients=min(counts))
    return Boundary(
        Estimate(auc.value, auc.low, auc.high),
        Estimate(distance.value, distance.low, distance.high),
        error,
        folds,
        shared,
    )


def _a_distance(balanced_accuracy: Any) -> Any:
    """2 (1 - 2 e) with e = 1 - accuracy, not below 0."""
    return np.maximum(4 * balanced_accuracy - 2, 0)


def probe(features: NDArray[Any], target: NDArray[np.int64], *, seed: int = 0) -> Any:
    """A fitted linear probe: standardised features, strongly regularised, classes of equal weight.

    Args:
        features: (N, D), floating.
        target: Class numbers, int64, (N,).
        seed: Of the solver.
    """
    strength = EVIDENCE / len(features)
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, random_state=seed)
    return make_pipeline(StandardScaler(), regression).fit(features, target)


def out_of_fold(
    features: NDArray[Any], target: NDArray[np.int64], patients: NDArray[Any], *, seed: int = 0
) -> tuple[Floats, int]:
    """Class scores of every item from a probe that has seen none of its patient's items.

    Args:
        features: (N, D), floating.
        target: Class numbers 0…K-1, int64, (N,); every class has items.
        patients: Patient of each item, (N,).
        seed: Of the folds.

    Returns:
        Scores, float64, (N, K), and the number of folds: 5, or the smallest number of patients of a class.

    Raises:
        RadnetError: A class has fewer than 2 patients.
    """
    classes = int(target.max()) + 1
    fewest = min(len(np.unique(patients[target == number])) for number in range(classes))
    if fewest < 2:
        raise RadnetError("A probe that is tested on other patients needs two patients of each side", seen=fewest)
    folds = min(FOLDS, fewest)
    scores = np.full((len(target), classes), np.nan)
    with_groups = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in with_groups.split(features, target, patients):
        present = np.unique(target[train])
        if len(present) < classes:
            continue  # one patient who holds nearly a class: its fold teaches nothing about that class
        scores[test] = probe(features[train], target[train], seed=seed).predict_proba(features[test])
    scores[np.isnan(scores)] = 1 / classes
    return scores, folds


def _two_sided_bootstrap(
    statistic: Statistic, side: NDArray[np.int64], patients: NDArray[Any], resamples: int, seed: int
) -> tuple[float, Floats]:
    """A statistic of all items, and of resamples that draw the patients of each side on their own."""
    weights = np.empty((resamples, len(side)))
    for number in np.unique(side):
        rows = np.flatnonzero(side == number)
        names, patient = np.unique(patients[rows], return_inverse=True)
        weights[:, rows] = patient_draws(len(names), resamples=resamples, seed=seed + int(number))[:, patient]
    values = np.concatenate([statistic(weights[start : start + 100]) for start in range(0, resamples, 100)])
    return float(statistic(np.ones((1, len(side))))[0]), values


def mixing_entropy(
    a: NDArray[Any],
    b: NDArray[Any],
    patients_a: NDArray[Any],
    patients_b: NDArray[Any],
    *,
    k: int = 20,
    seed: int = 0,
) -> float:
    """How evenly both domains are found among the neighbours of an item, 1 for perfectly mixed, 0 for apart.

    Mean over items of the entropy, in bits, of the share of either domain among the k nearest items of other patients
    (as in Haghverdi et al. 2018, Nature Biotechnology 36, for batches of cells). The larger domain is thinned to the
    size of the smaller one first, so that chance gives nearly 1.

    Args:
        a: (N_a, D), floating.
        b: (N_b, D), floating.
        patients_a: Patient of each item of `a`.
        patients_b: Patient of each item of `b`.
        k: Neighbours, fewer where there are fewer items.
        seed: Of the thinning.

    Returns:
        In [0, 1]; NaN where nobody has a neighbour of another patient.
    """
    generator = np.random.default_rng(seed)
    size = min(len(a), len(b))
    chosen = [np.sort(generator.permutation(len(side))[:size]) for side in (a, b)]
    features = np.concatenate([a[chosen[0]], b[chosen[1]]])
    patients = np.concatenate(
        [np.asarray(patients_a, dtype=np.str_)[chosen[0]], np.asarray(patients_b, dtype=np.str_)[chosen[1]]]
    )
    neighbour = nearest_neighbours(features, k, groups=patients)[1]
    there = neighbour >= 0
    count = there.sum(1)
    share = ((neighbour >= size) & there).sum(1)[count > 0] / count[count > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(p > 0, -p * np.log2(p), 0) for p in (share, 1 - share)]
    return float((terms[0] + terms[1]).mean()) if len(share) else float("nan")


@dataclass(frozen=True)
class Gap:
    """What a probe loses when it crosses from one domain to another.

    Attributes:
        at_home: Balanced accuracy on other patients of the domain it was trained on.
        abroad: Balanced accuracy in the other domain.
        gap: `at_home` - `abroad`, with its interval over patients.
        classes: The classes of both scores: those that both domains have when shared patients are left out abroad.
    """

    at_home: float
    abroad: float
    gap: Estimate
    classes: tuple[str, ...]


def generalisation_gap(
    source: NDArray[Any],
    target: NDArray[Any],
    labels_source: NDArray[Any],
    labels_target: NDArray[Any],
    patients_source: NDArray[Any],
    patients_target: NDArray[Any],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Gap:
    """Score lost when a probe that was trained on one domain is used on another.

    At home it is scored by cross-validation over patients, abroad after training on the whole home domain without the
    patients that both share, so home has the harder time: a gap above 0 is no artefact of sizes. Both scores are means
    over the same classes: those that are left abroad when the shared patients are.

    Args:
        source: (N_s, D), floating: where the probe is trained.
        target: (N_t, D), floating: where it is used.
        labels_source: Labels as text; unknown ones take no part.
        labels_target: Labels as text.
        patients_source: Patient of each item.
        patients_target: Patient of each item.
        resamples: Bootstrap resamples.
        seed: Of the folds and the bootstrap.

    Raises:
        RadnetError: Fewer than two classes are in both domains with two patients each at home, or a feature is not
            finite.
    """
    checked(source)
    checked(target)
    names_s, names_t = np.asarray(labels_source, dtype=np.str_), np.asarray(labels_target, dtype=np.str_)
    people_s, people_t = np.asarray(patients_source, dtype=np.str_), np.asarray(patients_target, dtype=np.str_)
    common = [
        str(name)
        for name in np.intersect1d(names_s[labelled(names_s)], names_t[labelled(names_t)])
        if len(np.unique(people_s[names_s == name])) > 1
    ]
    if len(common) < 2:
        raise RadnetError("A probe needs two classes that both domains have, with two patients each", seen=common)
    strangers = ~np.isin(people_t, people_s)
    common = [name for name in common if name in names_t[strangers]]
    if len(common) < 2:
        raise RadnetError("Without the patients that both domains share, fewer than two classes are left abroad")
    own, other = np.isin(names_s, common), np.isin(names_t, common) & strangers
    number = {name: index for index, name in enumerate(common)}
    y_s, y_t = (np.array([number[name] for name in names], dtype=np.int64) for names in (names_s[own], names_t[other]))
    home, _ = out_of_fold(source[own], y_s, people_s[own], seed=seed)
    abroad = probe(source[own], y_s, seed=seed).predict_proba(target[other])
    metric = METRICS["balanced_accuracy"]
    parts = [(metric.statistic(y_s, home), people_s[own]), (metric.statistic(y_t, abroad), people_t[other])]
    found = [
        _two_sided_bootstrap(s, np.zeros(len(p), np.int64), p, resamples, seed + i) for i, (s, p) in enumerate(parts)
    ]
    fewest = min(len(np.unique(people)) for _, people in parts)
    value = found[0][0] - found[1][0]
    if fewest < 2:
        return Gap(found[0][0], found[1][0], Estimate(value, float("nan"), float("nan")), tuple(common))
    interval = percentile_interval(value, found[0][1] - found[1][1], patients=fewest)
    return Gap(found[0][0], found[1][0], Estimate(value, interval.low, interval.high), tuple(common))
