"""Which backbones a method takes, and building one that fits its views: everything is refused before data are read."""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
from timm.models import VisionTransformer
from torch import nn

from radnet.errors import UsageError
from radnet.models import create_backbone, embedding_size
from radnet.models.backbone import require_architecture

RESIDUAL = "residual networks (resnet50, resnext50_32x4d, regnety_016)"
CONVOLUTIONAL = "convolutional networks (convnext_tiny, tf_efficientnet_lite0, mobilenetv3_small_050)"
VIT = "plain vision transformers (vit_small_patch16_224)"
OURS = frozenset({"in_chans", "num_classes", "pretrained", "seed"})
"""Arguments of a backbone that nobody else may set."""


def fitting_backbone(
    architecture: str,
    families: Sequence[str],
    arguments: Mapping[str, Any],
    *,
    in_chans: int,
    sizes: Sequence[int],
    seed: int,
) -> tuple[nn.Module, int]:
    """A backbone with random weights that takes square images of every one of `sizes`.

    An architecture of fixed input size (a ViT) is built for the first size unless `img_size` is among the arguments;
    when there are several sizes its positions are interpolated (`dynamic_img_size`).

    Args:
        architecture: timm's name.
        families: What the method takes, for the message.
        arguments: More arguments of `timm.create_model`.
        in_chans: Channels of the images.
        sizes: Sides of the images in pixels.
        seed: Seed of the weights.

    Returns:
        The backbone, and the number of its features.

    Raises:
        UsageError: Unknown architecture, or one that does not take these images, or an argument of ours.
    """
    require_architecture(architecture)
    if ours := OURS & arguments.keys():
        raise UsageError(
            "These arguments of timm.create_model are not free: views, method and seed decide them",
            seen=", ".join(sorted(ours)),
            fix="Take them out of backbone_arguments",
        )
    arguments = dict(arguments)
    settings = timm.models.get_pretrained_cfg(architecture)
    is_vit = timm.models.model_entrypoint(architecture.split(".")[0]).__module__ == VisionTransformer.__module__
    several = len(set(sizes)) > 1
    if is_vit or (settings is not None and settings.fixed_input_size):
        arguments.setdefault("img_size", sizes[0])
    if is_vit or (several and "img_size" in arguments):
        arguments.setdefault("dynamic_img_size", several)  # some of timm's ViTs interpolate unless told not to
    try:
        backbone = create_backbone(architecture, in_chans=in_chans, seed=seed, **arguments)
    except UsageError as error:
        if "dynamic_img_size" not in error.what:
            raise
        words = f"This backbone takes one size of images, and the views have {', '.join(map(str, sizes))} px"
        raise refused(words, architecture, families) from error
    require_whole_patches(backbone, sizes)
    try:
        widths = {embedding_size(backbone, in_chans, size) for size in sizes}
    except UsageError as error:
        raise refused(error.what, architecture, families, error.fix) from error
    if len(widths) > 1:
        raise refused("The features of this backbone change with the size of the image", architecture, families)
    return backbone, widths.pop()


def require_whole_patches(backbone: nn.Module, sizes: Sequence[int]) -> None:
    """Refuse sizes that the patch of a vision transformer does not divide: it would cut off the border.

    Raises:
        UsageError: With the nearest size that fits.
    """
    if not isinstance(backbone, VisionTransformer):
        return
    patch = int(backbone.patch_embed.patch_size[0])
    for size in sizes:
        if size % patch:
            fitting = max(round(size / patch), 1) * patch
            raise UsageError(
                f"A patch of {patch} px does not divide a view of {size} px",
                seen=size,
                fix=f"For example {fitting} px: method.views.size or local_size, or backbone_arguments.patch_size",
            )


def refused(why: str, architecture: str, families: Sequence[str], fix: str | None = None) -> UsageError:
    """The error that a backbone does not fit, with what would."""
    advice = f"This method takes {'; '.join(families)}"
    return UsageError(why, seen=architecture, fix=f"{fix.rstrip('.')}. {advice}" if fix else advice)
