"""CKA of weights, as the reference study (arXiv 2306.17555) uses it: "feature reuse" and "uniqueness".

The study takes the first three convolutions of a network. A kernel (out, in, rows, columns) becomes a matrix of
out * rows * columns rows and `in` columns, and two such matrices are compared by CKA with RBF kernels (biased HSIC).
The squared bandwidth of each matrix is the lower median of its nonzero squared distances.

What this measures is how alike weights are, in a basis that training happened to choose. Two networks that compute
the same features in another order of channels share little of it, and networks that finetuning hardly moved share
everything. For what networks compute, see `radnet.analysis.similarity`.
"""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from radnet.analysis.arrays import Floats, squared_distances
from radnet.errors import RadnetError

LAYERS = 3
SPLITS = 8


def weight_rows(weight: NDArray[Any]) -> Floats:
    """A layer's weight as the study's matrix.

    Args:
        weight: (out, in, …), a convolution's kernel or a linear layer's matrix.

    Returns:
        float64, (out * rows * columns, in), rows in the order of (out, rows, columns).
    """
    moved = np.moveaxis(np.asarray(weight, dtype=np.float64), 1, -1)
    return moved.reshape(-1, moved.shape[-1])


def first_layers(model: nn.Module, layers: int = LAYERS) -> dict[str, Floats]:
    """Matrices of the first convolutions of a network, or of its first linear layers where it has fewer.

    Args:
        model: The network; modules are taken in the order in which they are registered, which is that of the data in
            timm's models.
        layers: How many.

    Returns:
        Name of the module -> see `weight_rows`.
    """
    found: dict[str, Floats] = {}
    kinds: tuple[type[nn.Module], ...] = (nn.Conv2d,)
    if sum(isinstance(module, nn.Conv2d) for module in model.modules()) < layers:
        kinds = (nn.Conv2d, nn.Linear)  # a ViT has one convolution
    for name, module in model.named_modules():
        if isinstance(module, kinds) and len(found) < layers:
            found[name] = weight_rows(module.get_parameter("weight").detach().cpu().float().numpy())
    return found


def _study_kernel(rows: Floats) -> Floats:
    """The study's RBF kernel, double-centred, float64, (R, R)."""
    distances = squared_distances(rows, rows)
    np.fill_diagonal(distances, 0)
    apart = np.sort(distances[distances != 0])
    if not len(apart):
        return np.zeros_like(distances)
    kernel = np.exp(-0.5 * distances / apart[(len(apart) - 1) // 2])
    mean = kernel.mean(0)
    return np.asarray(kernel - mean - mean[:, None] + mean.mean())


def study_cka(a: Floats, b: Floats) -> float:
    """The study's CKA of two matrices of as many rows; NaN where all rows of one are alike.

    Raises:
        ValueError: The numbers of rows differ.
    """
    if len(a) != len(b):
        raise ValueError(f"both matrices need as many rows, not {len(a)} and {len(b)}")
    k, m = _study_kernel(a), _study_kernel(b)
    product = float((k * k).sum() * (m * m).sum())
    return float((k * m).sum() / np.sqrt(product)) if product > 0 else float("nan")


def feature_reuse(before: Floats, after: Floats) -> float:
    """The study's "feature reuse" of one layer: CKA of its weights before and after finetuning.

    1 means that finetuning left the weights as they were. The study averages over finetuning seeds.

    Args:
        before: Weights before, see `weight_rows`.
        after: The same layer's weights after.

    Returns:
        In [0, 1].
    """
    return study_cka(before, after)


def uniqueness(weights: Floats, splits: int = SPLITS) -> tuple[float, float]:
    """The study's "uniqueness" of one layer: how little its parts resemble each other.

    The rows are cut into `splits` runs of equal length; the value is the mean of 1 - CKA over the
    splits (splits - 1) / 2 pairs of runs, and the deviation over the pairs is what the study draws as error bar.

    Args:
        weights: See `weight_rows`.
        splits: The study takes 8.

    Returns:
        Mean and standard deviation (over the pairs, not of the mean).

    Raises:
        RadnetError: The rows cannot be cut evenly, which the study's definition asks for.
    """
    if len(weights) % splits:
        raise RadnetError(
            f"Uniqueness as the study defines it cuts a layer's rows into {splits} equal parts",
            seen=len(weights),
            fix="Leave this layer out, or give another number of splits and say so",
        )
    parts = np.split(weights, splits)
    values = np.array([1 - study_cka(a, b) for a, b in combinations(parts, 2)])
    return float(values.mean()), float(values.std())
