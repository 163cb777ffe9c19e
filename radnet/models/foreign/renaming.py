"""From the names of another project's encoder to timm's.

torchvision's ResNets, DenseNets and VGGs, the ViTs of MAE, DINO and MoCo v3, and timm's own files already have timm's
names.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import nn

_RESNET_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Names of a torchvision ResNet's children by their place; 2 and 3 are activation and pooling."""

_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_names(names: Iterable[str], model: nn.Module) -> dict[str, str]:
    """The name in timm of every tensor of an encoder; names that are not understood stay as they are.

    Args:
        names: The encoder's, without the layout's prefix.
        model: The timm model that the weights are for.
    """
    known = list(names)
    if any(name.startswith("_conv_stem.") for name in known):
        return _lukemelas(known, model)
    if any(re.match(r"0\.", name) for name in known):
        return {name: _child(name, model) for name in known}
    return {name: _vit(name) for name in known}


def merge_positions(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with DINOv2's positions as timm keeps them where a ViT has registers.

    DINOv2 adds a position to the class token and none to registers; timm's models with registers have positions for
    patches alone, so the class token takes its own in.

    Args:
        tensors: Under timm's names.
    """
    merged = dict(tensors)
    if "reg_token" in merged and "cls_token" in merged and "pos_embed" in merged:
        positions = merged["pos_embed"]
        side = round((positions.shape[1] - 1) ** 0.5)
        if side * side == positions.shape[1] - 1:
            merged["cls_token"] = merged["cls_token"] + positions[:, :1]
            merged["pos_embed"] = positions[:, 1:]
    return merged


def _child(name: str, model: nn.Module) -> str:
    """A name that begins with the place of a child in a Sequential."""
    place, _, rest = name.partition(".")
    if hasattr(model, "layer1"):
        return f"{_RESNET_CHILDREN.get(place, place)}.{rest}"
    if place == "0" and isinstance(getattr(model, "features", None), nn.Module):
        return f"features.{rest}"
    return name


def _vit(name: str) -> str:
    """DINOv2's names where they differ: blocks in chunks, registers, the gated MLP."""
    name = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)
    name = re.sub(r"^(blocks\.\d+\.mlp\.)w12\.", r"\1fc1.", name)
    name = re.sub(r"^(blocks\.\d+\.mlp\.)w3\.", r"\1fc2.", name)
    return "reg_token" if name == "register_tokens" else name


def _lukemelas(names: list[str], model: nn.Module) -> dict[str, str]:
    """EfficientNet-PyTorch numbers all blocks in one row; timm numbers stages and blocks within them."""
    blocks = (re.match(r"blocks\.(\d+)\.(\d+)\.", key) for key in model.state_dict())
    places = sorted({(int(found.group(1)), int(found.group(2))) for found in blocks if found})
    expanded = {int(found.group(1)) for name in names if (found := re.match(r"_blocks\.(\d+)\._expand_conv\.", name))}

    def renamed(name: str) -> str:
        if block := re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)", name):
            number, layer, rest = int(block.group(1)), block.group(2), block.group(3)
            inside = _INVERTED if number in expanded else _SEPARABLE
            if number < len(places) and layer in inside:
                stage, place = places[number]
                return f"blocks.{stage}.{place}.{inside[layer]}.{rest}"
            return name
        layer, _, rest = name.partition(".")
        return f"{_OUTSIDE_BLOCKS[layer]}.{rest}" if layer in _OUTSIDE_BLOCKS else name

    return {name: renamed(name) for name in names}
