"""Activations of stages against timm's own, and how often the network runs for them."""

import pytest
import torch
from torch import nn

from radnet.analysis.layers import MOST_LAYERS, OUTPUT, layer_activations
from radnet.models import create_backbone

SIZE = 64


def _runs_a_batch(backbone: nn.Module, pictures: torch.Tensor) -> int:
    """How often the first convolution runs for a batch behind the first, which is looked at more closely."""
    runs: list[int] = []  # hooks are copied with the network
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    hook = first.register_forward_hook(lambda *_: runs.append(1))
    counts = []
    for batches in (2, 3):
        runs.clear()
        layer_activations(backbone, pictures.split(len(pictures) // batches))
        counts.append(len(runs))
    hook.remove()
    return counts[1] - counts[0]


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
@torch.inference_mode()
def test_stages_and_output_are_timm_s(name: str) -> None:
    arguments = {"img_size": SIZE, "depth": 3} if name.startswith("vit") else {}
    backbone = create_backbone(name, seed=0, **arguments).eval()
    pictures = torch.randn(6, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    stages = backbone.forward_intermediates(pictures, intermediates_only=True)  # type: ignore[operator]
    found = layer_activations(backbone, pictures.split(2))
    assert _runs_a_batch(backbone, pictures) == 1
    assert list(found)[-1] == OUTPUT
    assert len(found) == 1 + min(len(stages), MOST_LAYERS)
    assert torch.allclose(torch.from_numpy(found[OUTPUT]), backbone(pictures), rtol=1e-4, atol=1e-5)
    last = stages[-1].mean((2, 3)) if stages[-1].ndim == 4 else stages[-1].mean(1)
    assert torch.allclose(torch.from_numpy(found[f"stage {len(stages)}"]), last, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_a_head_of_another_kind_costs_a_second_pass() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward_intermediates(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
            last = self.conv(pictures)
            return last, [last]

        def forward_head(self, last: torch.Tensor) -> torch.Tensor:
            return last.mean((2, 3))

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return self.conv(pictures).amax((2, 3))

    own = Own().eval()
    pictures = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = layer_activations(own, pictures.split(2))
    assert _runs_a_batch(own, pictures) == 2
    assert torch.allclose(torch.from_numpy(found[OUTPUT]), own.conv(pictures).amax((2, 3)), atol=1e-6)


@torch.inference_mode()
def test_a_network_without_stages_gives_its_output() -> None:
    pictures = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    flat = nn.Flatten().eval()
    found = layer_activations(flat, pictures.split(3))
    assert list(found) == [OUTPUT]
    assert torch.equal(torch.from_numpy(found[OUTPUT]), flat(pictures))
