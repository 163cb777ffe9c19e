"""How much of their space features fill: the newest features of a run, and their deviation.

Shape legend: N rows (slices), D feature dimensions.
"""

import math
from collections import deque

import torch
from torch import Tensor


def embedding_std(features: Tensor) -> Tensor:
    """Deviation of the L2-normalised features over the batch, 1 where they fill the sphere and 0 where all are alike.

    The mean over dimensions of the standard deviation of each, times sqrt(D) (Chen and He 2021, arXiv 2011.10566,
    section 4.1, who divide by it: their healthy value is 1 / sqrt(D)).

    Args:
        features: (N, D), floating.

    Returns:
        A scalar on the device of the features, float32.
    """
    unit: Tensor = torch.nn.functional.normalize(features.detach().float(), dim=1)
    spread: Tensor = unit.std(dim=0, correction=0).mean()
    return spread * math.sqrt(unit.shape[1])


class NewestFeatures:
    """The features of the last steps, up to a number of rows; only those of one rank.

    Args:
        rows: Rows kept.
    """

    def __init__(self, rows: int) -> None:
        self._wanted = rows
        self._batches: deque[Tensor] = deque()
        self._held = 0

    def __len__(self) -> int:
        return min(self._held, self._wanted)

    def add(self, features: Tensor) -> None:
        """Keep a copy (N, D) on its device: what the model returned may be a view of more, or be written over."""
        self._batches.append(features.detach()[: self._wanted].clone())
        self._held += len(self._batches[-1])
        while self._held - len(self._batches[0]) >= self._wanted:
            self._held -= len(self._batches.popleft())

    def newest(self) -> Tensor:
        """The newest rows, (len(self), D)."""
        return torch.cat(list(self._batches))[-self._wanted :]

    def clear(self) -> None:
        """Give the memory back."""
        self._batches.clear()
        self._held = 0
