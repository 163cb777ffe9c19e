"""Weighted k-nearest-neighbour vote on frozen features: no training, nothing to tune, exact.

Method: Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR), section
3.4, with k and temperature as in Caron et al. 2021 (DINO): each of the k nearest training items, by cosine
similarity s, votes for its class with weight exp(s / temperature).

Shape legend: N items, D feature dimensions, K classes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from radnet.errors import UsageError
from radnet.transfer.contract import (
    FeatureProtocol,
    Features,
    FeatureSplit,
    ProtocolResult,
    check_inputs,
    missing_classes,
)


@dataclass(frozen=True)
class KnnProtocol(FeatureProtocol):
    """The kNN protocol.

    Attributes:
        k: Number of neighbours; all training items vote when there are fewer.
        temperature: Of the votes; the smaller, the more the nearest neighbour counts.
        similarity: "cosine", the only one.
    """

    name: ClassVar[str] = "knn"

    k: int = 20
    temperature: float = 0.07
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1:
            raise UsageError("kNN needs at least one neighbour", seen=self.k, fix="Set k to 1 or more")
        if not self.temperature > 0:
            raise UsageError("The temperature must be positive", seen=self.temperature, fix="Set temperature to 0.07")
        if self.similarity != "cosine":
            raise UsageError("kNN knows cosine similarity only", seen=self.similarity, fix="Set similarity to cosine")

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
        """Score the test items by their nearest training items; `val`, `metric` and `seed` are not used."""
        check_inputs(train, val, test_features, classes)
        similarity, neighbour = nearest(
            np.asarray(train.features), np.asarray(test_features), k=self.k, threads=self.threads
        )
        scores = vote(similarity, neighbour, train.target, classes=classes, temperature=self.temperature)
        selected: dict[str, Any] = {"k": int(neighbour.shape[1])}
        if neighbour.shape[1] < self.k:
            selected["k_asked"] = self.k
        if missing := missing_classes(train, classes):
            selected["classes_missing_in_train"] = missing
        return ProtocolResult(scores, selected)


def unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features divided by their Euclidean length, float32, C-contiguous; a row of zeros stays as it is."""
    rows = features.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(length > 0, length, 1), dtype=np.float32)


def nearest(
    base: NDArray[np.float32], query: NDArray[np.float32], *, k: int, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The most similar base items of each query item, by exact search.

    Args:
        base: float32, shape (N_base, D).
        query: float32, shape (N, D).
        k: Number of neighbours, at most N_base are given.
        threads: Threads that the search may take.

    Returns:
        Cosine similarity, float32, and index into `base`, int64, both of shape (N, min(k, N_base)), best first.
    """
    if base.shape[1] != query.shape[1]:
        raise UsageError(
            "The two sets of features have different dimensions",
            seen=(base.shape[1], query.shape[1]),
            fix="Extract both with the same model",
        )
    with threadpool_limits(limits=threads):
        similarity, neighbour = faiss.knn(
            unit_length(query), unit_length(base), min(k, len(base)), metric=faiss.METRIC_INNER_PRODUCT
        )
    return similarity, neighbour


def vote(
    similarity: NDArray[np.float32],
    neighbour: NDArray[np.int64],
    target: NDArray[np.int64],
    *,
    classes: int,
    temperature: float,
) -> NDArray[np.float64]:
    """Class shares of the neighbours' votes.

    Args:
        similarity: float32, shape (N, k).
        neighbour: Index of each neighbour, int64, shape (N, k); -1, with which faiss pads, has no vote.
        target: Class number of each training item, int64.
        classes: Number of classes K.
        temperature: Of the votes.

    Returns:
        float64, shape (N, K), rows sum to 1; equal shares where no neighbour has a vote.
    """
    there = neighbour >= 0
    strength = np.where(there, similarity.astype(np.float64), -np.inf) / temperature
    best = strength.max(1, initial=-np.inf, keepdims=True)
    # Relative to the best neighbour the exponential cannot overflow, and the shares stay the same.
    weight = np.where(there, np.exp(strength - np.where(np.isfinite(best), best, 0)), 0)
    rows = np.broadcast_to(np.arange(len(neighbour))[:, None], neighbour.shape)
    cells = rows[there] * classes + target[neighbour[there]]
    votes = np.bincount(cells, weights=weight[there], minlength=len(neighbour) * classes).reshape(-1, classes)
    total = votes.sum(1, keepdims=True)
    return np.asarray(np.divide(votes, total, out=np.full_like(votes, 1 / classes), where=total > 0))
