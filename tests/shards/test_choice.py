"""Which slices enter a set, at which size: options of a build, air, copies, and what a dry run promises of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radnet.errors import UsageError
from radnet.scans.archive import read_series, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.shards import ShardSet
from radnet.shards.build import BuildReport, BuildSettings, NothingToBuildError, build_shards
from radnet.shards.manifest import REJECTS
from radnet.shards.plan import plan_build
from radnet.shards.resize import shrink_image, shrink_mask, size_within
from radnet.shards.selection import parse_rule
from tests.scans.dicom_factory import write_series, write_slice


def build(archive: Path, out: Path, hasher: KeyedHash, **settings: object) -> tuple[ShardSet, BuildReport]:
    report = build_shards(archive, out, hasher, BuildSettings(**settings))  # type: ignore[arg-type]
    return ShardSet.open(out), report


def rejected(shards: ShardSet) -> dict[str, tuple[int, int]]:
    """Reason -> (files, slices)."""
    table = pd.read_parquet(shards.path / REJECTS).groupby("reason")[["files", "slices"]].sum()
    return {str(reason): (int(row.files), int(row.slices)) for reason, row in table.iterrows()}


# --- size and every --------------------------------------------------------------------------------------------------


def test_every_third_slice_keeps_its_number(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    shards, _ = build(archive, tmp_path / "ct", hasher, every=3)
    assert set(shards.index["slice"]) == {0, 3}
    assert set(shards.index["slices"]) == {6}
    assert len(shards) == 16
    assert shards.manifest.totals.dropped_slices == {"every": 32}


def test_smaller_slices_are_means_of_areas(archive: Path, shards: ShardSet, hasher: KeyedHash, tmp_path: Path) -> None:
    small, _ = build(archive, tmp_path / "ct", hasher, size=32)
    assert small.manifest.slice_size == 32
    for row in range(len(shards)):
        native = shards.read_image(row).astype(float)
        expected = native.reshape(32, 2, 32, 2).mean(axis=(1, 3))
        assert np.abs(small.read_image(row) - expected).max() <= 0.5 + 1e-3
    assert np.allclose(small.index["spacing_x_mm"], 2 * shards.index["spacing_x_mm"], atol=1e-5)
    assert np.allclose(small.index["spacing_z_mm"], shards.index["spacing_z_mm"])
    assert {array.shape for row in range(3) for array in (small.read_image(row), small.read_mask(row))} == {(32, 32)}
    assert set(small.index["rows"]) == {32}


def test_smaller_sets_stay_as_they_are(archive: Path, shards: ShardSet, hasher: KeyedHash, tmp_path: Path) -> None:
    same, _ = build(archive, tmp_path / "ct", hasher, size=64)
    assert list(same.index["content_hash"]) == list(shards.index["content_hash"])


@pytest.mark.parametrize(
    ("rows", "columns", "longest", "expected"),
    [(512, 512, 256, (256, 256)), (100, 400, 200, (50, 200)), (1000, 3, 10, (10, 1)), (64, 80, 80, (64, 80))],
)
def test_proportions_are_kept(rows: int, columns: int, longest: int, expected: tuple[int, int]) -> None:
    assert size_within(rows, columns, longest) == expected


def test_shrinking_against_a_slow_reference() -> None:
    generator = np.random.default_rng(0)
    hu = generator.integers(-1024, 3072, (30, 42), dtype=np.int16)
    expected = np.zeros((10, 14))
    for y in range(10):
        for x in range(14):
            expected[y, x] = hu[3 * y : 3 * y + 3, 3 * x : 3 * x + 3].astype(float).mean()
    small = shrink_image(hu, 10, 14)
    assert small.dtype == np.int16
    assert np.abs(small - expected).max() <= 0.5 + 1e-3
    mask = generator.integers(0, 4, (30, 42)).astype(np.uint8)
    assert np.array_equal(shrink_mask(mask, 10, 14), mask[1::3, 1::3])
    assert set(np.unique(shrink_mask(mask, 7, 11))) <= {0, 1, 2, 3}


# --- rules -----------------------------------------------------------------------------------------------------------


def test_include_exclude_and_limit(archive: Path, shards: ShardSet, hasher: KeyedHash, tmp_path: Path) -> None:
    region = shards.index["body_region"].iloc[0]
    series = shards.index.drop_duplicates("series_key")
    there = int((series["body_region"] == region).sum())
    assert 0 < there < 8
    some, _ = build(archive, tmp_path / "in", hasher, include=(f"body_region={region.upper()}",))
    assert set(some.index["body_region"]) == {region}
    assert some.manifest.totals.series == there
    others, report = build(archive, tmp_path / "ex", hasher, exclude=(f"body_region={region}",))
    assert region not in set(others.index["body_region"])
    assert others.manifest.totals.series == 8 - there
    files = sum(reject.files for reject in report.rejects if reject.reason == "excluded")
    assert rejected(others)["excluded"] == (files, 0)
    assert files >= there
    first, _ = build(archive, tmp_path / "two", hasher, limit=2)
    assert list(first.index["series_key"].unique()) == list(shards.index["series_key"].unique()[:2])
    assert rejected(first)["limit"][0] > 0


@pytest.mark.parametrize(
    ("rule", "series"),
    [
        ("slices>=6", 8),
        ("slices<6", 0),
        ("source=dicom", 4),
        ("source=d?com", 4),
        ("source=dicom,nifti", 8),
        ("synthetic=true", 8),
        ("manufacturer=nobody", 0),
        ("label_nothing=*", 0),
    ],
)
def test_rules(archive: Path, hasher: KeyedHash, rule: str, series: int) -> None:
    plan = plan_build(archive, hasher, BuildSettings(include=(rule,)))
    assert plan.series == series


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("kernel", "TAG=PATTERN"),
        ("kernle=B30", "Did you mean kernel"),
        ("kernel<3", "no number"),
        ("kvp<many", "no number"),
        ("PatientID=7", "names no tag"),
    ],
)
def test_rules_that_are_none(rule: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_rule(rule)
    with pytest.raises(UsageError, match=words):
        BuildSettings(include=(rule,))


def test_rules_that_leave_nothing(archive: Path, hasher: KeyedHash, tmp_path: Path) -> None:
    with pytest.raises(NothingToBuildError, match="excluded") as caught:
        build(archive, tmp_path / "ct", hasher, include=("slices>1000",))
    assert "--include" in str(caught.value.fix)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"limit": 0}, {"size": 4}, {"modalities": ()}, {"modalities": ("XX",)}, {"shard_bytes": 0}]
)
def test_settings_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BuildSettings(**wrong)  # type: ignore[arg-type]


# --- air and copies --------------------------------------------------------------------------------------------------


def bodies(slices: int, seed: int = 0) -> np.ndarray:
    """Stored values (HU + 1024) of slices with noise and a body; the last two are air and a table of foam."""
    generator = np.random.default_rng(seed)
    stored = generator.integers(0, 60, (slices, 16, 16))
    stored[:-2, 4:12, 4:12] += 1050
    stored[-1, 14:, :] += 500
    return stored.astype(np.uint16)


def test_air_is_left_out_and_counted(hasher: KeyedHash, tmp_path: Path) -> None:
    for z, pixels in enumerate(bodies(5)):
        write_slice(tmp_path / "a" / f"{z}.dcm", stored=pixels, ImagePositionPatient=[0, 0, 3 * z])
    shards, report = build(tmp_path / "a", tmp_path / "ct", hasher)
    assert list(shards.index["slice"]) == [0, 1, 2]
    assert set(shards.index["slices"]) == {5}
    assert shards.manifest.totals.dropped_slices == {"air_only": 2}
    assert rejected(shards) == {"air_only": (0, 2)}
    assert report.manifest.totals.rejected_files == 0
    kept, _ = build(tmp_path / "a", tmp_path / "all", hasher, keep_air=True)
    assert len(kept) == 5


def test_the_same_pixels_are_stored_once(hasher: KeyedHash, tmp_path: Path) -> None:
    """Two patients with the same scan: one copy stays, and the build says what that may mean."""
    for patient in ("A", "B", "C"):
        for z, pixels in enumerate(bodies(5, seed=3)):
            place = tmp_path / "a" / patient / f"{z}.dcm"
            uid = f"1.2.{ord(patient)}"
            write_slice(
                place,
                stored=pixels,
                PatientID=patient,
                SeriesInstanceUID=uid,
                SOPInstanceUID=f"{uid}.{z}",
                ImagePositionPatient=[0, 0, 3 * z],
            )
    shards, _ = build(tmp_path / "a", tmp_path / "ct", hasher)
    assert len(shards) == 3
    assert shards.manifest.totals.patients == 1
    assert shards.manifest.totals.dropped_slices == {"air_only": 6, "duplicate_slice": 6}
    assert rejected(shards) == {"air_only": (0, 6), "duplicate_slice": (0, 6)}
    kept, _ = build(tmp_path / "a", tmp_path / "all", hasher, keep_duplicates=True)
    assert len(kept) == 9


def test_volumes_with_masks_stay_whole(archive: Path, shards: ShardSet, hasher: KeyedHash) -> None:
    """A volume is scored as a whole: the phantom's slices all have masks, also the air around it."""
    scans = [read_series(source) for source in take_inventory(archive, hasher).series]
    assert len(shards) == 48 == 6 * len(scans)
    assert shards.manifest.totals.dropped_slices == {}


# --- the dry run -----------------------------------------------------------------------------------------------------


def test_a_dry_run_promises_what_the_build_keeps(archive: Path, report: BuildReport, hasher: KeyedHash) -> None:
    plan = plan_build(archive, hasher, BuildSettings(split_fractions=(0.6, 0.2, 0.2)))
    totals = report.manifest.totals
    assert (plan.slices, plan.series) == (totals.samples, totals.series)
    assert plan.patients_by_split == totals.patients_by_split
    assert plan.slices_by["body_region"] == totals.samples_by_region
    assert {k: v for k, v in totals.samples_by_split.items() if v} == plan.slices_by["split"]
    assert sum(reject.files for reject in plan.rejects) == totals.rejected_files


def test_a_dry_run_counts_every_other_slice(hasher: KeyedHash, tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    assert plan_build(tmp_path / "a", hasher, BuildSettings(every=3)).slices == 2
