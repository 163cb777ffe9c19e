"""An unfinished build is not continued with another table of structures."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radnet.errors import UsageError
from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards import build as build_module
from radnet.shards.build import BuildSettings, build_shards
from tests.scans.dicom_factory import write_series
from tests.scans.mask_factory import write_seg


class Stopped(Exception):  # noqa: N818 - not an error, the test's own kill
    pass


def stopped(*_: Any, **__: Any) -> None:
    raise Stopped


@pytest.mark.parametrize("name", ["structures.json", "seg.json"])
def test_a_build_does_not_go_on_when_the_table_of_structures_changed(
    hasher: KeyedHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else a set would hold masks of both tables."""
    archive = tmp_path / "archive"
    for number in range(3):
        scan = archive / f"s{number}"
        write_series(scan, SeriesInstanceUID=f"1.2.{number}", StudyInstanceUID=f"1.3.{number}")
        (archive / f"m{number}").mkdir()
        write_seg(archive / f"m{number}" / "seg.dcm", scan, {"liver": np.ones((4, 6, 8), bool)})
    places = [archive / name] if name == "structures.json" else [archive / f"m{number}" / name for number in range(3)]
    settings = BuildSettings(shard_bytes=11_000)

    def unfinished_build() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(build_module, "finish_set", stopped)
            with pytest.raises(Stopped):
                build_shards(archive, tmp_path / "ct", hasher, settings)

    unfinished_build()
    assert any((tmp_path / ".ct.partial" / "journal").glob("step-*"))
    for text in ('{"1": "liver"}', '{"7": "liver"}', "no JSON"):
        for place in places:
            place.write_text(text)
        with pytest.raises(UsageError, match="other scans"):
            build_shards(archive, tmp_path / "ct", hasher, settings)
        shutil.rmtree(tmp_path / ".ct.partial")
        unfinished_build()
    for place in places:
        place.write_text('{"7": "liver"}')
    build_shards(archive, tmp_path / "ct", hasher, settings, overwrite=True)
    shards = ShardSet.open(tmp_path / "ct")
    assert {int(shards.read_mask(row).max()) for row in range(len(shards))} == {7}
