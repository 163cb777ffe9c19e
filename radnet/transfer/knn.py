"""Weighted k-nearest-neighbour vote on frozen features: no training, nothing to tune, exact.

Method: Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR), section
3.4, with k and temperature as in Caron et al. 2021 (DINO): each of the k nearest training items, by cosine
similarity s, votes for its class with weight exp(s / temperature). With several labels an item it votes for each of
them, and the score of a class is the share of the votes that it gets.

One search serves every k: the scores of the first decide the rank, the others are recorded beside them.

Shape legend: N items, D feature dimensions, K classes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from radnet.errors import UsageError
from radnet.transfer.contract import FeatureProtocol, FeatureSplit, ProtocolResult, check_inputs, missing_classes
from radnet.transfer.splits import Features, blocks

BASE_VALUES = 1 << 22
"""Values of training features that are searched at once: 16 MiB, so that sets larger than memory can be searched."""
QUERY_VALUES = 1 << 21
VOTE_VALUES = 1 << 22
"""Votes (items x neighbours x classes) that are counted at once for several labels an item."""


@dataclass(frozen=True)
class KnnProtocol(FeatureProtocol):
    """The kNN protocol.

    Attributes:
        k: Number of neighbours that decides the rank; all training items vote when there are fewer.
        more_k: Other numbers of neighbours, reported beside it.
        temperature: Of the votes; the smaller, the more the nearest neighbour counts.
        similarity: "cosine", the only one.
    """

    name: ClassVar[str] = "knn"
    REPORTED_BESIDE: ClassVar[tuple[str, ...]] = ("more_k",)

    k: int = 20
    more_k: tuple[int, ...] = (10, 100, 200)
    temperature: float = 0.07
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "more_k", tuple(sorted({int(k) for k in self.more_k} - {self.k})))
        if min((self.k, *self.more_k)) < 1:
            seen = (self.k, *self.more_k)
            raise UsageError("kNN needs at least one neighbour", seen=seen, fix="Set k and more_k to 1 or more")
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
        """Score the test items by their nearest training items; `val`, `metric` and `seed` are not used.

        Returns:
            The scores with `k` neighbours; those with each other number K of `more_k` are the variant "kK".
        """
        check_inputs(train, val, test_features, classes)
        largest = max((self.k, *self.more_k))
        similarity, neighbour = nearest(train.features, test_features, k=largest, threads=self.threads)

        def scores(k: int) -> NDArray[np.float64]:
            chosen, temperature = (similarity[:, :k], neighbour[:, :k]), self.temperature
            return vote(*chosen, train.target, classes=classes, temperature=temperature)

        selected: dict[str, Any] = {"k": min(self.k, neighbour.shape[1])}
        if neighbour.shape[1] < self.k:
            selected["k_asked"] = self.k
        if missing := missing_classes(train, classes):
            selected["classes_missing_in_train"] = missing
        return ProtocolResult(scores(self.k), selected, variants={f"k{k}": scores(k) for k in self.more_k})


def unit_length(features: Features) -> NDArray[np.float32]:
    """Features divided by their Euclidean length, float32, C-contiguous; a row of zeros stays as it is."""
    unit = np.empty(features.shape, dtype=np.float32)
    for place, block in blocks(features):
        # The length in float64: squares of large features leave the range of float32.
        length = np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64))[:, None]
        np.divide(block, np.where(length > 0, length, 1), out=unit[place], casting="same_kind")
    return unit


def nearest(
    base: Features, query: Features, *, k: int, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The most similar base items of each query item, by exact search.

    Features that lie on disk are searched in pieces, so that neither side has to fit in memory.

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
    found = min(k, len(base))
    similarity = np.empty((len(query), 0), dtype=np.float32)
    neighbour = np.empty((len(query), 0), dtype=np.int64)
    with threadpool_limits(limits=threads):
        for place, block in blocks(base, BASE_VALUES):
            unit = unit_length(block)
            parts = [
                faiss.knn(unit_length(part), unit, min(found, len(unit)), metric=faiss.METRIC_INNER_PRODUCT)
                for _, part in blocks(query, QUERY_VALUES)
            ]
            here = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)] if parts else [similarity, neighbour]
            similarity = np.concatenate([similarity, here[0]], axis=1)
            neighbour = np.concatenate([neighbour, here[1] + place.start], axis=1)
            if place.start:  # keep the best of both; a stable order, as one search over everything has
                order = np.argsort(-similarity, axis=1, kind="stable")[:, :found]
                similarity = np.take_along_axis(similarity, order, axis=1)
                neighbour = np.take_along_axis(neighbour, order, axis=1)
            del block, unit, parts, here  # or two pieces would be in memory while the next is read
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
        target: int64: class number of each training item (N_base,), or 0 and 1 (N_base, K).
        classes: Number of classes K.
        temperature: Of the votes.

    Returns:
        float64, shape (N, K). One label an item: rows sum to 1; equal shares where no neighbour has a vote. Several:
        each value is the share of the votes for this class, 0 where no neighbour has a vote.
    """
    there = neighbour >= 0
    strength = np.where(there, similarity.astype(np.float64), -np.inf) / temperature
    best = strength.max(1, initial=-np.inf, keepdims=True)
    # Relative to the best neighbour the exponential cannot overflow, and the shares stay the same.
    weight = np.where(there, np.exp(strength - np.where(np.isfinite(best), best, 0)), 0)
    if target.ndim == 2:
        return _shares_of_labels(weight, neighbour, target)
    rows = np.broadcast_to(np.arange(len(neighbour))[:, None], neighbour.shape)
    cells = rows[there] * classes + target[neighbour[there]]
    votes = np.bincount(cells, weights=weight[there], minlength=len(neighbour) * classes).reshape(-1, classes)
    total = votes.sum(1, keepdims=True)
    return np.asarray(np.divide(votes, total, out=np.full_like(votes, 1 / classes), where=total > 0))


def _shares_of_labels(
    weight: NDArray[np.float64], neighbour: NDArray[np.int64], target: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of the votes (N, k) for each class (N, K) where a neighbour votes for each of its labels."""
    total = weight.sum(1, keepdims=True)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    scores = np.zeros((len(neighbour), target.shape[1]))
    step = max(1, VOTE_VALUES // max(1, neighbour.shape[1] * target.shape[1]))
    for start in range(0, len(neighbour), step):
        part = slice(start, start + step)
        scores[part] = np.einsum("nk,nkc->nc", share[part], target[neighbour[part]], optimize=True)
    return scores
