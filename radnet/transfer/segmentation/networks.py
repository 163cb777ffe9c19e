"""Decoders: from feature maps to one map a structure.

Encoders whose maps grow coarser get the U-Net of segmentation-models-pytorch (Ronneberger et al. 2015, arXiv
1505.04597). Plain ViTs, whose maps are all of one size, get a light decoder: the maps of four blocks side by side,
mixed by a 1 x 1 convolution, then enlarged twofold with a convolution each time until a step is at most two pixels.
Both end in logits of the size of the picture; each structure has a sigmoid of its own, because structures may overlap.

Shape legend: B batch, H height, W width, D features, K structures.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from radnet.transfer.segmentation.encoders import Encoder

UNET_CHANNELS = (256, 128, 64, 32, 16)
"""Channels of the U-Net's blocks, from coarse to fine: the library's own."""
VIT_CHANNELS = 128


class SegmentationNetwork(nn.Module):
    """Encoder and decoder.

    Args:
        encoder: Gives the feature maps.
        structures: K.
        width: Scales the channels of the decoder; 1 is the usual size.
    """

    def __init__(self, encoder: Encoder, structures: int, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        if encoder.plain:
            reduction = encoder.maps[0].reduction
            self.decoder: nn.Module = PlainDecoder(
                [one.channels for one in encoder.chosen], structures, reduction, max(int(VIT_CHANNELS * width), 8)
            )
        else:
            self.decoder = UNetDecoder(encoder, structures, [max(int(one * width), 4) for one in UNET_CHANNELS])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits, (B, K, H, W)."""
        return self.decode(self.encoder(pictures), pictures.shape[-2:])

    def decode(self, maps: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Logits from the encoder's maps, (B, K, H, W)."""
        logits: torch.Tensor = self.decoder(maps, (int(size[0]), int(size[1])))
        return logits


class UNetDecoder(nn.Module):
    """The U-Net's decoder and head; resolutions that the encoder leaves out have no skip connection.

    Args:
        encoder: With maps of several sizes.
        structures: K.
        channels: Of the blocks, from coarse to fine.
    """

    def __init__(self, encoder: Encoder, structures: int, channels: Sequence[int]) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder  # takes seconds

        self.by_reduction = {one.reduction: number for number, one in enumerate(encoder.chosen)}
        depth = 1
        while 2**depth < max(self.by_reduction):
            depth += 1
        self.reductions = [2**level for level in range(depth + 1)]
        given = {one.reduction: one.channels for one in encoder.chosen}
        self.blocks = UnetDecoder(
            encoder_channels=[given.get(reduction, 0) for reduction in self.reductions],
            decoder_channels=list(channels[-depth:]) if depth <= len(channels) else [channels[0]] * depth,
            n_blocks=depth,
        )
        self.head = nn.Conv2d(channels[-1] if depth <= len(channels) else channels[0], structures, 3, padding=1)

    def forward(self, maps: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        """Logits, (B, K, H, W)."""
        levels = []
        for reduction in self.reductions:
            if reduction in self.by_reduction:
                levels.append(maps[self.by_reduction[reduction]])
            else:
                sides = [-(-side // reduction) for side in size]
                levels.append(maps[0].new_zeros((len(maps[0]), 0, *sides)))
        logits: torch.Tensor = self.head(self.blocks(levels))
        return logits


class PlainDecoder(nn.Module):
    """The light decoder of plain ViTs.

    Args:
        channels: D of each map.
        structures: K.
        reduction: Pixels a step of the maps.
        width: Channels of the decoder.
    """

    def __init__(self, channels: Sequence[int], structures: int, reduction: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, one) for one in channels)
        self.mix = _block(sum(channels), width, kernel=1)
        steps = []
        while reduction > 2:
            finer = max(width // 2, 16)
            steps.append(_block(width, finer, kernel=3))
            width, reduction = finer, (reduction + 1) // 2
        self.steps = nn.ModuleList(steps)
        self.head = nn.Conv2d(width, structures, 1)

    def forward(self, maps: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        """Logits, (B, K, H, W)."""
        x = self.mix(torch.cat([norm(one) for norm, one in zip(self.norms, maps, strict=True)], dim=1))
        for step in self.steps:
            x = step(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        return functional.interpolate(self.head(x), size=size, mode="bilinear", align_corners=False)


def _block(ins: int, outs: int, *, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(ins, outs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outs), nn.ReLU(inplace=True)
    )
