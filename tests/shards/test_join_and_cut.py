"""Merge, subset and diff: encoded bytes are kept, the order of arguments is not, and shares are nested."""

from pathlib import Path

import pytest

from radnet.errors import RadnetError, UsageError
from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.diff import diff_sets
from radnet.shards.merge import merge_sets
from radnet.shards.subset import Selection, draw_patients, subset_set
from radnet.shards.verify import verify_set
from tests.shards.sets_for_tests import damaged_manifest, shard_files


def _bytes(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def _hashes(directory: Path) -> set[str]:
    return set(ShardSet.open(directory).index["content_hash"])


def test_a_subset_of_everything_and_a_merge_of_its_parts_are_the_set(built: Path, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        try:
            subset_set(built, tmp_path / split, Selection(splits=(split,)))
        except UsageError:
            continue  # a split of four patients may be empty
        assert verify_set(tmp_path / split, full=True).problems == ()
    parts = [tmp_path / split for split in ("train", "val", "test") if (tmp_path / split).exists()]
    assert len(parts) > 1
    report = merge_sets(tmp_path / "one" / "ct", parts, shard_bytes=60_000)
    assert verify_set(tmp_path / "one" / "ct", full=True).problems == ()
    assert report.manifest.content_sha256 == ShardSet.open(built).manifest.content_sha256
    assert report.repeated == 0
    assert report.manifest.settings["keyed_by"] == ShardSet.open(built).manifest.settings["keyed_by"]
    merge_sets(tmp_path / "two" / "ct", parts[::-1], shard_bytes=60_000)
    assert _bytes(tmp_path / "one" / "ct") == _bytes(tmp_path / "two" / "ct")


def test_what_is_in_two_sets_is_stored_once_and_counted(built: Path, tmp_path: Path) -> None:
    part = subset_set(built, tmp_path / "part", Selection(count=2))
    report = merge_sets(tmp_path / "all", [tmp_path / "part", built])
    whole = ShardSet.open(built).manifest
    assert report.repeated == part.totals.samples
    assert report.manifest.totals.dropped_slices["in_two_sets"] == part.totals.samples
    assert report.manifest.content_sha256 == whole.content_sha256
    assert report.manifest.totals.rejected_files == whole.totals.rejected_files


def test_sets_that_do_not_fit_are_refused(built: Path, tmp_path: Path) -> None:
    subset_set(built, tmp_path / "other", Selection())
    damaged_manifest(tmp_path / "other", lambda about: about["settings"].update(split_fractions=[1, 0, 0]))
    with pytest.raises(UsageError, match="other shares"):
        merge_sets(tmp_path / "all", [built, tmp_path / "other"])
    with pytest.raises(UsageError, match="two sets or more"):
        merge_sets(tmp_path / "all", [built])
    with pytest.raises(UsageError, match="lie in each other"):
        merge_sets(built / "all", [built, built])
    assert not (tmp_path / "all").exists()


def test_sets_of_two_secrets_are_noticed_where_they_share_slices(
    archive: Path, built: Path, settings: BuildSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subset_set(built, tmp_path / "part", Selection(count=2))
    assert merge_sets(tmp_path / "one", [tmp_path / "part", built]).two_patients == 0
    assert "secrets" not in capsys.readouterr().err
    build_shards(archive, tmp_path / "other", KeyedHash(b"another secret of these 32 bytes"), settings)
    report = merge_sets(tmp_path / "two", [tmp_path / "other", built])
    assert (report.repeated, report.two_patients) == (0, 48)
    assert "built with two secrets?" in capsys.readouterr().err


def test_a_damaged_source_stops_the_copy_and_leaves_nothing(built: Path, tmp_path: Path) -> None:
    subset_set(built, tmp_path / "source", Selection())
    shard = shard_files(tmp_path / "source")[0]
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(bytes(data))
    before = set(tmp_path.iterdir())
    with pytest.raises(RadnetError, match="CRC-32"):
        subset_set(tmp_path / "source", tmp_path / "out", Selection())
    assert set(tmp_path.iterdir()) == before


def test_shares_are_nested_and_keep_every_split() -> None:
    patients = {f"{number:032x}": ("train", "val", "test")[number % 7 % 3] for number in range(300)}
    for seed in (0, 1):
        last: set[str] = set()
        for fraction in (0.001, 0.01, 0.1, 0.5, 1.0):
            drawn = draw_patients(patients, Selection(fraction=fraction, seed=seed))
            assert last <= drawn
            assert {patients[patient] for patient in drawn} == {"train", "val", "test"}
            last = drawn
        assert last == set(patients)
        for count in range(1, 300, 13):
            drawn = draw_patients(patients, Selection(count=count, seed=seed))
            assert len(drawn) == count
            assert drawn <= draw_patients(patients, Selection(count=count + 1, seed=seed))
    assert draw_patients(patients, Selection(count=30)) != draw_patients(patients, Selection(count=30, seed=1))


def test_a_subset_says_what_it_left_out(built: Path, tmp_path: Path) -> None:
    region = ShardSet.open(built).index["body_region"].iloc[0]
    manifest = subset_set(built, tmp_path / "part", Selection(regions=(region,)))
    index = ShardSet.open(tmp_path / "part").index
    assert set(index["body_region"]) == {region}
    assert manifest.totals.dropped_slices == {"not_selected": 48 - len(index)}
    assert manifest.settings["subset_of"]["content"] == ShardSet.open(built).manifest.content_sha256
    for wrong in (Selection(regions=("toe",)), Selection(patients=("x",)), Selection(series=("x",))):
        with pytest.raises(UsageError, match="No such"):
            subset_set(built, tmp_path / "none", wrong)
    with pytest.raises(UsageError, match="above 0"):
        Selection(fraction=0)


def test_diff_names_new_and_gone_patients(built: Path, tmp_path: Path) -> None:
    assert diff_sets(built, built).identical
    patient = ShardSet.open(built).index["patient_key"].iloc[0]
    subset_set(built, tmp_path / "part", Selection(patients=(patient,)))
    found = diff_sets(built, tmp_path / "part")
    assert not found.identical
    assert len(found.gone) == 3
    assert found.new == {}
    assert found.changed == ()
    assert diff_sets(tmp_path / "part", built).new == found.gone


def test_diff_says_in_what_a_patient_changed(built: Path, tmp_path: Path) -> None:
    index = ShardSet.open(built).index
    series = index["series_key"].iloc[0]
    subset_set(built, tmp_path / "part", Selection(series=(series,)))
    (change,) = diff_sets(built, tmp_path / "part").changed
    assert change.patient == index["patient_key"].iloc[0]
    assert change.aspects == ("slices",)
    assert change.series == (2, 1)
    assert _hashes(tmp_path / "part") < _hashes(built)
