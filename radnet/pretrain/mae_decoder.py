"""MAE's decoder: a light transformer that fills in what was hidden (arXiv 2111.06377, section 3).

Shape legend: B images, N patches, V visible patches, M hidden ones, T tokens that are no patch (class, registers).
"""

import torch
from timm.models.vision_transformer import Block
from torch import nn

from radnet.pretrain.patches import gather_tokens, sine_cosine_positions


class MaeDecoder(nn.Module):
    """Tokens of the visible patches in, pixels of the hidden patches out.

    Args:
        features: Width of the encoder.
        width: Of the decoder.
        depth: Number of blocks.
        heads: Attention heads of a block.
        side: Patches along an edge of the image.
        prefix: T.
        pixels: Values a patch.
    """

    positions: torch.Tensor

    def __init__(
        self, features: int, *, width: int, depth: int, heads: int, side: int, prefix: int, pixels: int
    ) -> None:
        super().__init__()
        self.prefix = prefix
        self.enter = nn.Linear(features, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)  # as in timm's blocks
        self.leave = nn.Linear(width, pixels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.mask_token, std=0.02)
        self.register_buffer("positions", sine_cosine_positions(width, side)[None], persistent=False)

    def no_weight_decay(self) -> set[str]:
        """Names that `Method.parameter_groups` spares."""
        return {"mask_token"}

    def forward(self, encoded: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Predict the hidden patches.

        Args:
            encoded: (B, T + V, features).
            order: (B, N), numbers of the patches, the V visible ones first.

        Returns:
            (B, M, pixels), in the order of the last M of `order`.
        """
        tokens = self.enter(encoded)
        prefix, visible = tokens[:, : self.prefix], tokens[:, self.prefix :]
        hidden = order.shape[1] - visible.shape[1]
        masks = self.mask_token.to(visible.dtype).expand(len(visible), hidden, -1)
        positions = gather_tokens(self.positions.expand(len(order), -1, -1), order).to(visible.dtype)
        # the blocks do not care for the order of tokens, so they stay in that of `order`
        x = self.blocks(torch.cat([prefix, torch.cat([visible, masks], dim=1) + positions], dim=1))
        predicted: torch.Tensor = self.leave(self.norm(x[:, -hidden:]))
        return predicted
