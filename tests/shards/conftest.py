"""One small phantom archive and the set built from it, shared by all tests of the floor."""

from pathlib import Path

import pytest

from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import BuildReport, BuildSettings, build_shards

SHARD_BYTES = 60_000


@pytest.fixture(scope="session")
def hasher() -> KeyedHash:
    return KeyedHash(b"a secret of the tests, 32 bytes!")


@pytest.fixture(scope="session")
def settings() -> BuildSettings:
    """Fractions that put two of the phantom's four patients into train, so that small shards are several."""
    return BuildSettings(split_fractions=(0.6, 0.2, 0.2), shard_bytes=SHARD_BYTES)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients, two series each, half DICOM and half NIfTI, with masks and labels."""
    path = tmp_path_factory.mktemp("phantom") / "archive"
    write_phantom_archive(path, patients=4, seed=0, series_per_patient=2, slices=6, size=64)
    return path


@pytest.fixture(scope="session")
def report(
    archive: Path, hasher: KeyedHash, settings: BuildSettings, tmp_path_factory: pytest.TempPathFactory
) -> BuildReport:
    return build_shards(archive, tmp_path_factory.mktemp("one_job") / "ct", hasher, settings)


@pytest.fixture(scope="session")
def built(report: BuildReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the finished set."""
    return next(tmp_path_factory.getbasetemp().glob("one_job*/ct"))


@pytest.fixture(scope="session")
def shards(built: Path) -> ShardSet:
    return ShardSet.open(built)
