"""The downloads of which `shared/data` has a part."""

from pathlib import Path
from typing import Any

import pytest

from radnet.transfer.tasks import task_items, task_named


@pytest.mark.parametrize(
    ("task", "source", "images", "patients"),
    [
        ("cifar10", "natural/cifar10", 1500, 1500),
        ("covid_ct", "ct_slices/covid_ct", 568, 197),
        ("head_hemorrhage", "ct_slices/head_hemorrhage", 150, 135),
        ("imagenet10", "natural/imagenet256", 10, 10),
    ],
)
def test_sets_of_real_files(
    task: str, source: str, images: int, patients: int, shared_data: Path, prepare: Any
) -> None:
    report, shards = prepare(task, shared_data / source)
    assert (len(shards), shards.manifest.totals.patients) == (images, patients)
    assert task_items(task_named(task), shards, needs=()).unlabelled == 0
    assert {reject.reason for reject in report.rejects} <= {"metadata", "duplicate_slice", "not_listed"}


def test_the_issues_own_example_works_as_written(shared_data: Path, prepare: Any) -> None:
    report, _ = prepare("images", shared_data / "natural/cifar10")
    assert report.task.classes == task_named("cifar10").classes
    assert {sum(counts.values()) for counts in report.counts.values()} == {150}
    assert {counts["test"] for counts in report.counts.values()} == {50}


def test_the_folders_of_the_nih_source_leak_24_of_195_patients(shared_data: Path, prepare: Any) -> None:
    report, shards = prepare("chestxray14", shared_data / "cxr/nih64")
    assert (report.leaks.groups, shards.manifest.totals.patients) == (24, 195)
    assert {name: sum(of.values()) for name, of in report.counts.items()} == {
        **{"Atelectasis": 72, "Cardiomegaly": 57, "Effusion": 138, "Infiltration": 139, "Mass": 23, "Nodule": 26},
        **{"Pneumonia": 8, "Pneumothorax": 30, "Consolidation": 41, "Edema": 26, "Emphysema": 33, "Fibrosis": 25},
        **{"Pleural_Thickening": 25, "Hernia": 8},
    }


def test_pneumonia_of_medmnist(shared_data: Path, prepare: Any) -> None:
    report, shards = prepare("medmnist", shared_data / "cxr/pneumonia28/pneumonia28_train_val.npz", split="own")
    assert len(shards) == 3882 + 524
    assert report.same_pixels > 0
