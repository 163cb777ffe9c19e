"""Gaussian noise out of a bank: drawing it anew took three quarters of the time of a view."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

BANK_VALUES = 1 << 21
"""Values of the bank: 8 MiB a process, and some two million different pieces for views of common sizes."""


def standard_noise(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """Noise of mean 0 and standard deviation 1.

    The values are a random piece of a constant bank, so they still depend on `generator` alone. A piece is never
    shorter than asked for: shapes of more than half the bank are drawn anew.

    Args:
        shape: Shape of the result.
        generator: Chooses the piece.

    Returns:
        float32 of that shape; read-only.
    """
    count = math.prod(shape)
    if count > BANK_VALUES // 2:
        return generator.standard_normal(shape, dtype=np.float32)
    start = int(generator.integers(BANK_VALUES - count + 1))
    return _bank()[start : start + count].reshape(shape)


@functools.cache
def _bank() -> NDArray[np.float32]:
    """The same in every process."""
    values = np.random.default_rng(0).standard_normal(BANK_VALUES, dtype=np.float32)
    values.flags.writeable = False
    return values
