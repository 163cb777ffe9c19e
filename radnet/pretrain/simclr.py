"""SimCLR: two views of a slice attract, all other slices of the global batch repel (arXiv 2002.05709).

Shape legend: B slices on this rank, D features, P projection.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from pydantic import BaseModel, ConfigDict, Field
from torch import distributed, nn

from radnet.configs import validated
from radnet.errors import UsageError
from radnet.pretrain.families import CONVOLUTIONAL, RESIDUAL, VIT, fitting_backbone
from radnet.pretrain.method import FEATURES, Method
from radnet.views import ReferenceStudyViews, SimclrViews, recipe_from_settings


class SimclrSettings(BaseModel):
    """`configs/method/simclr.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    temperature: float = Field(gt=0)
    hidden_dim: int = Field(gt=0)
    output_dim: int = Field(gt=0)
    views: dict[str, Any]


class SimCLR(Method):
    """SimCLR on any timm backbone.

    The loss is lightly's, in float32, with negatives gathered from all ranks (exact gradients).

    Args:
        backbone: timm's name of the architecture.
        settings: `configs/method/simclr.yaml` as a dictionary.
        seed: Seed of the initial weights.
        backbone_arguments: More arguments of `timm.create_model`.
    """

    def __init__(
        self, backbone: str, settings: dict[str, Any], *, seed: int, backbone_arguments: dict[str, Any]
    ) -> None:
        super().__init__()
        own = validated(SimclrSettings, settings, "method=simclr")
        recipe = recipe_from_settings({"name": "simclr", **own.views})  # runs of before had no name here
        if not isinstance(recipe, SimclrViews | ReferenceStudyViews):
            raise UsageError(
                "SimCLR compares two views of one size",
                seen=own.views["name"],
                fix="Use views@method.views=simclr or reference_study",
            )
        if recipe.views != 2:
            raise UsageError("SimCLR compares two views", seen=recipe.views, fix="Leave method.views.views at 2")
        self.views = recipe
        self.backbone, features = fitting_backbone(
            backbone,
            (RESIDUAL, CONVOLUTIONAL, VIT),
            backbone_arguments,
            in_chans=recipe.channels,
            sizes=(recipe.size,),
            seed=seed,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.head = SimCLRProjectionHead(features, own.hidden_dim, own.output_dim)
        gather = distributed.is_initialized() and distributed.get_world_size() > 1
        self.loss = NTXentLoss(temperature=own.temperature, gather_distributed=gather)

    def forward(self, views: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `Method.forward`; `views` are two tensors (B, C, H, W).

        Returns:
            "loss", and "embedding_std": mean standard deviation of the L2-normalised projections over the batch; it
            falls to 0 when the network collapses and is 1/sqrt(P) when they fill the sphere.
        """
        first, second = views
        features = self.backbone(torch.cat([first, second]))
        with torch.autocast(features.device.type, enabled=False):
            projected = self.head(features.float())
            one, two = projected.chunk(2)
            loss = self.loss(one, two)
            spread = nn.functional.normalize(projected.detach(), dim=1).std(dim=0).mean()
        return {"loss": loss, "embedding_std": spread, FEATURES: features.detach()[: len(first)].float()}

    def landmarks(self, global_batch: int) -> dict[str, float]:
        """Chance: all 2B - 1 others are as near. Floor: the partner is the same point, the others are orthogonal."""
        others = 2 * global_batch - 1
        return {
            "chance": math.log(others),
            "floor": math.log1p((others - 1) * math.exp(-1 / self.loss.temperature)),
        }
