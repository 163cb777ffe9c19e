import copy

import pytest
import torch
from torch import nn

from radnet.errors import UsageError
from radnet.models import ModelName, load_model
from radnet.transfer.segmentation.encoders import encoder_of, widen_input
from radnet.transfer.segmentation.losses import segmentation_loss
from radnet.transfer.segmentation.networks import PlainDecoder, SegmentationNetwork, UNetDecoder

BACKBONES = {
    "resnet10t": UNetDecoder,
    "convnext_atto": UNetDecoder,  # no map of half the size
    "mobilenetv3_small_050": UNetDecoder,
    "vit_tiny_patch16_224": PlainDecoder,
}


def network_of(name: str, channels: int = 1, size: int = 64) -> SegmentationNetwork:
    model = load_model(ModelName.parse(f"random:{name}"), size=size)
    torch.manual_seed(0)
    return SegmentationNetwork(encoder_of(model, channels, size)[0], 3, width=0.25)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_kind_of_backbone_gets_a_decoder_and_every_tensor_gets_a_gradient(name: str) -> None:
    network = network_of(name)
    assert type(network.decoder) is BACKBONES[name]
    pictures = torch.randn(2, 1, 64, 64)
    logits = network(pictures)
    assert logits.shape == (2, 3, 64, 64)
    segmentation_loss(logits, (torch.rand(2, 3, 64, 64) > 0.5).float()).backward()
    # what lies behind the feature maps (a last norm or convolution before pooling) takes no part
    idle = [one for one, parameter in network.named_parameters() if parameter.grad is None]
    assert all(one.startswith("encoder.backbone.") for one in idle), idle
    assert len(idle) <= 8


def test_a_picture_whose_side_is_no_power_of_two() -> None:
    network = network_of("resnet10t", size=40)
    assert [one.reduction for one in network.encoder.chosen] == [2, 4, 8, 16, 32]
    assert network.eval()(torch.randn(1, 1, 40, 40)).shape == (1, 3, 40, 40)


def test_the_encoder_gives_the_models_own_features() -> None:
    model = load_model(ModelName.parse("random:resnet10t"), size=64)
    encoder, policy = encoder_of(model, 1, 64)
    pictures = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        last = encoder.eval()(pictures)[-1].mean((2, 3))
        assert torch.allclose(last, model.backbone(pictures), atol=1e-5)
    assert policy == "one channel"


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_sequences_widen_the_first_convolution(name: str) -> None:
    """A picture that is the same in all channels gives what it gave before."""
    backbone = load_model(ModelName.parse(f"random:{name}"), size=64).backbone
    wide = copy.deepcopy(backbone)
    widen_input(wide, 4)
    picture = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(wide(picture.expand(1, 4, 64, 64)), backbone(picture), atol=1e-4)


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="does not take pictures of 60 x 60"):
        encoder_of(load_model(ModelName.parse("random:vit_tiny_patch16_224"), size=64), 1, 60)
    odd = nn.Linear(3, 3)
    odd.pretrained_cfg = {}
    with pytest.raises(UsageError, match="cannot be made to take 4 channels"):
        widen_input(odd, 4)
    model = load_model(ModelName.parse("random:resnet10t"), size=64)
    object.__setattr__(model, "backbone", nn.Flatten())
    with pytest.raises(UsageError, match="gives no feature maps"):
        encoder_of(model, 1, 64)


def test_the_loss_against_a_slow_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, generator=generator, dtype=torch.float64)
    target = torch.rand(2, 2, 3, 4, generator=generator, dtype=torch.float64)
    weights = [2.0, 5.0]
    cross_entropy, dice = 0.0, 0.0
    for structure in range(2):
        both = ours = theirs = 0.0
        for batch in range(2):
            for p, t in zip(logits[batch, structure].flatten(), target[batch, structure].flatten(), strict=True):
                share = 1 / (1 + torch.exp(-p))
                weighted = weights[structure] * t * torch.log(share) + (1 - t) * torch.log(1 - share)
                cross_entropy -= float(weighted) / logits.numel()
                both, ours, theirs = both + float(share * t), ours + float(share), theirs + float(t)
        dice += (1 - (2 * both + 1) / (ours + theirs + 1)) / 2
    value = float(segmentation_loss(logits, target, torch.tensor(weights), dice=0.5))
    assert value == pytest.approx(cross_entropy + 0.5 * dice, abs=5e-6)
    assert float(segmentation_loss(logits, target, torch.tensor(weights), dice=0)) == pytest.approx(
        cross_entropy, abs=5e-6
    )
