"""Many logistic regressions on standardised features, one a strength of regularisation, at the price of a few.

Minimised is what scikit-learn's `LogisticRegression` minimises, so the answers are equal; the tests hold them
together. Two things make a sweep cheap:

- *Coordinates.* Features of networks are so correlated that the curvature differs by factors of millions between
  directions, and L-BFGS then takes hundreds of steps even on standardised features. Here the weights are written in
  the principal axes of the features, each divided by the root of its curvature at the start (p (1 - p) times the
  variance, plus the penalty). With fewer items than dimensions only the axes that the items span are kept, which
  loses nothing, because the penalty keeps the others at zero.
- *One pass for all.* The strengths are solved side by side (`radnet.transfer.lockstep`): every pass over the features
  serves all that are not finished, as one matrix product.

Two ways compute loss and gradient: numpy on features in memory, and torch on blocks that are read from disk in every
pass, on a GPU if asked for. Both in float64, but for products on a GPU (float32, whose rounding lies far below the
default tolerance). Neither ever holds more than it says.

Shape legend: N items, D dimensions, R axes, K classes, C columns of weights (K; 1 for two exclusive classes),
G strengths that are solved together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from radnet.transfer import splits
from radnet.transfer.lockstep import minimise
from radnet.transfer.splits import Features, blocks

IN_MEMORY_VALUES = 1 << 26
"""Most feature values that are held in memory as float64 (512 MiB); more of them are read block by block."""
AXES_ITEMS = 4096
"""Items, at least 4 a dimension, from which the axes are found; they need not be exact, and the answer is."""
LEAST_CURVATURE = 1e-4
HISTORY = 10
"""Past steps that L-BFGS keeps of each fit."""
HISTORY_VALUES = 1 << 26
"""Most numbers in the histories of all fits that run together (512 MiB)."""
BLOCK_LOGITS = 1 << 20
"""Logits that are held at once (8 MiB each of a few)."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Standardiser:
    """Mean 0 and variance 1 of the training items; a constant feature becomes 0.

    Attributes:
        mean: float64, (D,).
        scale: float64, (D,); 1 where the feature is constant.
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, features: Features) -> "Standardiser":
        """Computed in two passes in float64."""
        count = len(features)
        mean = sum((block.sum(0, dtype=np.float64) for _, block in blocks(features)), np.zeros(features.shape[1]))
        mean = mean / count
        squares = sum((((block - mean) ** 2).sum(0) for _, block in blocks(features)), np.zeros(features.shape[1]))
        variance = squares / count
        # what rounding alone makes of a constant, as in scikit-learn's StandardScaler
        eps = np.finfo(np.float64).eps
        constant = variance <= count * eps * variance + (count * mean * eps) ** 2
        return cls(mean, np.where(constant, 1, np.sqrt(variance)))

    def __call__(self, block: NDArray[Any]) -> Array:
        """Standardised features, float64."""
        return np.asarray((block - self.mean) / self.scale, dtype=np.float64)


@dataclass(frozen=True)
class Weights:
    """A linear classifier of standardised features.

    Attributes:
        coefficients: float64, (D, C).
        intercept: float64, (C,).
    """

    coefficients: Array
    intercept: Array

    def turned(self, basis: Array | None) -> "Weights":
        """Weights (R, C) of axes as weights (D, C) of features; None: they are that already."""
        return self if basis is None else Weights(basis @ self.coefficients, self.intercept)


@dataclass(frozen=True)
class Fit:
    """One strength.

    Attributes:
        strength: Inverse regularisation C.
        weights: What was found.
        converged: Whether the solver came to its tolerance.
    """

    strength: float
    weights: Weights
    converged: bool


class Pass(Protocol):
    """Loss and gradient of all items for several classifiers at once."""

    def __call__(self, coefficients: Array, intercept: Array) -> tuple[Array, Array, Array]:
        """Sums over items for weights (D, G, C) and (G, C): loss (G,), and its gradients (D, G, C) and (G, C)."""
        ...


def fit_path(
    features: Features,
    target: NDArray[np.int64],
    *,
    strengths: tuple[float, ...],
    exclusive: bool,
    max_iter: int,
    tolerance: float,
    device: torch.device | None = None,
) -> tuple[Standardiser, list[Fit]]:
    """Fit every strength.

    Args:
        features: float32, (N, D).
        target: 0 and 1 of each column, int64, (N, C). Exclusive classes with C > 1: one 1 a row.
        strengths: Inverse regularisations C, ascending.
        exclusive: Softmax over the columns instead of one sigmoid each.
        max_iter: Most L-BFGS steps of a fit.
        tolerance: Largest component of the preconditioned gradient of the mean loss at which a fit is converged.
        device: Where blocks are computed when the features do not fit in memory; CPU by default.

    Returns:
        The standardiser, and one fit a strength in their order.
    """
    standardise = Standardiser.of(features)
    count, dimensions = features.shape
    if count * dimensions > IN_MEMORY_VALUES:
        rows = np.linspace(0, count - 1, min(count, max(AXES_ITEMS, 4 * dimensions)), dtype=np.int64)
        sample = np.concatenate([standardise(features[part]) for part in np.array_split(rows, 64)])
        basis, variance = _axes(sample)
        one: Pass = _TorchPass(features, target, standardise, exclusive, device or torch.device("cpu"))
    else:
        held = standardise(np.asarray(features))
        basis, variance = _axes(held[:: max(1, count // max(AXES_ITEMS, 4 * dimensions))])
        if basis.shape[1] < dimensions:  # fewer items than dimensions
            reduced = _Solver(_NumpyPass(held @ basis, target, exclusive), None, variance, target)
            fits = reduced.fits(strengths, max_iter, tolerance)
            return standardise, [replace(fit, weights=fit.weights.turned(basis)) for fit in fits]
        one = _NumpyPass(held, target, exclusive)
    return standardise, _Solver(one, basis, variance, target).fits(strengths, max_iter, tolerance)


def _axes(sample: Array) -> tuple[Array, Array]:
    """Principal axes (D, R) of standardised items and the mean square along each (R,); R = min(N, D) at most."""
    count, dimensions = sample.shape
    if count >= dimensions:
        variance, basis = np.linalg.eigh(sample.T @ sample / count)
        return basis, np.maximum(variance, 0)
    # The Gram matrix is smaller. Its axes span the rows of `sample`, beyond which no weight ever leaves zero.
    squares, left = np.linalg.eigh(sample @ sample.T)
    kept = squares > squares[-1] * count * np.finfo(np.float64).eps
    if not kept.any():
        return np.zeros((dimensions, 1)), np.zeros(1)
    return sample.T @ (left[:, kept] / np.sqrt(squares[kept])), squares[kept] / count


class _Solver:
    """The minimisation in the coordinates of the axes."""

    def __init__(self, one: Pass, basis: Array | None, variance: Array, target: NDArray[np.int64]) -> None:
        """With `basis` (D, R), or None where the pass already works on axes."""
        self._one, self._basis, self._variance = one, basis, variance
        self._count, self._columns = target.shape
        share = (target.sum(0) + 0.5) / (self._count + 1)
        self._bend = np.maximum(share * (1 - share), LEAST_CURVATURE)

    def fits(self, strengths: tuple[float, ...], max_iter: int, tolerance: float) -> list[Fit]:
        """One fit a strength; as many together as the solver's memory of past steps allows."""
        values = (len(self._variance) + 1) * self._columns
        together = max(1, HISTORY_VALUES // (2 * HISTORY * values))
        fits: list[Fit] = []
        weights = Weights(np.zeros((len(self._variance), self._columns)), np.zeros(self._columns))
        for start in range(0, len(strengths), together):
            for strength, found in self._group(strengths[start : start + together], weights, max_iter, tolerance):
                weights = found.weights  # the next group starts at the weakest of this one
                fits.append(replace(found, strength=strength, weights=weights.turned(self._basis)))
        return fits

    def _group(
        self, strengths: tuple[float, ...], start: Weights, max_iter: int, tolerance: float
    ) -> Iterator[tuple[float, Fit]]:
        shape = (len(self._variance), self._columns)
        penalty = 1 / (np.asarray(strengths) * self._count)
        scale = 1 / np.sqrt(self._variance[:, None, None] * self._bend + penalty[:, None])  # (R, G, C)
        free = 1 / np.sqrt(self._bend)

        def evaluate(points: Array, active: NDArray[np.int64]) -> tuple[Array, Array]:
            stretch = scale[:, active]
            axes = points[:, :-1].transpose(1, 0, 2) * stretch
            loss, slope, shift = self._one(_times(self._basis, axes), points[:, -1] * free)
            back = slope if self._basis is None else _times(self._basis.T, slope)
            gradient = (back / self._count + penalty[active, None] * axes) * stretch
            values = loss / self._count + 0.5 * penalty[active] * np.einsum("rgc,rgc->g", axes, axes)
            moved = (shift / self._count * free)[:, None]
            return values, np.concatenate([gradient.transpose(1, 0, 2), moved], axis=1)

        first = np.concatenate(
            [
                (start.coefficients[:, None] / scale).transpose(1, 0, 2),
                np.broadcast_to(start.intercept / free, (len(strengths), 1, self._columns)),
            ],
            axis=1,
        )
        found = minimise(evaluate, first, max_iter=max_iter, tolerance=tolerance, history=HISTORY)
        for number, strength in enumerate(strengths):
            point = found.points[number].reshape(shape[0] + 1, shape[1])
            weights = Weights(point[:-1] * scale[:, number], point[-1] * free)
            yield strength, Fit(strength, weights, bool(found.converged[number]))


def _times(matrix: Array | None, several: Array) -> Array:
    """(A, B) times (B, G, C) -> (A, G, C)."""
    return several if matrix is None else (matrix @ several.reshape(len(several), -1)).reshape(-1, *several.shape[1:])


class _NumpyPass:
    """In memory, float64."""

    def __init__(self, features: Array, target: NDArray[np.int64], exclusive: bool) -> None:
        self._features, self._target, self._exclusive = features, target.astype(np.float64), exclusive

    def __call__(self, coefficients: Array, intercept: Array) -> tuple[Array, Array, Array]:
        loss, shift = np.zeros(len(intercept)), np.zeros_like(intercept)
        slope = np.zeros((len(coefficients), intercept.size))
        flat = np.ascontiguousarray(coefficients.reshape(len(coefficients), -1))
        step = max(1, BLOCK_LOGITS // intercept.size)
        for start in range(0, len(self._features), step):
            held, truth = self._features[start : start + step], self._target[start : start + step, None]
            logits = (held @ flat).reshape(len(held), *intercept.shape) + intercept
            if self._exclusive:
                top = logits.max(2, keepdims=True)
                chance = np.exp(logits - top)
                total = chance.sum(2, keepdims=True)
                loss += (np.log(total) + top)[..., 0].sum(0) - np.einsum("ngc,nc->g", logits, truth[:, 0])
                chance /= total
            else:
                # log(1 + e^z) - t z without overflow
                loss += (np.logaddexp(0, logits) - truth * logits).sum((0, 2))
                chance = expit(logits)
            chance -= truth
            slope += held.T @ chance.reshape(len(held), -1)
            shift += chance.sum(0)
        return loss, slope.reshape(coefficients.shape), shift


class _TorchPass:
    """Block by block; nothing of the features is kept."""

    def __init__(
        self,
        features: Features,
        target: NDArray[np.int64],
        standardise: Standardiser,
        exclusive: bool,
        device: torch.device,
    ) -> None:
        self._features, self._target, self._exclusive, self._device = features, target, exclusive, device
        self._product = torch.float64 if device.type == "cpu" else torch.float32
        self._mean = torch.from_numpy(standardise.mean).to(device, self._product)
        self._scale = torch.from_numpy(standardise.scale).to(device, self._product)

    @torch.inference_mode()
    def __call__(self, coefficients: Array, intercept: Array) -> tuple[Array, Array, Array]:
        flat = torch.from_numpy(coefficients.reshape(len(coefficients), -1)).to(self._device, self._product)
        offset = torch.from_numpy(intercept).to(self._device, torch.float64)
        slope = torch.zeros(flat.shape, dtype=torch.float64, device=self._device)
        shift, loss = torch.zeros_like(offset), torch.zeros_like(offset[:, 0])
        rows = max(1, BLOCK_LOGITS // intercept.size)
        for place, block in blocks(self._features, min(splits.BLOCK_VALUES, rows * self._features.shape[1])):
            # centred before anything else: means far from zero would eat the digits of float32
            held = torch.tensor(block, dtype=self._product, device=self._device).sub_(self._mean).div_(self._scale)
            truth = torch.from_numpy(self._target[place]).to(self._device, torch.float64)[:, None]
            logits = (held @ flat).double().reshape(len(held), *offset.shape) + offset
            if self._exclusive:
                loss += logits.logsumexp(2).sum(0) - (logits * truth).sum((0, 2))
                rest = logits.softmax(2) - truth
            else:
                loss += (torch.nn.functional.softplus(logits) - truth * logits).sum((0, 2))
                rest = logits.sigmoid() - truth
            slope += (held.T @ rest.reshape(len(held), -1).to(self._product)).double()
            shift += rest.sum(0)
        return loss.cpu().numpy(), slope.cpu().numpy().reshape(coefficients.shape), shift.cpu().numpy()


def logits_of(features: Features, standardise: Standardiser, several: list[Weights]) -> list[Array]:
    """Logits (N, C) of several classifiers in one pass over the features."""
    coefficients = np.concatenate([weights.coefficients for weights in several], axis=1)
    intercept = np.concatenate([weights.intercept for weights in several])
    parts = [standardise(block) @ coefficients + intercept for _, block in blocks(features)]
    whole = np.concatenate(parts) if parts else np.zeros((0, len(intercept)))
    columns = len(several[0].intercept)
    return [whole[:, start : start + columns] for start in range(0, len(intercept), columns)]
