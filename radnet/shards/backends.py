"""Where the work of a build runs: processes of this machine, or a Dask or Ray cluster, all through joblib.

The machines of a cluster must see the archive and the output under the same paths.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

import joblib

from radnet.errors import RadnetError, UsageError

Backend = Literal["processes", "dask", "ray"]
DEATHS = frozenset({"BrokenProcessPool", "KilledWorker", "WorkerCrashedError", "OutOfMemoryError", "RayActorError"})
_PACKAGES = {"dask": "distributed", "ray": "ray"}


@contextmanager
def workers(backend: Backend, jobs: int, address: str | None = None) -> Iterator[joblib.Parallel]:
    """A pool of `jobs` workers; its calls give results in the order of the tasks.

    Args:
        backend: "processes" (of this machine), "dask" or "ray".
        jobs: Number of workers; for a cluster that already runs, tasks at a time.
        address: Of a Dask scheduler or Ray cluster that already runs; None starts one on this machine and stops it.

    Raises:
        UsageError: The backend is not installed, or nothing answers at the address.
    """
    if backend == "processes":
        if address is not None:
            raise UsageError("Local processes have no address", seen=address, fix="Give --backend dask or ray with it")
        with _deaths_explained(), joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=1) as parallel:
            yield parallel
        return
    if find_spec(_PACKAGES[backend]) is None:
        raise UsageError(
            f"The backend {backend} is not installed", fix=f"Install it with: pip install 'radnet[{backend}]'"
        )
    with _deaths_explained(), (_dask if backend == "dask" else _ray)(jobs, address):
        # Ray's pool gives results as a list only; tasks come in portions, so the list stays short
        as_list = backend == "ray"
        with joblib.Parallel(n_jobs=jobs, return_as="list" if as_list else "generator", batch_size=1) as parallel:
            yield parallel


@contextmanager
def _deaths_explained() -> Iterator[None]:
    """A worker that was killed, in words; each backend has an error of its own for it.

    Raises:
        RadnetError: A worker died.
    """
    try:
        yield
    except Exception as error:
        if not {kind.__name__ for kind in type(error).__mro__} & DEATHS:
            raise
        raise RadnetError(
            "A worker process died, most often because the memory was full", fix="Build with fewer --jobs"
        ) from error


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[None]:
    from distributed import Client, LocalCluster

    def failed(error: Exception) -> UsageError:
        fix = "Check the address and that the scheduler runs"
        return UsageError(f"No Dask scheduler answers ({type(error).__name__})", seen=address, fix=fix)

    if address is None:
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None)
        with cluster, Client(cluster), joblib.parallel_config(backend="dask", n_jobs=jobs):
            yield
        return
    try:
        client = Client(address, timeout=30)
    except (OSError, TimeoutError, ValueError) as error:
        raise failed(error) from error
    with client, joblib.parallel_config(backend="dask", n_jobs=jobs):
        yield


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[None]:
    import ray
    from ray.util.joblib import register_ray

    started = not ray.is_initialized()
    if started:
        try:
            if address is None:
                ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False, configure_logging=False)
            else:
                ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"No Ray cluster answers ({type(error).__name__})", seen=address, fix="Check the address"
            ) from error
    register_ray()
    try:
        with joblib.parallel_config(backend="ray", n_jobs=jobs):
            yield
    finally:
        if started:
            ray.shutdown()
