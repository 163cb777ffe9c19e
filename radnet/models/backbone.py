"""timm backbones: image -> one feature vector.

Shape legend: B batch, C channels, H height, W width, D features.
"""

from typing import Any

import torch
from torch import nn

from radnet.errors import UsageError, did_you_mean


def require_architecture(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        UsageError: With the closest known names.
    """
    import timm  # takes seconds, and whoever only looks at finished cells has no use for it

    if not timm.is_model(name.split(".")[0]):
        raise UsageError(
            "Unknown backbone",
            seen=name,
            fix=f"{did_you_mean(name, timm.list_models())}. List them with: python -c "
            "'import timm; print(timm.list_models())'",
        )


def create_backbone(
    architecture: str, *, in_chans: int = 1, seed: int | None = None, classes: int = 0, **arguments: Any
) -> nn.Module:
    """A timm model with random weights, without classifier unless `classes` are given.

    Args:
        architecture: A timm model name ("resnet50", "vit_small_patch16_224").
        in_chans: Channels of its input.
        seed: Seed of the random weights; None draws from torch's current state.
        classes: Outputs of its classifier; 0 for none.
        arguments: More arguments of `timm.create_model` (`img_size`, `drop_path_rate`, …).

    Returns:
        A module that maps (B, C, H, W) to features (B, D), or to (B, classes).

    Raises:
        UsageError: timm knows no such model or does not take an argument.
    """
    import timm

    require_architecture(architecture)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            model: nn.Module = timm.create_model(
                architecture, pretrained=False, num_classes=classes, in_chans=in_chans, **arguments
            )
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"timm cannot make this backbone with these arguments: {error}",
                seen={"backbone": architecture, "in_chans": in_chans, **arguments},
                fix="Take another backbone, or correct backbone_arguments; ~backbone_arguments.NAME leaves out one "
                "that a recipe has set",
            ) from error
    return model


@torch.no_grad()
def embedding_size(backbone: nn.Module, in_chans: int, size: int) -> int:
    """Number of features D that the backbone gives for a (1, in_chans, size, size) input.

    Raises:
        UsageError: The backbone does not take images of this size.
    """
    training = backbone.training
    backbone.eval()
    try:
        features = backbone(torch.zeros(1, in_chans, size, size))
    except (AssertionError, RuntimeError) as error:
        raise UsageError(
            f"The backbone does not take images of {size} x {size}: {error}",
            fix="Set the size to what the backbone takes, or give backbone_arguments.img_size",
        ) from error
    finally:
        backbone.train(training)
    if features.ndim != 2:
        raise UsageError(
            "The backbone gives no single feature vector a picture",
            seen=tuple(features.shape),
            fix="Take a timm backbone that pools",
        )
    return int(features.shape[1])


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, trainable or not."""
    return sum(parameter.numel() for parameter in module.parameters())
