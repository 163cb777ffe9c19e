"""Where the real data lie.

The directory `shared` beside the checkout, or the one that RADNET_SHARED names. Tests that need it skip when it is
absent; where RADNET_SHARED promises it, its absence is a failure.
"""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


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
