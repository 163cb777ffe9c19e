from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radnet.errors import RadnetError, UsageError
from radnet.shards import ShardSet
from radnet.transfer.segmentation.census import require_usable, take_census
from radnet.transfer.segmentation.structures import MaskSettings
from radnet.transfer.segmentation.volumes import VolumeSplit, find_volumes
from radnet.views import EvaluationView
from tests.transfer.segmentation.conftest import ORGAN, PATIENTS, SPACING_MM, set_of, split_of, volume_of


def test_every_volume_on_its_own_grid(organ_set: ShardSet) -> None:
    volumes = find_volumes(organ_set, organ_set.rows(), ORGAN)[0]
    assert len(volumes) == PATIENTS
    assert {volume.shape for volume in volumes} == {(6, 32, 40)}
    assert {volume.spacing_mm for volume in volumes} == {(SPACING_MM[2], SPACING_MM[1], SPACING_MM[0])}
    rows = np.concatenate([volume.rows[:, 0] for volume in volumes])
    assert sorted(rows.tolist()) == list(range(len(organ_set)))
    assert volumes[0].diagonal_mm == pytest.approx(np.linalg.norm(np.array([6, 32, 40]) * [3.0, 1.0, 1.5]))


def test_masks_and_pictures_of_a_split(organ_set: ShardSet) -> None:
    split = split_of(organ_set, None)
    whole = [volume_of(number)[1].transpose(2, 1, 0) for number in range(PATIENTS)]
    found = np.stack([split.inside(position) for position in range(6)], axis=1)
    assert sum(np.array_equal(found[0], mask > 0) and np.array_equal(found[1], mask == 2) for mask in whole) == 1
    assert split.picture(0, seed=0).shape == (1, 32, 32)
    assert len(split.patients) == len(split) == PATIENTS * 6


def test_a_census_counts_every_pixel(organ_set: ShardSet) -> None:
    split = split_of(organ_set, "train")
    census = take_census(split, "train")
    assert census.by_volume.shape == (len(split.volumes), 2)
    assert census.pixels.sum() == sum(int(split.inside(position).sum()) for position in range(len(split)))
    assert require_usable("train", split, census) == {}


def test_labels_outside_the_task(organ_set: ShardSet) -> None:
    split = split_of(organ_set, "train", MaskSettings(structures={"organ": (1,)}))
    with pytest.raises(RadnetError, match=r"labels outside the task's structures.*seen: \[2\]"):
        take_census(split, "train")
    other = split_of(organ_set, "train", MaskSettings(structures={"organ": (1,)}, other_labels="background"))
    assert take_census(other, "train").pixels.sum() > 0


def test_nothing_to_be_found(organ_set: ShardSet) -> None:
    split = split_of(organ_set, "test", MaskSettings(structures={"kidney": (7,)}, other_labels="background"))
    with pytest.raises(RadnetError, match="No volume of the test split shows any of the structures kidney"):
        require_usable("test", split, take_census(split, "test"))
    empty = VolumeSplit.of(organ_set, (), ORGAN, EvaluationView(size=32))
    with pytest.raises(UsageError, match="no volume with a mask"):
        require_usable("val", empty, take_census(empty, "val"))


def test_a_volume_without_foreground_is_counted(tmp_path: Path) -> None:
    volumes = {name: volume_of(number) for number, name in enumerate("ab")}
    volumes["b"] = (volumes["b"][0], np.zeros_like(volumes["b"][1]))
    shards = set_of(tmp_path, volumes, (1.0, 0.0, 0.0))
    split = split_of(shards, "train")
    assert require_usable("train", split, take_census(split, "train")) == {"train_volumes_without_foreground": 1}


def test_a_set_without_masks(tmp_path: Path) -> None:
    shards = set_of(tmp_path, {"a": volume_of(0)}, (1.0, 0.0, 0.0))
    shards.index["mask_offset"] = None
    with pytest.raises(UsageError, match=r"no masks.*metadata\.csv"):
        find_volumes(shards, shards.rows(), ORGAN)


def test_volumes_with_holes_take_no_part(organ_set: ShardSet, capsys: pytest.CaptureFixture[str]) -> None:
    table = organ_set.index
    key = table["series_key"].iloc[0]
    hole = table.index[(table["series_key"] == key) & (table["slice"] == 2)]
    rows = np.setdiff1d(organ_set.rows(), hole)
    assert len(find_volumes(organ_set, rows, ORGAN)[0]) == PATIENTS - 1
    assert "1 volumes" in capsys.readouterr().err
    odd = table.index[table["slice"] % 2 == 0].to_numpy()
    assert {volume.spacing_mm[0] for volume in find_volumes(organ_set, odd, ORGAN)[0]} == {2 * SPACING_MM[2]}


def test_the_mask_of_another_grid_takes_its_scan_along(tmp_path: Path) -> None:
    """Its rest is built, and the reject says why."""
    from radnet.scans.keys import KeyedHash
    from radnet.shards.build import build_shards
    from tests.transfer.segmentation.conftest import write_volumes

    root = write_volumes(tmp_path / "archive", {"a": volume_of(0), "b": volume_of(1)})
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), np.eye(4)), root / "b" / "seg.nii.gz")
    report = build_shards(root, tmp_path / "set", KeyedHash(b"a secret of the tests, 32 bytes!"))
    assert [reject.reason for reject in report.rejects if reject.path == "b/ct.nii.gz"] == ["mask_grid"]
    assert len(find_volumes(ShardSet.open(tmp_path / "set"), np.arange(6), ORGAN)[0]) == 1
