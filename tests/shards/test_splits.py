from pathlib import Path

import pytest

from radnet.errors import UsageError
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.splits import SPLITS, check_fractions, split_of

FRACTIONS = (0.7, 0.1, 0.2)
GOLDEN = ["val", "test", "train", "train", "test", "val", "train", "test", "val", "train", "train", "train"]


def test_a_split_is_the_same_for_ever() -> None:
    """Golden values: a change here would move patients of existing sets between training and test."""
    keys = [f"{number:032x}" for number in range(12)]
    assert [split_of(key, FRACTIONS) for key in keys] == GOLDEN


def test_fractions_are_met(hasher: KeyedHash) -> None:
    patients = 20_000
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(patients):
        counts[split_of(hasher.key("patient", f"P{number}"), FRACTIONS)] += 1
    for name, fraction in zip(SPLITS, FRACTIONS, strict=True):
        assert counts[name] / patients == pytest.approx(fraction, abs=0.015)  # four standard deviations


def test_a_fraction_of_zero_leaves_a_split_empty(hasher: KeyedHash) -> None:
    keys = [hasher.key("patient", f"P{number}") for number in range(500)]
    assert {split_of(key, (1.0, 0.0, 0.0)) for key in keys} == {"train"}
    assert {split_of(key, (0.0, 0.0, 1.0)) for key in keys} == {"test"}
    assert {split_of(key, (0.5, 0.0, 0.5)) for key in keys} == {"train", "test"}


def test_more_training_data_moves_nobody_out_of_training(hasher: KeyedHash) -> None:
    keys = [hasher.key("patient", f"P{number}") for number in range(500)]
    before = {key for key in keys if split_of(key, (0.6, 0.2, 0.2)) == "train"}
    assert before < {key for key in keys if split_of(key, (0.8, 0.1, 0.1)) == "train"}


@pytest.mark.parametrize("wrong", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (), (float("nan"), 0.5, 0.5)])
def test_wrong_fractions(wrong: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="sum to 1"):
        check_fractions(wrong)
    with pytest.raises(UsageError, match="sum to 1"):
        BuildSettings(split_fractions=wrong)  # type: ignore[arg-type]


def test_a_growing_archive_moves_no_patient(
    shards: ShardSet, hasher: KeyedHash, settings: BuildSettings, tmp_path: Path
) -> None:
    write_phantom_archive(tmp_path / "archive", patients=9, series_per_patient=1, slices=1, size=32)
    build_shards(tmp_path / "archive", tmp_path / "grown", hasher, settings)
    grown = ShardSet.open(tmp_path / "grown").index.groupby("patient_key")["split"].agg(set)
    before = shards.index.groupby("patient_key")["split"].agg(set)
    assert (grown.map(len) == 1).all()
    assert (before.map(len) == 1).all()
    assert len(grown) == 9
    assert set(before.index) < set(grown.index)
    assert (grown[before.index] == before).all()
    assert len(set.union(*grown)) > 1
