"""Nearest neighbours in a feature space: by cosine similarity, exact, never the item itself.

Shape legend: N items, D feature dimensions, k neighbours.
"""

from dataclasses import dataclass
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from radnet.analysis.arrays import Floats, checked, row_blocks
from radnet.errors import UsageError

Neighbours = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Cosine similarity, float32, (N, k), best first, and index of the neighbour, int64, (N, k); -1 where none is left."""
NONE = -1
LARGE = 200_000
"""Items from which on an approximate index is used unless the caller says otherwise."""
SPREAD = 4
"""An exclusion asks for so many times more neighbours again where too few were left."""


def unit_rows(features: NDArray[Any]) -> NDArray[np.float32]:
    """Features divided by their Euclidean length, float32, C-contiguous; rows of zeros stay, lengths are float64."""
    unit = np.empty(features.shape, dtype=np.float32)
    for rows in row_blocks(len(features)):
        block = np.asarray(features[rows])
        length = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        np.divide(block, np.where(length > 0, length, 1)[:, None], out=unit[rows], casting="same_kind")
    return unit


def nearest_neighbours(
    features: NDArray[Any], k: int, *, groups: NDArray[Any] | None = None, threads: int | None = None
) -> Neighbours:
    """The k most similar other items of every item, by exact search.

    Args:
        features: (N, D), floating.
        k: Number of neighbours.
        groups: (N,); items of one group (a patient, a series) are not neighbours of each other. None excludes only
            the item itself.
        threads: Threads of the search; None leaves it to faiss.

    Returns:
        See `Neighbours`; k is N - 1 where there are fewer items. A row holds -1 where its group leaves too few.

    Raises:
        UsageError: k is below 1.
        RadnetError: A feature is not finite, or there are fewer than 2 items.
    """
    if k < 1:
        raise UsageError("A search needs at least one neighbour", seen=k, fix="Set k to 1 or more")
    unit = unit_rows(checked(features, 2))
    k = min(k, len(unit) - 1)
    own = np.arange(len(unit)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    similarity = np.zeros((len(unit), k), dtype=np.float32)
    neighbour = np.full((len(unit), k), NONE, dtype=np.int64)
    # enough for most rows at once: the item itself, and as many of its group as a typical one has
    asked = k + (1 if groups is None else int(np.percentile(np.bincount(own)[own], 50)))
    rows = np.arange(len(unit))
    with threadpool_limits(limits=threads):
        while len(rows):
            asked = min(asked, len(unit))
            near, index = faiss.knn(
                unit[rows] if len(rows) < len(unit) else unit, unit, asked, metric=faiss.METRIC_INNER_PRODUCT
            )
            enough = _keep_others(near, index, own[rows], own, similarity, neighbour, rows)
            rows = rows[~enough] if asked < len(unit) else rows[:0]
            asked = asked * SPREAD
    return similarity, neighbour


def _keep_others(
    near: NDArray[np.float32],
    index: NDArray[np.int64],
    group: NDArray[np.int64],
    groups: NDArray[np.int64],
    similarity: NDArray[np.float32],
    neighbour: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Write the first k neighbours of other groups into rows of the result; tells which rows have k."""
    k = similarity.shape[1]
    complete = np.empty(len(rows), dtype=bool)
    for block in row_blocks(len(rows), 1 << 14):
        other = groups[index[block]] != group[block, None]
        place = np.cumsum(other, axis=1) - 1
        taken = other & (place < k)
        line, column = np.nonzero(taken)
        at = place[line, column]
        similarity[rows[block][line], at] = near[block][line, column]
        neighbour[rows[block][line], at] = index[block][line, column]
        complete[block] = other.sum(1) >= k
    return complete


@dataclass(frozen=True)
class Search:
    """Neighbours and how they were found.

    Attributes:
        similarity: See `Neighbours`.
        neighbour: See `Neighbours`.
        index: "exact", "hnsw" or "ivf".
        recall: Share of the true k nearest neighbours that were found, on `recall_items` items; 1 when exact.
        recall_items: Items whose neighbours were searched exactly as well.
    """

    similarity: NDArray[np.float32]
    neighbour: NDArray[np.int64]
    index: str
    recall: float
    recall_items: int


def search(
    features: NDArray[Any],
    k: int,
    *,
    index: Literal["auto", "exact", "hnsw", "ivf"] = "auto",
    recall_items: int = 1000,
    seed: int = 0,
    threads: int | None = None,
) -> Search:
    """The k most similar other items, with an approximate index where exact search would take long.

    The recall of an approximate index is always measured, never assumed: `recall_items` random items are searched
    exactly as well.

    Args:
        features: (N, D), floating.
        k: Number of neighbours.
        index: "auto" is exact up to `LARGE` items and HNSW beyond.
        recall_items: Items of the measurement.
        seed: Of their draw.
        threads: Threads of the search; None leaves it to faiss.
    """
    kind = ("exact" if len(features) <= LARGE else "hnsw") if index == "auto" else index
    if kind == "exact":
        similarity, neighbour = nearest_neighbours(features, k, threads=threads)
        return Search(similarity, neighbour, kind, 1.0, len(features))
    unit = unit_rows(checked(features, 2))
    k = min(k, len(unit) - 1)
    with threadpool_limits(limits=threads):
        built = _hnsw(unit, k) if kind == "hnsw" else _ivf(unit, seed)
        near, found = built.search(unit, k + 1)
        similarity = np.zeros((len(unit), k), dtype=np.float32)
        neighbour = np.full((len(unit), k), NONE, dtype=np.int64)
        own = np.arange(len(unit))
        near, found = np.where(found < 0, 0, near).astype(np.float32), np.where(found < 0, own[:, None], found)
        _keep_others(near, found, own, own, similarity, neighbour, own)
        tried = np.random.default_rng(seed).permutation(len(unit))[:recall_items]
        truth = faiss.knn(unit[tried], unit, k + 1, metric=faiss.METRIC_INNER_PRODUCT)[1]
    exact = np.full((len(tried), k), NONE, dtype=np.int64)
    _keep_others(np.zeros(truth.shape, np.float32), truth, tried, own, np.zeros_like(exact, np.float32), exact,
                 np.arange(len(tried)))  # fmt: skip
    return Search(similarity, neighbour, kind, recall_at_k(exact, neighbour[tried]), len(tried))


def _hnsw(unit: NDArray[np.float32], k: int) -> Any:
    """Malkov & Yashunin 2018, arXiv 1603.09320, with faiss's own advice for M and efConstruction."""
    index = faiss.IndexHNSWFlat(unit.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.hnsw.efSearch = max(128, 4 * k)
    index.add(unit)
    return index


def _ivf(unit: NDArray[np.float32], seed: int) -> Any:
    """An inverted file with about 4 sqrt(N) lists, of which a sixteenth, at least 8, is looked into."""
    lists = max(1, min(int(4 * np.sqrt(len(unit))), len(unit) // 39))
    quantizer = faiss.IndexFlatIP(unit.shape[1])
    index = faiss.IndexIVFFlat(quantizer, unit.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed + 1
    index.train(unit)
    index.add(unit)
    index.nprobe = max(8, lists // 16)
    return index


def recall_at_k(exact: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Share of the true neighbours that were found, both int64, (N, k)."""
    shared = sum(np.isin(a[a >= 0], b).sum() for a, b in zip(exact, found, strict=True))
    return float(shared / max((exact >= 0).sum(), 1))


def agreement(neighbour: NDArray[np.int64], values: NDArray[Any]) -> Floats:
    """Share of each item's neighbours that have its own value.

    Args:
        neighbour: Index of each neighbour, int64, (N, k); -1 counts for nothing.
        values: (N,), a label, a patient, a set.

    Returns:
        float64, (N,); NaN for items without a neighbour. Over all items with neighbours of other patients this is
        retrieval precision at k, with all neighbours the purity of the neighbourhoods.
    """
    there = neighbour >= 0
    same = (values[neighbour] == values[:, None]) & there
    count = there.sum(1)
    return np.asarray(np.divide(same.sum(1), count, out=np.full(len(count), np.nan), where=count > 0))


def chance_agreement(values: NDArray[Any], groups: NDArray[Any]) -> Floats:
    """What `agreement` would be if neighbours were drawn at random from the other groups.

    Args:
        values: (N,).
        groups: (N,); numbers 0…N-1 where only the item itself is excluded.

    Returns:
        float64, (N,); NaN where no item of another group exists.
    """
    own = np.unique(np.asarray(groups), return_inverse=True)[1]
    kind = np.unique(np.asarray(values), return_inverse=True)[1]
    table = np.zeros((own.max() + 1, kind.max() + 1))
    np.add.at(table, (own, kind), 1)
    same = table.sum(0)[kind] - table[own, kind]
    others = len(own) - table.sum(1)[own]
    return np.asarray(np.divide(same, others, out=np.full(len(own), np.nan), where=others > 0))


@dataclass(frozen=True)
class Hubness:
    """How unevenly items serve as neighbours.

    Attributes:
        skewness: Of the number of items whose neighbour an item is (Radovanović et al. 2010, JMLR 11): 0 to 1 is
            usual in few dimensions, above 2 some items are hubs.
        largest: The most items that have one item as neighbour.
        orphans: Share of items that are nobody's neighbour.
    """

    skewness: float
    largest: int
    orphans: float


def hubness(neighbour: NDArray[np.int64]) -> Hubness:
    """Hubness of a neighbour search.

    Args:
        neighbour: Index of each neighbour, int64, (N, k); -1 counts for nothing.
    """
    count = np.bincount(neighbour[neighbour >= 0], minlength=len(neighbour)).astype(np.float64)
    spread = count.std()
    skewness = float((((count - count.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0
    return Hubness(skewness, int(count.max()), float((count == 0).mean()))
