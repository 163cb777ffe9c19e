"""LiTS, BraTS and archives of volumes with masks."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radnet.errors import UsageError
from radnet.transfer.segmentation.volumes import VolumeSplit, find_volumes
from radnet.transfer.tasks import Task, task_from_settings, task_items, task_named


def _fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_volumes", Path(__file__).with_name("fake_volumes.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fakes = _fakes()


def split_of(task: Task, shards: Any) -> VolumeSplit:
    assert task.masks is not None
    items = task_items(task, shards, needs=())
    return VolumeSplit.of(
        shards, find_volumes(shards, items.rows, task.masks)[0], task.masks, task.view((0.5,), (0.5,))
    )


def reasons(shards: Any) -> dict[str, int]:
    return dict(pd.read_parquet(shards.path / shards.manifest.rejects.file)["reason"].value_counts())


def test_lits(tmp_path: Path, prepare: Any) -> None:
    source = fakes.lits(tmp_path / "download")
    report, shards = prepare("lits", source)
    assert report.task.classes == ("liver", "tumour")
    split = split_of(report.task, shards)
    assert len(split.volumes) == 6
    assert len(set(split.patients)) == 6
    assert split.volumes[0].spacing_mm == (5.0, 1.0, 1.0)
    tumour = sum(int((np.asarray(nib.load(path).dataobj) == 2).sum()) for path in source.rglob("segmentation-*"))
    inside = np.array([split.inside(position).sum(axis=(1, 2)) for position in range(len(split))]).sum(axis=0)
    assert inside.tolist() == [2 * tumour, tumour]  # the liver with its tumours
    assert reasons(shards) == {"mask": 6, "no_mask": 1}


@pytest.mark.parametrize("since_2023", [False, True])
def test_brats(since_2023: bool, tmp_path: Path, prepare: Any) -> None:
    report, shards = prepare("brats", fakes.brats(tmp_path / "download", since_2023=since_2023))
    assert report.task.classes == ("enhancing_tumour", "whole_tumour", "tumour_core")
    assert shards.manifest.modality == "MR"
    split = split_of(report.task, shards)
    assert len(split.volumes) == 3
    assert len(set(split.patients)) == (2 if since_2023 else 3)  # two studies of one patient
    assert split.volumes[0].rows.shape == (4, 4)
    picture = split.picture(1, seed=0)
    assert picture.shape == (4, 256, 256)
    row = split.volumes[0].rows[1]
    expected = [split.view(shards.read_image(int(one)))[0][channel] for channel, one in enumerate(row)]
    assert np.array_equal(picture, np.stack(expected))
    assert shards.index["label_sequence"].iloc[row].tolist() == ["t1", "t1ce", "t2", "flair"]
    et, wt, tc = (int(split.inside(1)[number].sum()) for number in range(3))
    assert 0 < et < tc < wt
    assert reasons(shards) == {"mask": 3, "no_mask": 4}


def test_a_case_of_brats_without_a_sequence_takes_no_part(
    tmp_path: Path, prepare: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fakes.brats(tmp_path / "download", since_2023=False)
    next(source.rglob("*_t2.nii.gz")).unlink()
    report, shards = prepare("brats", source)
    assert len(split_of(report.task, shards).volumes) == 2
    assert "1 cases lack a sequence" in capsys.readouterr().err


def test_volumes_of_ones_own(tmp_path: Path, prepare: Any) -> None:
    source = fakes.lits(tmp_path / "download", cases=3)
    lines = [
        f"Training Batch {1 + number % 2}/volume-{number}.nii,P{number},CT,Training Batch {1 + number % 2}/"
        f"segmentation-{number}.nii"
        for number in range(2)
    ]
    (source / "metadata.csv").write_text("\n".join(["path,patient,modality,mask", *lines]))
    _, shards = prepare("volumes", source)
    assert shards.manifest.totals.series == 2
    assert reasons(shards)["no_mask"] == 3


@pytest.mark.parametrize("name", ["lits", "brats", "volumes"])
def test_another_source_is_refused(name: str, tmp_path: Path, prepare: Any) -> None:
    fakes.lits(tmp_path / "download", cases=1)
    shutil.rmtree(tmp_path / "download" / "Training Batch 1")
    with pytest.raises(UsageError, match=r"no download of|No scan"):
        prepare(name, tmp_path / "download")


def test_real_dicom_series_with_contours(shared_data: Path, tmp_path: Path, prepare: Any) -> None:
    archive = tmp_path / "archive"
    for name in ("chest_pat1", "hand_sts019"):
        shutil.copytree(
            shared_data / "dicom_series" / name, archive / name, ignore=shutil.ignore_patterns("reference*")
        )
    report, shards = prepare("volumes", archive)
    split = split_of(report.task, shards)
    assert sorted(volume.shape[0] for volume in split.volumes) == [47, 60]
    inside = sum(int(split.inside(position).sum()) for position in range(len(split)))
    assert inside == 125256 + 5564  # as the reference masks of the source have it


def test_a_task_of_masks_needs_its_structures() -> None:
    settings = task_named("lits").model_dump()
    assert task_from_settings({**settings, "classes": []}).classes == ("liver", "tumour")
    with pytest.raises(UsageError, match=r"masks\.structures"):
        task_from_settings({**settings, "masks": None})
    with pytest.raises(UsageError, match="Unknown metric"):
        task_from_settings({**settings, "metric": "accuracy"})
    assert task_from_settings({**settings, "metric": "dice_tumour"}).metric == "dice_tumour"
