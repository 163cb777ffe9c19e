"""Every method, small, on every family of backbones that it takes."""

from functools import cache
from typing import Any

import torch

from radnet.configs import compose
from radnet.pretrain.method import Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.registry import METHODS, build_method, resolve_method

BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "residual": ("test_resnet", {}),
    "convnext": ("test_convnext", {}),
    "efficientnet": ("test_efficientnet", {}),
    "mobilenet": ("mobilenetv3_small_050", {}),
    "vit": ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}),
    "vit averaged": (
        "vit_tiny_patch16_224",
        {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "global_pool": "avg", "reg_tokens": 2},
    ),
}
"""An architecture of every family, with the arguments that make it small; those called test_* are timm's own."""

CASES = [(method, family) for method in METHODS for family in BACKBONES if method != "mae" or family.startswith("vit")]
ONE_FAMILY = [("simclr", "residual"), ("dino", "residual"), ("dino", "vit"), ("mae", "vit")]
"""Fewer cases for what takes long: with batch norms and without."""

SMALL = {
    "simclr": ["method.views.size=32", "method.hidden_dim=16", "method.output_dim=8"],
    "dino": [
        "method.views.size=48",
        "method.views.local_size=32",
        "method.views.local_views=2",
        "method.hidden_dim=16",
        "method.bottleneck_dim=8",
        "method.output_dim=32",
        "method.freeze_last_layer_epochs=0",
    ],
    "mae": ["method.views.size=32", "method.decoder_width=16", "method.decoder_depth=1", "method.decoder_heads=2"],
}


@cache
def _composed(name: str) -> dict[str, Any]:
    return resolve_method(compose("pretrain", ["data=x", f"method={name}", *SMALL[name]])["method"], slices=100)


def small_settings(name: str, **changes: Any) -> dict[str, Any]:
    """Settings of a small method; `changes` go to the top level, `views` among them is merged."""
    settings = _composed(name)
    return {**settings, **changes, "views": {**settings["views"], **changes.get("views", {})}}


def small_method(name: str, family: str, *, seed: int = 0, **changes: Any) -> Method:
    """A small method on a small backbone, in training mode."""
    architecture, arguments = BACKBONES[family]
    return build_method(small_settings(name, **changes), architecture, seed=seed, backbone_arguments=arguments)


def random_views(method: Method, batch: int, *, seed: int = 0) -> list[torch.Tensor]:
    """Views of the shapes that the method's recipe makes, smooth enough that patches differ."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=generator) for shape in method.views.shapes]  # type: ignore[attr-defined]


def do_step(method: Method, optimizer: torch.optim.Optimizer, views: list[torch.Tensor], step: int) -> float:
    """One step as the loop does it, of a run of 10 steps; returns the loss."""
    moment = Moment(step, 5, 10)
    torch.manual_seed(step)
    method.before_step(moment)
    optimizer.zero_grad(set_to_none=True)
    loss = method(views)["loss"]
    loss.backward()
    method.before_update(moment)
    optimizer.step()
    method.after_step(moment)
    return float(loss.detach())
