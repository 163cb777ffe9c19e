"""L-BFGS on several smooth convex problems side by side, so that one evaluation serves all of them.

scipy's solver asks for one point of one problem at a time; here every evaluation gets one point of each unfinished
problem, which for regressions on the same features is one matrix product instead of many thin ones.

Method: Nocedal & Wright 2006, *Numerical Optimization*, algorithm 7.4 with the scaling of (7.20), and backtracking to
Armijo's condition. Strict convexity makes every step fit for the update, so no search for curvature is needed.

Shape legend: G problems, A active ones, V variables of each (any trailing shape).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Evaluate = Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]
"""Points (A, …) and numbers (A,) of active problems -> values (A,) and gradients (A, …)."""

SUFFICIENT = 1e-4
SHRINK = 0.35
SMALLEST_STEP = 1e-8
ROUNDING = 1e-9
"""Share of a value below which a rise is rounding: single precision in the evaluation, summed over many items."""
STALLED_AFTER = 10
"""Accepted steps without a new lowest value after which only rounding is left to be minimised."""


@dataclass(frozen=True)
class Minima:
    """Where the problems ended.

    Attributes:
        points: float64, (G, …).
        converged: bool, (G,).
        passes: Evaluations in all.
    """

    points: Array
    converged: NDArray[np.bool_]
    passes: int


class _Problem:
    """One problem's point, its history, and the trial that is evaluated next."""

    def __init__(self, point: Array, history: int) -> None:
        self.point = self.trial = point
        self.value = self.lowest = np.inf
        self.stalled = 0
        self.gradient = self.direction = np.zeros_like(point)
        self.step = 1.0
        self.steps = 0
        self.finished = self.converged = False
        self._pairs: deque[tuple[Array, Array, float]] = deque(maxlen=history)

    def take(self, value: float, gradient: Array, max_iter: int, tolerance: float) -> None:
        """Accept or shorten the trial that was evaluated, and set the next."""
        first = not np.isfinite(self.value)
        descent = 0.0 if first else self.step * float(np.vdot(self.gradient, self.direction))
        if not first and not value <= self.value + SUFFICIENT * descent + ROUNDING * abs(self.value):
            self.step *= SHRINK
            if self.step < SMALLEST_STEP:
                self._finish(tolerance)
                return
        else:
            if not first:
                moved, turned = self.trial - self.point, gradient - self.gradient
                bend = float(np.vdot(moved, turned))
                if bend > 0:
                    self._pairs.append((moved, turned, bend))
                self.steps += 1
            self.point, self.value, self.gradient = self.trial, value, gradient
            self.stalled = 0 if value < self.lowest else self.stalled + 1
            self.lowest = min(self.lowest, value)
            ended = self.steps >= max_iter or self.stalled >= STALLED_AFTER
            if ended or np.abs(gradient).max() <= tolerance:
                self._finish(tolerance)
                return
            self.direction = -self._times_inverse_hessian(gradient)
            # Without a history the gradient's length says nothing about a good step.
            self.step = 1.0 if self._pairs else min(1.0, 1 / float(np.linalg.norm(gradient)))
        self.trial = self.point + self.step * self.direction

    def _finish(self, tolerance: float) -> None:
        self.finished = True
        # A search that ends at the last digits is as good as the tolerance; one that ends elsewhere is not.
        at_last_digits = self.step < SMALLEST_STEP or self.stalled >= STALLED_AFTER
        self.converged = bool(np.abs(self.gradient).max() <= (10 if at_last_digits else 1) * tolerance)
        self._pairs.clear()

    def _times_inverse_hessian(self, gradient: Array) -> Array:
        result = gradient.copy()
        shares = []
        for moved, turned, bend in reversed(self._pairs):
            share = float(np.vdot(moved, result)) / bend
            shares.append(share)
            result -= share * turned
        if self._pairs:
            _, turned, bend = self._pairs[-1]
            result *= bend / float(np.vdot(turned, turned))
        for (moved, turned, bend), share in zip(self._pairs, reversed(shares), strict=True):
            result += (share - float(np.vdot(turned, result)) / bend) * moved
        return result


def minimise(evaluate: Evaluate, start: Array, *, max_iter: int, tolerance: float, history: int = 10) -> Minima:
    """Minimise every problem.

    Args:
        evaluate: See `Evaluate`; called with the problems that are not finished.
        start: First point of each, float64, (G, …).
        max_iter: Most steps of a problem.
        tolerance: Largest component of the gradient at which a problem is finished.
        history: Past steps kept of each problem.
    """
    problems = [_Problem(point, history) for point in start]
    passes = 0
    while active := [number for number, problem in enumerate(problems) if not problem.finished]:
        values, gradients = evaluate(np.stack([problems[number].trial for number in active]), np.asarray(active))
        passes += 1
        for number, value, gradient in zip(active, values, gradients, strict=True):
            problems[number].take(float(value), gradient, max_iter, tolerance)
    return Minima(
        np.stack([problem.point for problem in problems]),
        np.asarray([problem.converged for problem in problems]),
        passes,
    )
