"""The quick copy of a network gives the network's features, and leaves the network as it was."""

import pytest
import torch
from torch import nn

from radnet.models import create_backbone
from radnet.models.inference import for_inference

NORMS = {
    "resnet10t": True,
    "tf_efficientnet_lite0": True,
    "resnetv2_50d": True,  # norms before the convolutions: some of them follow one
    "vit_tiny_patch16_224": False,
}


def trained(name: str) -> nn.Module:
    """A network whose norms have seen something, so that folding them is no matter of ones and zeros."""
    arguments = {"img_size": 64} if name.startswith("vit") else {}
    network = create_backbone(name, seed=0, **arguments)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.data.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias, module.running_mean):
                values.data.normal_(0, 0.2, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", NORMS)
@torch.inference_mode()
def test_the_copy_gives_the_same_features(name: str) -> None:
    network = trained(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    generator = torch.Generator().manual_seed(2)
    copied = for_inference(network, torch.randn(2, 1, 64, 64, generator=generator))
    others = torch.randn(5, 1, 64, 64, generator=generator)
    expected = network(others)
    assert (copied(others) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.is_contiguous() for parameter in network.parameters())

    def norms(module: nn.Module) -> int:
        return sum(isinstance(one, nn.BatchNorm2d) for one in module.modules())

    assert (norms(copied) < norms(network)) == NORMS[name]


class Shared(nn.Module):
    """The convolution's output is used beside its norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.norm.running_mean.fill_(0.5)  # type: ignore[union-attr, operator]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        seen = self.conv(pictures)
        return (seen + self.norm(seen)).mean((2, 3))


class Repeated(nn.Module):
    """One norm for two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
        self.norm.running_mean.fill_(0.5)  # type: ignore[union-attr, operator]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.norm(self.two(self.norm(self.one(pictures)))).mean((2, 3))


@pytest.mark.parametrize("kind", [Shared, Repeated])
@torch.inference_mode()
def test_what_cannot_be_folded_is_left(kind: type[nn.Module]) -> None:
    network = kind().eval()
    pictures = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    copied = for_inference(network, pictures)
    assert any(isinstance(one, nn.BatchNorm2d) for one in copied.modules())
    assert torch.allclose(copied(pictures), network(pictures), atol=1e-6)
