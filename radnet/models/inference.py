"""A copy of a network for features alone: the same function, computed faster.

In eval mode a batch norm is a scale and a shift for each channel, which the convolution before it can do as well. The
copy has them folded into it, and its weights in the order (channels last) in which CPUs and GPUs convolve quickest.
"""

import copy
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far rounding may take the features of the copy from those of the network."""


@torch.no_grad()
def for_inference(network: nn.Module, pictures: torch.Tensor) -> nn.Module:
    """A copy that gives the features of a network in less time.

    Which batch norm follows which convolution is seen on the pictures; where the folded copy does not give what the
    network gives (a convolution whose output is used elsewhere, too), nothing is folded.

    Args:
        network: Gives (B, D); in eval mode.
        pictures: Some input, float32, (B, C, H, W), on the network's device.

    Returns:
        A module of the same kind, in eval mode. It must not be trained.
    """
    pictures = pictures.to(memory_format=torch.channels_last)
    expected = network(pictures)
    folded = copy.deepcopy(network).to(memory_format=torch.channels_last)
    pairs = _pairs(folded, pictures)
    if pairs:
        names = {module: name for name, module in folded.named_modules()}
        for conv, norm in pairs:
            _replace(folded, names[conv], fuse_conv_bn_eval(conv, norm))
            _replace(folded, names[norm], _rest_of(norm))
        made = folded(pictures)
        if not torch.allclose(made, expected, rtol=RELATIVE, atol=ABSOLUTE * max(float(expected.abs().max()), 1)):
            folded = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return folded


def _pairs(network: nn.Module, pictures: torch.Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions and batch norms that run once in a pass, the one right after the other."""
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    runs: dict[nn.Module, int] = {}
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = module, output  # held, so that no other tensor gets its number
        elif inputs and id(inputs[0]) in made:
            found.append((made[id(inputs[0])][0], module))  # type: ignore[arg-type]

    # of other subclasses nobody knows what else they do
    kinds = (nn.BatchNorm2d, BatchNormAct2d)
    looked_at = [one for one in network.modules() if isinstance(one, nn.Conv2d) or type(one) in kinds]
    hooks = [one.register_forward_hook(after) for one in looked_at]
    try:
        network(pictures)
    finally:
        for hook in hooks:
            hook.remove()
    once = [pair for pair in found if runs[pair[0]] == runs[pair[1]] == 1 and pair[1].running_mean is not None]
    return once if len({conv for conv, _ in once}) == len(once) else []


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """What a norm does besides: timm's have the activation in them."""
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
