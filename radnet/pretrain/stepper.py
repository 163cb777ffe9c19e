"""One optimizer step: forward and backward over micro-batches, then the update, unless something is not finite."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from radnet.pretrain.final_form import into_model
from radnet.pretrain.method import FEATURES, Method
from radnet.pretrain.moment import Moment
from radnet.pretrain.processes import Processes
from radnet.pretrain.settings import PretrainSettings

LEAST_SCALE = 1.0
"""fp16's loss scale below which gradients that overflow are no matter of the scale any more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a step. The same on every rank.

    Attributes:
        is_bad: The loss or a gradient was not finite on some rank; nothing was updated.
        is_overflow: fp16's loss scale was too large and was lowered; nothing was updated.
        is_stop: Some rank was asked to stop.
    """

    is_bad: bool
    is_overflow: bool
    is_stop: bool


class Stepper:
    """Runs the steps of a method on one rank.

    A step is `accumulate_gradients`, which queues the work on the device, then `update`, which waits for it once to
    learn whether all is finite. What the host has to do meanwhile fits in between.

    Args:
        method: In its final form, on its device.
        optimizer: Of its parameters.
        scaler: Of the loss, for fp16; disabled otherwise.
        settings: The run's settings.
        processes: This process's place.
    """

    def __init__(
        self,
        method: Method,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        settings: PretrainSettings,
        processes: Processes,
    ) -> None:
        self._method, self._optimizer, self._scaler, self._processes = method, optimizer, scaler, processes
        self._micro_batches, self._clip_norm = settings.accumulate, settings.optimizer.clip_norm
        self._precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(settings.precision)
        self._model = into_model(method, settings, processes)
        self._parameters = [one for group in optimizer.param_groups for one in group["params"]]
        # by name: a method may put another tensor in a buffer's place
        self._places = [(owner, name) for owner in method.modules() for name in owner._buffers]
        self._kept = [torch.empty_like(buffer) for buffer in self._buffers()]
        self.values: dict[str, torch.Tensor] = {}
        self.features: torch.Tensor | None = None

    def accumulate_gradients(self, views: Sequence[torch.Tensor]) -> None:
        """Forward and backward of one batch; `values` and `features` then hold what was seen.

        Args:
            views: One tensor (B, C, H, W) a view on the device; B divides by the number of micro-batches.
        """
        _copy(self._kept, self._buffers())
        pieces = list(zip(*(view.chunk(self._micro_batches) for view in views), strict=True))
        seen = []
        for number, piece in enumerate(pieces):
            with self._quiet() if number + 1 < len(pieces) else nullcontext():
                with self._autocast():
                    values = self._model(list(piece))
                if number == 0:
                    # right before backward takes their memory again: a tenth of a small step on a CPU, where forward
                    # would have taken it, and backward asked the system for new pages
                    self._optimizer.zero_grad(set_to_none=True)
                self.features = values.pop(FEATURES, None)
                self._scaler.scale(values["loss"] / len(pieces)).backward()
            seen.append({name: value.detach() for name, value in values.items()})
        self.values = {name: torch.stack([one[name] for one in seen]).mean(0) for name in seen[0]}

    def update(self, moment: Moment, *, stop: bool) -> Outcome:
        """The optimizer's update, if every rank's loss and gradients are finite.

        Args:
            moment: The step at hand.
            stop: Whether this process was asked to stop; all ranks learn it with the same message.
        """
        if self._scaler.is_enabled():
            self._scaler.unscale_(self._optimizer)
        self._method.before_update(moment)
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.values["gradient_norm"] = norm.detach()
        flags = torch.stack([~torch.isfinite(self.values["loss"]), ~torch.isfinite(norm)]).to(torch.int32)
        if self._processes.world_size > 1:
            flags = torch.cat([flags, torch.tensor([stop], dtype=torch.int32).to(flags.device, non_blocking=True)])
            stop = bool(self._processes.greatest(flags)[2])
        lost, overflown = (bool(flag) for flag in flags[:2].tolist())
        is_overflow = overflown and not lost and self._scaler.is_enabled() and self._scaler.get_scale() > LEAST_SCALE
        is_bad = (lost or overflown) and not is_overflow
        if is_bad:
            self._forget()
        else:
            if self._clip_norm is not None:
                nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
            self._scaler.step(self._optimizer)  # fp16: leaves out the update itself when gradients overflowed
            self._scaler.update()
        return Outcome(is_bad, is_overflow, stop)

    def _forget(self) -> None:
        """As if the batch had not been: batch norms and centres took it in during forward."""
        _copy(self._buffers(), self._kept)
        self._optimizer.zero_grad(set_to_none=True)
        if self._scaler.is_enabled():
            self._scaler.update(self._scaler.get_scale())

    def _buffers(self) -> list[torch.Tensor]:
        found = (owner._buffers[name] for owner, name in self._places)
        return [buffer for buffer in found if buffer is not None]

    def _autocast(self) -> AbstractContextManager[None]:
        if self._precision is None:
            return nullcontext()
        return torch.autocast(self._processes.device.type, dtype=self._precision)

    def _quiet(self) -> AbstractContextManager[None]:
        """Gradients of all micro-batches but the last stay on their rank."""
        return self._model.no_sync() if isinstance(self._model, DistributedDataParallel) else nullcontext()


@torch.no_grad()
def _copy(to: list[torch.Tensor], source: list[torch.Tensor]) -> None:
    if to:
        torch._foreach_copy_(to, source)
