"""TensorBoard and Weights & Biases. What goes wrong in them never ends a run: it is said once, and the run goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from radnet.console import warn
from radnet.errors import RadnetError, UsageError
from radnet.pretrain.monitors.settings import MonitorSettings, WandbSettings

TENSORBOARD = "tensorboard"
_GROUPS = {
    "optimizer": ("lr", "weight_decay", "gradient_norm", "loss_scale"),
    "speed": ("slices_per_s", "waiting_share"),
    "features": ("features_std", "rankme"),
}
_HIDDEN = ("step", "rankme_rows", "rankme_limit")


class Writer(Protocol):
    """A place outside the run directory's log where values go."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of one step."""

    def flush(self) -> None:
        """Bring what was taken to disk."""

    def close(self) -> None:
        """Finish."""


def tag(name: str) -> str:
    """Where a value stands in a dashboard: "lr" -> "optimizer/lr"."""
    if name.startswith("knn_"):
        return f"knn/{name.removeprefix('knn_')}"
    return next((f"{group}/{name}" for group, names in _GROUPS.items() if name in names), f"train/{name}")


def tagged(values: Mapping[str, float]) -> dict[str, float]:
    """The values of a log line under the names of a dashboard."""
    return {tag(name): value for name, value in values.items() if name not in _HIDDEN}


class TensorBoardWriter:
    """Event files in `OUT/tensorboard`.

    Args:
        directory: Where they go.
        first_step: Steps done before this start. Events of later steps, which a killed run left, are not shown.
    """

    def __init__(self, directory: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second of imports

        # lines carry the number of steps done, so the next one has first_step + 1
        self._writer = SummaryWriter(str(directory), purge_step=first_step + 1 if directory.is_dir() else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See `Writer`."""
        for name, value in tagged(values).items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """See `Writer`."""
        self._writer.flush()

    def close(self) -> None:
        """See `Writer`."""
        self._writer.close()


class WandbWriter:
    """A run on Weights & Biases, or its files in `OUT/wandb` when offline.

    Args:
        settings: `monitors.wandb`.
        directory: The run directory.
        config: The run's settings.
        run_id: The id of an earlier start of the same run, which is then continued; None for a new one.

    Raises:
        UsageError: The package is not installed.
        RadnetError: Weights & Biases cannot be reached or does not know the user.
    """

    def __init__(self, settings: WandbSettings, directory: Path, config: Mapping[str, Any], run_id: str | None) -> None:
        require_wandb(settings)
        import wandb
        from wandb.errors import Error

        try:
            self._run = wandb.init(
                project=settings.project,
                entity=settings.entity,
                name=settings.name or directory.name,
                mode=settings.mode,
                dir=str(directory),
                config=dict(config),
                id=run_id,
                resume="allow",
                settings=wandb.Settings(console="off", quiet=True),  # the progress bar stays ours
            )
        except Error as error:
            raise RadnetError(
                f"Weights & Biases takes no run ({type(error).__name__}: {error})",
                fix="Log in with: wandb login; without a network set monitors.wandb.mode=offline",
            ) from error

    @property
    def run_id(self) -> str:
        """What a later start needs to continue this run."""
        return str(self._run.id)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See `Writer`. Steps that W&B has seen already are dropped by it, so a resumed run doubles none."""
        self._run.log(tagged(values), step=step)

    def flush(self) -> None:
        """See `Writer`; W&B's own process does it."""

    def close(self) -> None:
        """See `Writer`."""
        self._run.finish()


def require_wandb(settings: WandbSettings) -> None:
    """Refuse `monitors.wandb.enabled=true` without the package, before anything is read.

    Raises:
        UsageError: The package is not installed.
    """
    from importlib.util import find_spec

    if settings.enabled and find_spec("wandb") is None:
        raise UsageError(
            "monitors.wandb.enabled=true needs the package wandb, which is not installed",
            fix='Install it with: pip install "radnet[wandb]", or leave monitors.wandb.enabled at false',
        )


class Guarded:
    """A writer whose troubles are reported once and then end it, not the run."""

    def __init__(self, name: str, writer: Writer) -> None:
        self._name = name
        self._writer: Writer | None = writer

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See `Writer`."""
        self._try("write", step, values)

    def flush(self) -> None:
        """See `Writer`."""
        self._try("flush")

    def close(self) -> None:
        """See `Writer`."""
        self._try("close")
        self._writer = None

    def _try(self, what: str, *arguments: object) -> None:
        if self._writer is None:
            return
        try:
            getattr(self._writer, what)(*arguments)
        except Exception as error:  # whatever a dashboard raises, a week of training is worth more
            self._writer = None
            warn(f"{self._name} gets no more values ({type(error).__name__}: {error}); log.jsonl has them all")


def open_writers(
    settings: MonitorSettings, directory: Path, config: Mapping[str, Any], *, first_step: int, wandb_id: str | None
) -> tuple[list[Guarded], str | None]:
    """The writers that the settings ask for, and the id of the W&B run when there is one.

    Args:
        settings: `monitors`.
        directory: The run directory.
        config: The run's settings, for W&B.
        first_step: Steps done before this start.
        wandb_id: W&B's id of an earlier start.
    """
    writers = []
    if settings.tensorboard:
        writers.append(Guarded("TensorBoard", TensorBoardWriter(directory / TENSORBOARD, first_step)))
    if settings.wandb.enabled:
        online = WandbWriter(settings.wandb, directory, config, wandb_id)
        writers.append(Guarded("Weights & Biases", online))
        return writers, online.run_id
    return writers, None
