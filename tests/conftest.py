"""What many tests share: a small phantom set, and where the real data lie.

The directory `shared` beside the checkout, or the one that RADNET_SHARED names. Tests that need it skip when it is
absent; where RADNET_SHARED promises it, its absence is a failure.
"""

import os
from pathlib import Path

import pytest
import torch

from radnet.pretrain.run import pretrain
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from tests.pretrain.runs_for_tests import tiny

CHECKOUT = Path(__file__).resolve().parents[1]

# Autograd counts devices at its first backward in a process, and starts a thread for each. torch.compile and the ONNX
# exporter register one that is not there; a process that met them first cannot take gradients in forks, which tests
# of several ranks do. So the first backward comes before any test.
torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared directory itself (`data/`, `paper/`, …)."""
    named = os.environ.get("RADNET_SHARED")
    # a relative path is meant from the checkout, wherever the tests are started
    path = (CHECKOUT / (named or "../shared")).resolve()
    if not (path / "data").is_dir():
        if named:
            pytest.fail(f"RADNET_SHARED={named} holds no data/")
        pytest.skip("needs the real data in ../shared (or RADNET_SHARED)")
    return path


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """The real images: `ct_volumes/`, `dicom_zoo/`, …"""
    return shared / "data"


@pytest.fixture(scope="session")
def phantom_set(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """A small synthetic shard set with labels and patients in every split."""
    root = tmp_path_factory.mktemp("phantom")
    write_phantom_archive(root / "archive", patients=20, series_per_patient=3, slices=6, size=64, seed=1)
    settings = BuildSettings(split_fractions=(0.5, 0.2, 0.3))
    build_shards(root / "archive", root / "set", KeyedHash(b"a secret for tests only"), settings)
    return ShardSet.open(root / "set")


@pytest.fixture(scope="session")
def whole_run(phantom_set: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of SimCLR that nothing disturbed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # see tests/pretrain/conftest.py
    try:
        return pretrain(tiny("simclr", phantom_set, tmp_path_factory.mktemp("whole") / "run"))
    finally:
        torch.set_num_threads(threads)
