"""Maximum mean discrepancy between two sets, tested by shuffling patients.

Shape legend: N items of both sets together, B shuffles.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.arrays import Floats, checked, median_squared_distance, squared_distances
from radnet.analysis.significance import PermutationTest, tested
from radnet.errors import RadnetError


def mmd_squared(kernel: Floats, first: NDArray[np.bool_]) -> Floats:
    """Unbiased squared MMD of several divisions of the same items into two sets.

    MMD^2 = mean of k(a, a') + mean of k(b, b') - 2 mean of k(a, b), pairs of an item with itself left out (Gretton et
    al. 2012, JMLR 13, equation 3).

    Args:
        kernel: Kernel values of all pairs, (N, N), symmetric.
        first: Which items are in the first set, bool, (B, N); both sets hold at least two items.

    Returns:
        float64, (B,); it may be slightly negative.
    """
    own = kernel - np.diag(np.diag(kernel))
    a = first.astype(own.dtype)
    to_all = a @ own
    within_a, from_a = (to_all * a).sum(1), to_all.sum(1)
    within_b, between = own.sum() - 2 * from_a + within_a, from_a - within_a
    count_a = first.sum(1).astype(np.float64)
    count_b = first.shape[1] - count_a
    mean_a, mean_b = within_a / (count_a * (count_a - 1)), within_b / (count_b * (count_b - 1))
    return np.asarray(mean_a + mean_b - 2 * between / (count_a * count_b))


def mmd_test(
    a: NDArray[Any],
    b: NDArray[Any],
    patients_a: NDArray[Any],
    patients_b: NDArray[Any],
    *,
    permutations: int = 500,
    seed: int = 0,
) -> PermutationTest:
    """Squared MMD of two sets with an RBF kernel, held against sets that differ in nothing but their patients.

    The bandwidth is the median distance of both sets together. Slices of a patient go to one side together in every
    shuffle, as they did when the sets were made; a patient who is in both sets counts once in each. Needs (N, N)
    memory, so give a sample.

    Args:
        a: (N_a, D), floating.
        b: (N_b, D), floating.
        patients_a: Patient of each item of `a`.
        patients_b: Patient of each item of `b`.
        permutations: Number of shuffles.
        seed: Of the shuffles.

    Raises:
        RadnetError: Fewer than 2 items or 2 patients on a side, or a feature is not finite.
    """
    features = np.concatenate([checked(a, 2), checked(b, 2)]).astype(np.float64)
    units_a, unit_of_a = np.unique(np.asarray(patients_a), return_inverse=True)
    units_b, unit_of_b = np.unique(np.asarray(patients_b), return_inverse=True)
    if min(len(units_a), len(units_b)) < 2:
        raise RadnetError("A test of two sets needs two patients in each", seen=(len(units_a), len(units_b)))
    bandwidth = median_squared_distance(features, seed=seed)
    distances = squared_distances(features, features)
    kernel = np.exp(-distances / (2 * bandwidth)) if bandwidth > 0 else np.ones_like(distances)
    unit = np.concatenate([unit_of_a, unit_of_b + len(units_a)])
    observed = np.arange(len(features)) < len(a)
    units = len(units_a) + len(units_b)
    generator = np.random.default_rng(seed)
    sides = np.stack([generator.permutation(units) < len(units_a) for _ in range(permutations)])
    shuffled = sides[:, unit]
    usable = (shuffled.sum(1) > 1) & ((~shuffled).sum(1) > 1)
    values = mmd_squared(kernel, np.concatenate([observed[None], shuffled[usable]]))
    return tested(float(values[0]), values[1:])
