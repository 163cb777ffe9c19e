"""What is done to a method before its optimizer is built, and what wraps it afterwards."""

from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from radnet.errors import UsageError
from radnet.pretrain.method import Method
from radnet.pretrain.processes import Processes
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.sync_batch_norm import synchronise_batch_norm


def into_final_form(method: Method, settings: PretrainSettings, processes: Processes) -> None:
    """Replace layers, choose what is kept for backward, move to the device. The optimizer comes after this.

    Raises:
        UsageError: The backbone cannot do what the settings ask for.
    """
    if settings.sync_batch_norm:
        synchronise_batch_norm(method)
    if settings.activation_checkpointing:
        checkpoint_activations(method.trained_backbone, settings.backbone)
    method.to(processes.device)
    if settings.channels_last and processes.device.type == "cuda":
        # cuDNN would turn the weights at every step; oneDNN on the CPU chooses its own layout
        method.to(memory_format=torch.channels_last)
    method.train()


def checkpoint_activations(backbone: nn.Module, name: str) -> None:
    """Keep the inputs of blocks alone and compute the rest again in backward (arXiv 1604.06174).

    Batch norms see every batch twice that way, so their running statistics follow faster; the gradients are the same.

    Args:
        backbone: A timm model, changed in place.
        name: What the user calls it.

    Raises:
        UsageError: This backbone cannot.
    """
    try:
        backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, AttributeError) as error:
        raise UsageError(
            "timm cannot checkpoint the activations of this backbone",
            seen=name,
            fix="Set activation_checkpointing=false; accumulate=2 and precision=bf16 save memory, too",
        ) from error


def into_model(method: Method, settings: PretrainSettings, processes: Processes) -> nn.Module:
    """What the loop calls: the method itself, compiled in place if asked for, wrapped when there are several ranks.

    The names of its tensors stay, so checkpoints do not know whether a run was compiled or on how many ranks.
    """
    if settings.compile:
        method.compile_backbone()
    if processes.world_size == 1:
        return method
    device = processes.device
    arguments: dict[str, Any] = {"device_ids": [device.index]} if device.type == "cuda" else {}
    return DistributedDataParallel(method, **arguments)
