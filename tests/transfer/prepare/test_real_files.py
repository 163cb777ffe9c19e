"""The downloads of which `shared/data` has a part."""

from pathlib import Path
from typing import Any

import numpy as np
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


def test_pneumonia_of_medmnist(shared_data: Path, tmp_path: Path, prepare: Any) -> None:
    with np.load(shared_data / "cxr/pneumonia28/pneumonia28_train_val.npz") as whole:
        part = {name: whole[name][:200] for name in whole.files}  # the first of each side: the whole takes seconds
    np.savez(tmp_path / "pneumoniamnist.npz", **part)
    report, shards = prepare("medmnist", tmp_path / "pneumoniamnist.npz", split="own")
    for name, number in (("normal", 0), ("pneumonia", 1)):
        labels = {side: part[f"{side}_labels"] for side in ("train", "val")}
        assert report.counts[name] == {side: int((of == number).sum()) for side, of in labels.items()} | {"test": 0}
    stored = {shards.read_image(row).tobytes() for row in range(len(shards))}
    assert stored == {image.tobytes() for side in ("train", "val") for image in part[f"{side}_images"]}


def test_body_regions_of_real_volumes_come_from_a_table(shared_data: Path, tmp_path: Path, prepare: Any) -> None:
    rows = [
        *(("thorax_lung_pat2", "LUNG_PAT2", "thorax"), ("thorax_lung_pat3", "LUNG_PAT3", "thorax")),
        *(
            ("sts_036", "STS_036", "hip_pelvis"),
            ("sts_047", "STS_047", "extremities"),
            ("abdomen_ts1_short", "TS1", ""),
        ),
    ]
    table = tmp_path / "metadata.csv"
    lines = [f"{name}/ct.nii.gz,{patient},{region},CT" for name, patient, region in rows]
    table.write_text("\n".join(["path,patient,body_region,modality", *lines]) + "\n")
    report, shards = prepare("body_region", shared_data / "ct_volumes", csv=table)
    totals = {name: sum(of.values()) for name, of in report.counts.items() if any(of.values())}
    assert totals == {"thorax": 41 + 46, "hip_pelvis": 68, "extremities": 58}
    assert "no_region" in {reject.reason for reject in report.rejects}
    assert shards.manifest.totals.patients == 4
