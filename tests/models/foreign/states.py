"""State dicts of other projects, with the names that they publish."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]

SEQUENTIAL = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
"""Places of a torchvision ResNet's children."""


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    """The same tensors with a prefix before their names."""
    return {prefix + name: tensor for name, tensor in state.items()}


def heads(*names: str) -> State:
    """Tensors of heads."""
    return {name: torch.ones(4, 4) for name in names}


def sequential(state: Mapping[str, Tensor]) -> State:
    """A ResNet whose children were put in a Sequential."""
    return {".".join([SEQUENTIAL[name.split(".")[0]], *name.split(".")[1:]]): one for name, one in state.items()}


RESNETS: dict[str, tuple[str, Callable[[State], object]]] = {
    "the study's encoder_pretrained.tar": ("plain", lambda s: s),
    "the study's finetuned classifier": (
        "reference-study",
        lambda s: {**prefixed("encoder.", s), **heads("fc.weight", "fc.bias")},
    ),
    "the study's finetuned U-Net": (
        "reference-study",
        lambda s: {
            **prefixed("unet.backbone.", s),
            **heads("unet.upsample_blocks.0.conv1.weight", "unet.final_conv.bias"),
        },
    ),
    "torchvision": ("plain", lambda s: {**s, "fc.weight": torch.ones(7, 512), "fc.bias": torch.ones(7)}),
    "moco v2": (
        "moco",
        lambda s: {
            "epoch": 200,
            "arch": "resnet50",
            "state_dict": {
                **prefixed("module.encoder_q.", s),
                **prefixed("module.encoder_k.", s),
                **heads("module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.bias", "module.encoder_k.fc.0.weight"),
                "module.queue": torch.ones(4, 8),
                "module.queue_ptr": torch.zeros(1, dtype=torch.int64),
            },
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3, 3)}}, "param_groups": []},
        },
    ),
    "moco v3": (
        "moco",
        lambda s: {
            "state_dict": {
                **prefixed("module.base_encoder.", s),
                **prefixed("module.momentum_encoder.", s),
                **heads("module.base_encoder.fc.0.weight", "module.predictor.0.weight"),
            }
        },
    ),
    "dino, whole checkpoint": (
        "dino",
        lambda s: {
            "student": {**prefixed("module.backbone.", s), **heads("module.head.mlp.0.weight")},
            "teacher": {**prefixed("backbone.", s), **heads("head.mlp.0.weight", "head.last_layer.weight_g")},
            "epoch": 99,
        },
    ),
    "lightly, children": (
        "lightly",
        lambda s: {
            "state_dict": {**prefixed("backbone.", sequential(s)), **heads("projection_head.layers.0.weight")},
            "pytorch-lightning_version": "2.1.0",
        },
    ),
    "lightly, benchmark": (
        "lightly",
        lambda s: {
            "state_dict": {
                **prefixed("backbone.", s),
                **heads("projection_head.layers.0.weight", "online_classifier.linear.weight"),
            }
        },
    ),
    "lightly, moco": (
        "lightly",
        lambda s: {
            "state_dict": {
                **prefixed("backbone.", s),
                **prefixed("backbone_momentum.", s),
                **heads("projection_head.layers.0.weight", "projection_head_momentum.layers.0.weight"),
                "criterion.memory_bank.bank": torch.ones(4, 4),
            }
        },
    ),
    "lightly, dino": (
        "lightly",
        lambda s: {
            **prefixed("teacher_backbone.", sequential(s)),
            **prefixed("student_backbone.", sequential(s)),
            **heads("teacher_head.layers.0.weight", "student_head.layers.0.weight"),
        },
    ),
    "solo-learn": (
        "solo-learn",
        lambda s: {
            "state_dict": {
                **prefixed("backbone.", s),
                **prefixed("momentum_backbone.", s),
                **heads("projector.0.weight", "momentum_projector.0.weight", "classifier.weight", "predictor.0.weight"),
            }
        },
    ),
    "solo-learn of before": (
        "solo-learn",
        lambda s: {"state_dict": {**prefixed("encoder.", s), **heads("projector.0.weight", "classifier.weight")}},
    ),
    "RadImageNet": ("radimagenet", lambda s: prefixed("backbone.", sequential(s))),
    "VICReg": (
        "solo-learn",
        lambda s: {"model": {**prefixed("module.backbone.", s), **heads("module.projector.0.weight")}},
    ),
    "compiled and distributed": ("plain", lambda s: prefixed("_orig_mod.module.", s)),
    "Barlow Twins' released file": ("plain", lambda s: s),
}
"""What the file is -> the layout that is recognised, and the file's content from a torchvision ResNet-18 without fc."""


def mae(vit: Mapping[str, Tensor]) -> State:
    """A MAE checkpoint of before finetuning from a timm ViT's state."""
    decoder = ("decoder_embed.weight", "decoder_blocks.0.attn.qkv.weight", "decoder_norm.weight", "decoder_pred.weight")
    return {**vit, **heads(*decoder), "mask_token": torch.ones(1, 1, 4), "decoder_pos_embed": torch.ones(1, 5, 4)}


def dinov2(vit: Mapping[str, Tensor], *, registers: bool, chunks: bool, gated: bool) -> State:
    """A DINOv2 backbone from the state of the timm ViT that it becomes.

    Args:
        vit: timm's state.
        registers: Positions hold one for the class token, whose own value is what is left.
        chunks: Blocks lie in chunks of one.
        gated: The MLP is a SwiGLU.
    """
    state: State = {"mask_token": torch.ones(1, 4)}
    for name, tensor in vit.items():
        parts = name.split(".")
        if chunks and parts[0] == "blocks":
            parts = ["blocks", parts[1], *parts[1:]]
        if gated:
            parts = [{"fc1": "w12", "fc2": "w3"}.get(part, part) for part in parts]
        state[".".join(parts)] = tensor
    if registers:
        of_class = torch.full_like(state["cls_token"], 0.25)
        state["register_tokens"] = state.pop("reg_token")
        state["cls_token"] = state["cls_token"] - of_class
        state["pos_embed"] = torch.cat([of_class, state["pos_embed"]], dim=1)
    return state


def lukemelas_names(repeats: tuple[int, ...], *, squeeze: bool) -> list[str]:
    """Names of EfficientNet-PyTorch: block after block in one row, the first stage without expansion."""

    def norm(prefix: str) -> list[str]:
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{prefix}.{part}" for part in parts]

    names = ["_conv_stem.weight", *norm("_bn0")]
    for block in range(sum(repeats)):
        own = f"_blocks.{block}."
        if block >= repeats[0]:
            names += [f"{own}_expand_conv.weight", *norm(f"{own}_bn0")]
        names += [f"{own}_depthwise_conv.weight", *norm(f"{own}_bn1")]
        if squeeze:
            names += [f"{own}_se_{part}.{kind}" for part in ("reduce", "expand") for kind in ("weight", "bias")]
        names += [f"{own}_project_conv.weight", *norm(f"{own}_bn2")]
    return [*names, "_conv_head.weight", *norm("_bn1"), "_fc.weight", "_fc.bias"]
