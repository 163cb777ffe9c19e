"""Batches that were left out because a loss or a gradient was not finite: written down, counted, limited."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.errors import RadnetError
from radnet.pretrain.arrival import Arrived
from radnet.pretrain.log import RunLog
from radnet.pretrain.processes import Processes

SKIPPED = "skipped.jsonl"


@dataclass
class SkippedBatches:
    """The count of a run, and the file that names the slices.

    Attributes:
        log: `skipped.jsonl`; a line a step, with the keys of every rank's slices.
        keys_of: Keys of rows of the set.
        limit: So many in a row stop the run.
        total: Skipped steps so far.
        in_a_row: Skipped steps since the last good one.
        overflows: Steps that fp16's loss scale left out while it was looking for its value.
    """

    log: RunLog
    keys_of: Callable[[NDArray[np.int64]], list[str]]
    limit: int
    total: int = 0
    in_a_row: int = 0
    overflows: int = 0

    def state_dict(self) -> dict[str, int]:
        """The counts."""
        return {"total": self.total, "in_a_row": self.in_a_row, "overflows": self.overflows}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on counting from a checkpoint."""
        self.total, self.in_a_row, self.overflows = state["total"], state["in_a_row"], state["overflows"]

    def good(self) -> None:
        """A step was done."""
        self.in_a_row = 0

    def skip(self, step: int, batch: Arrived, values: dict[str, torch.Tensor], processes: Processes) -> None:
        """A step was left out on all ranks; every rank calls this.

        Args:
            step: Number of the step, from 1 as in the log.
            batch: This rank's batch.
            values: Its loss and gradient norm.
            processes: This process's place.

        Raises:
            RadnetError: It was one too many in a row.
        """
        self.total, self.in_a_row = self.total + 1, self.in_a_row + 1
        rows = processes.gather(batch.rows)
        numbers = processes.gather(torch.stack([values["loss"].float(), values["gradient_norm"].float()]))
        if processes.is_main:
            self.log.write(
                {
                    "step": step,
                    "epoch": batch.epoch,
                    "ranks": [
                        {"rank": rank, "loss": _shown(loss), "gradient_norm": _shown(norm), "keys": keys}
                        for rank, ((loss, norm), keys) in enumerate(
                            zip(
                                (one.tolist() for one in numbers),
                                (self.keys_of(one.cpu().numpy()) for one in rows),
                                strict=True,
                            )
                        )
                    ],
                }
            )
        if self.in_a_row >= self.limit:
            raise RadnetError(
                f"The loss or a gradient was not finite in {self.in_a_row} steps in a row, up to step {step}; these "
                "steps were left out",
                seen=[_shown(float(values["loss"])), _shown(float(values["gradient_norm"]))],
                file=self.log.path,
                fix="The file names the slices. Lower optimizer.lr, set optimizer.clip_norm=1, or use "
                "precision=fp32, with allow_changes=true to go on from the newest checkpoint",
            )


def _shown(value: float) -> float | str:
    """JSON knows no infinity and no NaN."""
    return value if math.isfinite(value) else str(value)
