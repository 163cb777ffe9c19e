"""DINO's projection head (arXiv 2104.14294, appendix C).

Shape legend: N views, D features, K prototypes.
"""

import torch
from torch import nn
from torch.nn import functional


class Prototypes(nn.Module):
    """A linear layer whose rows have length one, as weight normalisation with its gain held at 1 gives.

    The direction is computed in `forward` from one plain parameter. Torch's hook of old made a tensor that could not
    be copied, and its successor would put two tensors in the state for one that trains.

    Args:
        features: Width of the input.
        prototypes: K.
    """

    def __init__(self, features: int, prototypes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(features, prototypes, bias=False).weight.detach())

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        """Cosines (N, K) of unit vectors (N, features) with the prototypes."""
        return functional.linear(directions, functional.normalize(self.weight, dim=1))


class DinoHead(nn.Module):
    """Three layers, then a unit vector, then its cosines with K prototypes.

    Args:
        features: D.
        hidden_dim: Width of the two hidden layers.
        bottleneck_dim: Width of the unit vector.
        output_dim: K.
    """

    def __init__(self, features: int, hidden_dim: int, bottleneck_dim: int, output_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = Prototypes(bottleneck_dim, output_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, K), in [-1, 1]."""
        cosines: torch.Tensor = self.prototypes(functional.normalize(self.layers(features), dim=1))
        return cosines
