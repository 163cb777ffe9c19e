"""Short ways to read an archive in a test."""

from pathlib import Path

import pytest

from radnet.scans.archive import Inventory, SeriesSource, UnreadableSeries, read_series, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.scans.scan import Scan

HASHER = KeyedHash(b"a secret of the tests, 32 bytes!")


def inventory_of(root: Path, **options: object) -> Inventory:
    """The inventory, after a check that no file is lost or counted twice."""
    inventory = take_inventory(root, HASHER, **options)  # type: ignore[arg-type]
    used = sum(source.file_count for source in inventory.series)
    refused = sum(reject.files for reject in inventory.rejects)
    assert used + refused == inventory.files_seen
    return inventory


def only_scan(root: Path, **options: object) -> Scan:
    """The one scan of an archive."""
    inventory = inventory_of(root, **options)
    assert len(inventory.series) == 1, inventory.rejects
    return read_series(inventory.series[0]).scan


def refused(source: SeriesSource) -> UnreadableSeries:
    """The error that reading a series raises; its rejects stand for all files of the series."""
    with pytest.raises(UnreadableSeries) as caught:
        read_series(source)
    assert sum(reject.files for reject in caught.value.rejects) == source.file_count
    return caught.value


def reasons(inventory: Inventory) -> dict[str, str]:
    """Path -> reason of each reject."""
    return {reject.path: reject.reason for reject in inventory.rejects}
