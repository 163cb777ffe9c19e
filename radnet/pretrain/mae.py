"""MAE: a vision transformer sees a quarter of a slice and reconstructs the rest (arXiv 2111.06377).

The encoder runs here, on the parts of a plain timm ViT, because it must see the visible patches alone; the ViT itself
stays as timm made it. lightly's wrapper makes new weights and is right for square, token-pooled ViTs only.

Shape legend: B slices on this rank, N patches, V visible ones, T tokens that are no patch, D features.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from timm.models import VisionTransformer, checkpoint_seq
from torch import nn

from radnet.configs import validated
from radnet.errors import UsageError
from radnet.models import create_backbone
from radnet.pretrain.families import VIT, fitting_backbone, refused
from radnet.pretrain.mae_decoder import MaeDecoder
from radnet.pretrain.method import FEATURES, Method
from radnet.pretrain.patches import (
    gather_tokens,
    masked_loss,
    mean_picture_loss,
    normalised,
    patch_pixels,
    sine_cosine_positions,
)
from radnet.views import SimclrViews, recipe_from_settings

_FAMILIES = (VIT, "the same average-pooled (backbone_arguments.global_pool=avg)")


class MaeSettings(BaseModel):
    """`configs/method/mae.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    mask_ratio: float = Field(gt=0, lt=1)
    decoder_width: int = Field(gt=0, multiple_of=4)
    decoder_depth: int = Field(ge=1)
    decoder_heads: int = Field(ge=1)
    normalise_targets: bool
    views: dict[str, Any]


class MAE(Method):
    """MAE on a plain timm ViT with one or no class token, registers, and token or average pooling.

    Args:
        backbone: timm's name of the architecture.
        settings: `configs/method/mae.yaml` as a dictionary.
        seed: Seed of the initial weights.
        backbone_arguments: More arguments of `timm.create_model`.
    """

    backbone: VisionTransformer

    def __init__(
        self, backbone: str, settings: dict[str, Any], *, seed: int, backbone_arguments: dict[str, Any]
    ) -> None:
        super().__init__()
        self.settings = own = validated(MaeSettings, settings, "method=mae")
        if own.decoder_width % own.decoder_heads:
            raise UsageError(
                "method.decoder_heads does not divide method.decoder_width",
                seen=(own.decoder_width, own.decoder_heads),
                fix="For example decoder_width=512 decoder_heads=16",
            )
        self.views = recipe = _one_view(own.views)
        try:
            network, features = fitting_backbone(
                backbone, _FAMILIES, backbone_arguments, in_chans=recipe.channels, sizes=(recipe.size,), seed=seed
            )
        except UsageError:
            _require_tokens(create_backbone(backbone), backbone)  # arguments of a recipe for ViTs fit no other family
            raise
        self.backbone = _plain_vit(network, backbone)
        self.patch = int(self.backbone.patch_embed.patch_size[0])
        side = recipe.size // self.patch
        self.visible = round(side**2 * (1 - own.mask_ratio))
        if not 0 < self.visible < side**2:
            raise UsageError(
                f"Of {side**2} patches, {self.visible} would be visible; MAE wants some visible and some hidden",
                seen=own.mask_ratio,
                fix="Take larger views (method.views.size), a smaller patch, or another method.mask_ratio",
            )
        _fix_positions(self.backbone, side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.decoder = MaeDecoder(
                features,
                width=own.decoder_width,
                depth=own.decoder_depth,
                heads=own.decoder_heads,
                side=side,
                prefix=self.backbone.num_prefix_tokens,
                pixels=self.patch**2 * recipe.channels,
            )

    def compile_backbone(self, **options: Any) -> None:
        """Compile encoder and decoder; the backbone's own `forward` has no part in the training."""
        self.encode = torch.compile(self.encode, **{"dynamic": False, **options})  # type: ignore[method-assign]
        self.decoder.compile(**{"dynamic": False, **options})

    def forward(self, views: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `Method.forward`; `views` is one tensor (B, C, H, W).

        Returns:
            "loss"; for two images and more "mean_picture", what the loss would be if all of them got the same
            picture (`mean_picture_loss`); and the pooled features of the visible patches.
        """
        (images,) = views
        order = self.draw_order(len(images), images.device)
        kept, hidden = order[:, : self.visible], order[:, self.visible :]
        encoded = self.encode(images, kept)
        with torch.no_grad():
            features = self.backbone.forward_head(encoded.detach(), pre_logits=True)
        predicted = self.decoder(self.backbone.fc_norm(encoded), order)
        with torch.autocast(images.device.type, enabled=False):
            pixels = patch_pixels(images, self.patch)
            targets = normalised(pixels) if self.settings.normalise_targets else pixels
            found = {"loss": masked_loss(predicted, gather_tokens(targets, hidden))}
            if len(images) > 1:
                found["mean_picture"] = mean_picture_loss(targets, hidden)
        return {**found, FEATURES: features.float()}

    def draw_order(self, batch: int, device: torch.device) -> torch.Tensor:
        """A random order of the patches of every image, (B, N); the first are visible.

        From torch's generator, which the loop seeds for every step: a continued run hides the same patches.
        """
        side = self.views.size // self.patch
        return torch.rand(batch, side**2, device=device).argsort(dim=1)

    def encode(self, images: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Tokens (B, T + V, D) of the visible patches, as the ViT's `forward_features` gives them for all.

        Args:
            images: (B, C, H, W).
            kept: (B, V), numbers of the visible patches.
        """
        vit = self.backbone
        tokens = vit._pos_embed(vit.patch_embed(images))
        prefix, patches = tokens[:, : vit.num_prefix_tokens], tokens[:, vit.num_prefix_tokens :]
        x = vit.norm_pre(torch.cat([prefix, gather_tokens(patches, kept)], dim=1))
        x = checkpoint_seq(vit.blocks, x) if vit.grad_checkpointing and self.training else vit.blocks(x)
        encoded: torch.Tensor = vit.norm(x)
        return encoded

    def landmarks(self, global_batch: int) -> dict[str, float]:
        """Grey patches cost 1, when targets are normalised; `mean_picture` in the log is told for every batch."""
        return {"collapse": 1.0} if self.settings.normalise_targets else {}


def _plain_vit(network: nn.Module, architecture: str) -> VisionTransformer:
    """Refuse what MAE cannot run on the visible patches alone, or would leave untrained."""
    network = _require_tokens(network, architecture)
    if network.attn_pool is not None:
        raise refused("MAE would leave the attention pooling of this backbone untrained", architecture, _FAMILIES)
    if network.pos_embed is None:
        raise refused("MAE needs positions, and this backbone has none", architecture, _FAMILIES)
    if not isinstance(network.patch_drop, nn.Identity) or network.dynamic_img_size:
        raise refused(
            "MAE hides patches itself, of images of one size",
            architecture,
            _FAMILIES,
            "Leave patch_drop_rate and dynamic_img_size out of backbone_arguments",
        )
    if network.embed_dim % 4:
        raise refused("MAE needs a width that 4 divides, for its positions", architecture, _FAMILIES)
    return network


def _require_tokens(network: nn.Module, architecture: str) -> VisionTransformer:
    if type(network) is not VisionTransformer:
        raise refused("MAE hides patches, and this backbone has no tokens to leave out", architecture, _FAMILIES)
    return network


def _fix_positions(vit: VisionTransformer, side: int) -> None:
    """Fixed sine-cosine positions, as in the paper; tokens that are no patch have none."""
    positions = sine_cosine_positions(vit.embed_dim, side)
    whole = torch.zeros_like(cast(torch.Tensor, vit.pos_embed))
    whole[0, -len(positions) :] = positions
    vit.pos_embed = nn.Parameter(whole, requires_grad=False)


def _one_view(settings: dict[str, Any]) -> SimclrViews:
    recipe = recipe_from_settings({"name": "mae", **settings})
    if not isinstance(recipe, SimclrViews) or recipe.views != 1:
        raise UsageError(
            "MAE reconstructs one view",
            seen={"name": settings.get("name"), "views": len(recipe.shapes)},
            fix="Use views@method.views=mae, and leave method.views.views at 1",
        )
    return recipe
