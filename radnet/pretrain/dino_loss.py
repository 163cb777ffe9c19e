"""DINO's loss and the centre of its teacher (arXiv 2104.14294, equation 2 and algorithm 1), in float32.

Own code, because lightly's loses precision under autocast and keeps its schedule and its centre inside the loss.

Shape legend: G global views, V all views, B slices on this rank, K prototypes.
"""

from typing import NamedTuple

import torch
from torch import distributed


class DinoTerms(NamedTuple):
    """What a batch gives, all scalars in nats.

    Attributes:
        loss: Cross-entropy, mean over all pairs of a teacher's view and another view of the student; ln K when all
            outputs are alike.
        teacher_entropy: Mean entropy of the teacher's distributions; 0 when each picks one prototype, ln K when none
            says anything.
        marginal_entropy: Entropy of the mean of the teacher's distributions: ln of the number of prototypes in use.
    """

    loss: torch.Tensor
    teacher_entropy: torch.Tensor
    marginal_entropy: torch.Tensor


def dino_terms(
    student: torch.Tensor,
    teacher: torch.Tensor,
    center: torch.Tensor,
    *,
    student_temperature: float,
    teacher_temperature: float | torch.Tensor,
) -> DinoTerms:
    """Cross-entropy between every global view seen by the teacher and every other view seen by the student.

    Args:
        student: float32 (V, B, K), global views first, in the order of the teacher's.
        teacher: float32 (G, B, K), without gradients.
        center: float32 (K,), subtracted from the teacher.
        student_temperature: Divides the student's outputs.
        teacher_temperature: Divides the teacher's centred outputs.
    """
    told = _log_softmax(student / student_temperature)
    hidden = _log_softmax((teacher - center) / teacher_temperature)
    targets = hidden.exp()
    everything = told.sum(dim=0)
    globals_, views = len(teacher), len(student)
    total = student.new_zeros(())
    for view in range(globals_):
        total = total - (targets[view] * (everything - told[view])).sum(dim=-1).mean()
    entropy = -(targets * hidden).sum(dim=-1).mean()
    mean = targets.mean(dim=(0, 1))
    return DinoTerms(total / (globals_ * (views - 1)), entropy, -torch.xlogy(mean, mean).sum())


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Log-probabilities over the last axis.

    torch's own adds up its exponentials one after another on the CPU, which is wrong by 3e-6 of the loss with 65,536
    prototypes; `sum` adds them up in a tree.
    """
    shifted = logits - logits.detach().amax(dim=-1, keepdim=True)
    return shifted - shifted.exp().sum(dim=-1, keepdim=True).log()


class PendingCenter:
    """Sum of the teacher's outputs over the batches of one optimizer step, on this rank.

    The centre moves once a step, not once a forward: batches that are accumulated count as one, and a step that is
    skipped leaves no trace in it.
    """

    def __init__(self) -> None:
        self._sum: torch.Tensor | None = None

    def forget(self) -> None:
        """Begin a step."""
        self._sum = None

    @torch.no_grad()
    def add(self, teacher: torch.Tensor) -> None:
        """Count outputs (G, B, K)."""
        rows = teacher.flatten(0, 1)
        batch = torch.cat([rows.sum(dim=0), rows.new_full((1,), len(rows))])
        self._sum = batch if self._sum is None else self._sum + batch

    @torch.no_grad()
    def move(self, center: torch.Tensor, momentum: float) -> None:
        """Let `center` (K,) follow the mean over all ranks, in place (equation 4); every rank must call it."""
        if self._sum is None:
            return
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            distributed.all_reduce(self._sum)
        center.lerp_(self._sum[:-1] / self._sum[-1], 1 - momentum)
        self.forget()
