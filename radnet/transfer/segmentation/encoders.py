"""A timm backbone as the encoder of a segmentation network.

The very module that gives the features of the other protocols is asked for its intermediate feature maps, so no
weight is copied by name and none can be lost on the way.

Shape legend: B batch, C channels, H height, W width, D features of a map.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn

from radnet.errors import UsageError
from radnet.models import LoadedModel


@dataclass(frozen=True)
class FeatureMap:
    """One of the maps that an encoder gives.

    Attributes:
        number: Its place in the encoder's list of maps.
        channels: D.
        reduction: How many pixels of the input one step in it is: a power of 2, unless all maps are of one size.
    """

    number: int
    channels: int
    reduction: int


class Encoder(nn.Module):
    """Feature maps of a backbone, from the finest to the coarsest, or of the blocks of a plain ViT.

    Args:
        backbone: A timm model.
        channels: Channels of its input.
        size: Side of the pictures.

    Raises:
        UsageError: The backbone gives no feature maps, or does not take pictures of this size.
    """

    def __init__(self, backbone: nn.Module, channels: int, size: int) -> None:
        super().__init__()
        self.backbone = backbone
        if not hasattr(backbone, "forward_intermediates"):
            raise UsageError(
                "This backbone gives no feature maps, so nothing can be segmented with it",
                seen=type(backbone).__name__,
                fix="Take a timm backbone with forward_intermediates: most CNNs, plain and hierarchical ViTs",
            )
        self.maps = self._find_maps(channels, size)
        self.plain = len(self.maps) > 1 and len({one.reduction for one in self.maps}) == 1
        if self.plain:
            self._chosen = _spread(self.maps, PLAIN_MAPS)
        else:
            # of several maps of one size the last has seen most
            self._chosen = [one for one in {one.reduction: one for one in self.maps}.values() if one.reduction > 1]

    @property
    def chosen(self) -> list[FeatureMap]:
        """The maps that `forward` gives."""
        return list(self._chosen)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """The chosen feature maps, each (B, D, h, w)."""
        maps = self._all(pictures)
        return [maps[one.number] for one in self._chosen]

    def _all(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = self.backbone.forward_intermediates(pictures, intermediates_only=True)  # type: ignore[operator]
        return maps

    @torch.no_grad()
    def _find_maps(self, channels: int, size: int) -> list[FeatureMap]:
        training = self.backbone.training
        self.backbone.eval()
        device = next(self.backbone.parameters()).device
        try:
            maps = self._all(torch.zeros(1, channels, size, size, device=device))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"The backbone does not take pictures of {size} x {size}: {error}",
                fix="Set task.size to what the backbone takes",
            ) from error
        finally:
            self.backbone.train(training)
        told = [int(one["reduction"]) for one in getattr(self.backbone, "feature_info", ())]
        if len(told) != len(maps):
            # a map that is rounded up covers a little more than the picture
            told = [2 ** math.ceil(math.log2(size / one.shape[-1]) - 0.01) for one in maps]
        return [
            FeatureMap(number, int(one.shape[1]), reduction)
            for number, (one, reduction) in enumerate(zip(maps, told, strict=True))
        ]


PLAIN_MAPS = 4
"""Blocks of a plain ViT whose outputs a decoder gets."""


def _spread(maps: list[FeatureMap], count: int) -> list[FeatureMap]:
    """Evenly spread ones, the last among them."""
    if len(maps) <= count:
        return maps
    return [maps[round((number + 1) * len(maps) / count) - 1] for number in range(count)]


def encoder_of(model: LoadedModel, channels: int, size: int) -> tuple[Encoder, str]:
    """A copy of a model's backbone as encoder, and in words what became of its input channels.

    Args:
        model: The model; it is left as it is.
        channels: Channels of the pictures: those of the model, or the sequences of a study.
        size: Side of the pictures.

    Raises:
        UsageError: See `Encoder`, or the first convolution cannot take so many channels.
    """
    backbone = copy.deepcopy(model.backbone)
    if channels == model.in_chans:
        policy = (
            "one channel" if channels == 1 else f"one image repeated to {channels} channels, the model's statistics"
        )
    else:
        widen_input(backbone, channels)
        policy = (
            f"{channels} sequences as channels; the first convolution repeats the weights of its {model.in_chans} "
            f"channels times {model.in_chans}/{channels}"
        )
    return Encoder(backbone, channels, size), policy


def widen_input(backbone: nn.Module, channels: int) -> None:
    """Let a timm model take another number of channels, in place.

    Channel c gets the weights of channel c modulo the old number, times old / new: a picture that shows the same in
    every channel gives nearly what it gave before, and random weights keep their scale.

    Raises:
        UsageError: The first convolution is not known.
    """
    names = backbone.pretrained_cfg.get("first_conv")  # type: ignore[operator, union-attr]
    for name in [names] if isinstance(names, str) else list(names or ()):
        try:
            convolution: nn.Module | None = backbone.get_submodule(name)
        except AttributeError:
            convolution = None
        if not isinstance(convolution, nn.Conv2d) or convolution.groups != 1:
            break
        old = convolution.in_channels
        weight = convolution.weight.detach()
        repeated = weight[:, [channel % old for channel in range(channels)]] * (old / channels)
        convolution.weight = nn.Parameter(repeated.clone())
        convolution.in_channels = channels
    else:
        if names:
            return
    raise UsageError(
        f"The first convolution of this backbone cannot be made to take {channels} channels",
        seen=names,
        fix="Take another backbone, or a task of single images",
    )
