"""The weights of a run that did best in its online kNN, kept beside the checkpoints for `radnet export --weights best`.

Checkpoints are taken for continuing, not when the kNN is asked, and old ones go; so these weights have a file of their
own. It holds the backbone alone.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from radnet.errors import RadnetError, UsageError
from radnet.files import write_atomically

BEST = "best.safetensors"


@dataclass(frozen=True)
class Best:
    """How good they are.

    Attributes:
        step: Steps done.
        metric: Name of the score ("knn_balanced_accuracy"); higher is better.
        score: On the validation patients of the online kNN.
    """

    step: int
    metric: str
    score: float


class BestKeeper:
    """Keeps the best weights of one run.

    Args:
        run: The run directory.
        first_step: Steps done before this start. Better weights from later steps, of a process that was killed after
            its last checkpoint, are forgotten: the run comes to them again.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        self._path = run / BEST
        self._best: Best | None = None
        if self._path.is_file():
            try:
                self._best = _read(self._path)
            except RadnetError:
                self._best = None
            if self._best is None or self._best.step > first_step:
                self._best = None
                self._path.unlink()

    def consider(self, best: Best, backbone: nn.Module) -> None:
        """Write the weights if their score is higher than every one before.

        Args:
            best: The step and its score.
            backbone: Its weights now.

        Raises:
            RadnetError: The disk is full.
        """
        if self._best is not None and best.score <= self._best.score:
            return
        tensors = {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
        write_atomically(self._path, safetensors.torch.save(tensors, metadata={"best": json.dumps(asdict(best))}))
        self._best = best


def load_best(run: Path) -> tuple[Best, dict[str, torch.Tensor]]:
    """The best weights of a run.

    Raises:
        UsageError: The run kept none.
        RadnetError: The file is damaged.
    """
    path = run / BEST
    if not path.is_file():
        raise UsageError(
            "This run has no best weights, because nothing was measured while it went on",
            file=run,
            fix="Take --weights last; a run with monitors.knn.task=TASK keeps its best ones",
        )
    best = _read(path)
    try:
        return best, safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path) from error


def _read(path: Path) -> Best:
    try:
        with safe_open(path, framework="pt") as file:
            return Best(**json.loads((file.metadata() or {})["best"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> RadnetError:
    return RadnetError("The best weights of this run cannot be read", file=path, fix="Take --weights last")
