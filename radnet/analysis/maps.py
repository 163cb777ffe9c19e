"""Two dimensions to look at: principal components, and UMAP where it is installed.

Shape legend: N items, D feature dimensions, P principal components.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.arrays import Floats, checked
from radnet.errors import UsageError

UMAP_COMPONENTS = 50


@dataclass(frozen=True)
class Projection:
    """Coordinates and what they keep.

    Attributes:
        points: float32, (N, P).
        explained: Share of the variance along each axis, float64, (P,).
    """

    points: NDArray[np.float32]
    explained: Floats


def principal_components(features: NDArray[Any], components: int = 2) -> Projection:
    """Projection on the directions of largest variance (Pearson 1901); each axis' largest entry is positive.

    Args:
        features: (N, D), floating, at least 2 rows.
        components: P; axes beyond min(N - 1, D) are zero.
    """
    rows = np.asarray(checked(features, 2), dtype=np.float64)
    rows = rows - rows.mean(0)
    if len(rows) >= rows.shape[1]:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        axes = vectors[:, ::-1][:, :components]
    else:
        values, vectors = np.linalg.eigh(rows @ rows.T)
        axes = rows.T @ vectors[:, ::-1][:, :components]
        axes = axes / np.maximum(np.linalg.norm(axes, axis=0), np.finfo(np.float64).tiny)
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    points = np.zeros((len(rows), components), dtype=np.float32)
    points[:, : axes.shape[1]] = rows @ (axes * np.where(signs == 0, 1, signs))
    explained = np.zeros(components)
    total = max(float(np.maximum(values, 0).sum()), np.finfo(np.float64).tiny)
    explained[: axes.shape[1]] = np.maximum(values[::-1][: axes.shape[1]], 0) / total
    return Projection(points, explained)


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    return find_spec("umap") is not None


def umap_points(
    features: NDArray[Any], *, neighbours: int = 15, min_distance: float = 0.1, seed: int = 0
) -> NDArray[np.float32]:
    """UMAP (McInnes et al. 2018, arXiv 1802.03426) of the first 50 principal components, by cosine distance.

    Distances between islands of such a map mean nothing, and islands may be made by the method: it is for looking.

    Args:
        features: (N, D), floating.
        neighbours: Size of the neighbourhoods that are kept; fewer where there are fewer items.
        min_distance: How close points may lie.
        seed: Equal seeds give equal maps.

    Returns:
        float32, (N, 2).

    Raises:
        UsageError: umap-learn is not installed.
        RadnetError: Fewer than 4 items, or a feature is not finite.
    """
    if not has_umap():
        raise UsageError("UMAP needs the package umap-learn", fix='Install it with: pip install "radnet[maps]"')
    from umap import UMAP  # ten seconds of imports and compilation

    reduced = principal_components(checked(features, 4), min(UMAP_COMPONENTS, features.shape[1])).points
    # its spectral start wants an eigenproblem larger than the smallest sets are
    start = "spectral" if len(reduced) > 50 else "random"
    method = UMAP(
        n_neighbors=max(2, min(neighbours, len(reduced) - 1)),
        min_dist=min_distance,
        metric="cosine",
        random_state=seed,
        init=start,
        n_jobs=1,
    )
    return np.asarray(method.fit_transform(reduced), dtype=np.float32)
