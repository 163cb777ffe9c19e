"""Dask and Ray for real, on a small cluster of each on this machine: the same bytes as one process."""

from pathlib import Path

import pytest

from radnet.errors import UsageError
from radnet.scans.keys import KeyedHash
from radnet.shards.backends import Backend
from radnet.shards.build import BuildSettings, build_shards


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_local_cluster_gives_the_same_bytes(
    archive: Path, built: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path, backend: Backend
) -> None:
    build_shards(archive, tmp_path / "ct", hasher, settings, jobs=2, backend=backend)
    assert {path.name: path.read_bytes() for path in (tmp_path / "ct").iterdir()} == {
        path.name: path.read_bytes() for path in built.iterdir()
    }


@pytest.mark.slow
def test_a_dask_cluster_that_runs_already(
    archive: Path, built: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        build_shards(archive, tmp_path / "ct", hasher, settings, jobs=1, backend="dask", address=address)
    assert (tmp_path / "ct" / "manifest.json").read_bytes() == (built / "manifest.json").read_bytes()


def test_an_address_for_local_processes(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no address"):
        build_shards(archive, tmp_path / "ct", hasher, address="tcp://localhost:1")


def test_a_backend_that_is_not_installed(
    archive: Path, hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radnet.shards.backends.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        build_shards(archive, tmp_path / "ct", hasher, backend="ray")
    assert "pip install" in str(caught.value.fix)
    assert not list(tmp_path.iterdir())
