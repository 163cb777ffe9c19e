"""Several workers on one plan, started by Hydra's launchers: joblib on this machine, submitit on a Slurm cluster.

Every worker goes through the whole plan, each from another place in it, and takes the cells that nobody is at. So no
cell is assigned to a worker, a slow cell holds up nobody, and a worker that dies costs the cell it was at. The results
directory tells the parent what is done; it must be one that all see.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from radnet.configs import config_directory
from radnet.console import say, warn
from radnet.errors import UsageError
from radnet.transfer.suites.outcomes import Done, read_done
from radnet.transfer.suites.work import report_to, settled_in, work_through

if TYPE_CHECKING:
    from radnet.transfer.suites.run import Benchmark

LOOK_EVERY_S = 1.0
LAUNCHER = "hydra/launcher="
WORKER, RUN = "worker", "run_name"


def launcher_of(overrides: Sequence[str]) -> str:
    """Name of the launcher that was asked for."""
    chosen = [word.removeprefix(LAUNCHER) for word in overrides if word.startswith(LAUNCHER)]
    return chosen[-1] if chosen else "basic"


def is_local(overrides: Sequence[str]) -> bool:
    """Whether this process does the work itself."""
    return launcher_of(overrides) == "basic"


def launch_workers(benchmark: "Benchmark", overrides: Sequence[str], progress: Callable[[Done], None]) -> None:
    """Start `jobs` workers and wait for them; a worker that dies is a warning, its cells are missing from the outcome.

    Args:
        benchmark: The suite.
        overrides: Those of the command.
        progress: Is told of every cell that is done.

    Raises:
        UsageError: The launcher is not installed or misspelt.
    """
    jobs = benchmark.config.jobs
    # a launcher composes each worker's config anew, from hydra's own overrides and those that it is given here
    own = [word for word in overrides if not word.startswith("hydra")] + [f"+{RUN}={benchmark.place.run.name}"]
    with _hydra_config(overrides) as (launcher, name):
        say(f"{jobs} workers by hydra/launcher={name}; they take the cells in turn")
        with _watching(benchmark, progress):
            try:
                workers = [[*own, f"+{WORKER}={number}"] for number in range(jobs)]
                for returned in launcher.launch(workers, initial_job_idx=0):
                    _ = returned.return_value  # raises what the worker raised
            except Exception as error:
                # whatever a worker or launcher raises, finished cells stay finished; the summary names what is missing
                warn(f"a worker of hydra/launcher={name} ended early: {type(error).__name__}: {error}")


@contextlib.contextmanager
def _hydra_config(overrides: Sequence[str]) -> Iterator[tuple[Any, str]]:
    """The launcher of the composed config."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from hydra.types import HydraContext

    name = launcher_of(overrides)
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config_directory()), version_base="1.3", job_name="benchmark"):
        try:
            config = compose("benchmark", overrides=list(overrides), return_hydra_config=True)
            loader = GlobalHydra.instance().config_loader()
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=context, task_function=run_worker, config=config
            )
        except HydraException as error:
            extra = {"joblib": "joblib"}.get(name, "slurm")
            raise UsageError(
                f"This launcher cannot be used: {str(error).splitlines()[0]}",
                seen=f"{LAUNCHER}{name}",
                fix=f"Install it with: pip install 'radnet[{extra}]'; known are joblib, submitit_local, submitit_slurm",
            ) from error
        yield launcher, name


@contextlib.contextmanager
def _watching(benchmark: "Benchmark", progress: Callable[[Done], None]) -> Iterator[None]:
    """Hand on what workers report while they work."""
    over, seen = threading.Event(), set[str]()

    def watch() -> None:
        while not over.wait(LOOK_EVERY_S):
            for key, done in read_done(benchmark.place.run, seen).items():
                seen.add(key)
                progress(done)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def run_worker(config: Any) -> int:
    """What a launcher runs: one worker on the plan.

    Args:
        config: The composed config with the number of the worker and the name of the run.

    Returns:
        Number of the worker.
    """
    from omegaconf import OmegaConf

    from radnet.transfer.suites.run import Benchmark
    from radnet.transfer.suites.spec import benchmark_from_settings

    settings: Any = OmegaConf.to_container(config, resolve=True)
    number, run = int(settings.pop(WORKER)), str(settings.pop(RUN))
    own, suite = benchmark_from_settings(settings)
    benchmark = Benchmark.of(own, suite, _device(own.device, number), run)
    if own.device == "cpu" or benchmark.device == "cpu":
        _share_cores(own.jobs)
    place = benchmark.place
    start = len(benchmark.plan) * number // own.jobs
    work_through(
        [*benchmark.plan[start:], *benchmark.plan[:start]], benchmark.bench(), report_to(place), settled_in(place)
    )
    return number


def _device(name: str, number: int) -> str:
    """The device of a worker: of several GPUs that it sees, each worker takes another one."""
    import torch

    from radnet.transfer.run import device_named

    device = device_named(name)
    return f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device


def _share_cores(jobs: int) -> None:
    """Of the cores of a machine each of its workers takes its part."""
    import torch

    if "SLURM_JOB_ID" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // jobs))
