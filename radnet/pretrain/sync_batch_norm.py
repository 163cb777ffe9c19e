"""Batch norm whose statistics are those of the batch of all ranks together.

torch and timm have it for CUDA alone. With gloo it is done here, so that what two ranks compute on CPUs, in tests
above all, is what one rank computes.

Shape legend: B slices on this rank, C channels.
"""

from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise_batch_norm(module: nn.Module) -> None:
    """Replace every batch norm inside `module`, in place, when there are several ranks.

    Parameters and buffers stay the same objects under the same names, activations that timm keeps inside its norms
    stay there, and in evaluation nothing changes. Call it before the optimizer is built and the method is wrapped.

    Args:
        module: A method or a network; it is not a batch norm itself.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    if distributed.get_backend() == "nccl":
        # timm's: torch's own converter drops the activation of timm's BatchNormAct2d
        convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return
    for owner in list(module.modules()):
        for name, child in owner.named_children():
            if isinstance(child, _BatchNorm):
                setattr(owner, name, _Synchronised(child))


class _Synchronised(_BatchNorm):
    """A batch norm of any number of dimensions over all ranks, and the activation that may hang on it.

    Args:
        source: Whose parameters, buffers and activation it takes over.
    """

    def __init__(self, source: _BatchNorm) -> None:
        super().__init__(source.num_features, source.eps, source.momentum, source.affine, source.track_running_stats)
        self.weight, self.bias = source.weight, source.bias
        self.running_mean, self.running_var = source.running_mean, source.running_var
        self.num_batches_tracked = source.num_batches_tracked
        for name, child in source.named_children():  # timm's drop and act
            self.add_module(name, child)
        self.train(source.training)

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002 - torch's name
        """Any (B, C, …) will do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, …) to the same shape and dtype; statistics in float32."""
        normal: torch.Tensor = self._normalise(x) if self.training else super().forward(x)
        for child in self.children():
            normal = child(normal)
        return normal

    def _normalise(self, x: torch.Tensor) -> torch.Tensor:
        exact = x.float()
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        rows = exact.new_full((1,), exact.numel() / exact.shape[1])
        sums = sum_over_ranks(torch.cat([exact.sum(axes), rows]))
        count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = exact - mean.view(shape)
        variance = sum_over_ranks(centred.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach(), count)
        scaled: torch.Tensor = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor, count: torch.Tensor) -> None:
        """Running statistics as torch's batch norm keeps them: with the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.float() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)


class _SumOverRanks(torch.autograd.Function):
    """A sum over ranks whose gradient is the sum over ranks of the gradients."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


@torch.compiler.disable  # type: ignore[untyped-decorator]
def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Sum of `values` over all ranks, which gradients pass through; every rank must call it."""
    total: torch.Tensor = _SumOverRanks.apply(values)
    return total
