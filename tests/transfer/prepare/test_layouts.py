"""Every converter on a fake of its download, and what holds of all of them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from radnet.shards.verify import verify_set
from radnet.transfer.prepare import CONVERTERS, converter_named
from radnet.transfer.tasks import list_tasks, resolved_task, task_items, task_named
from tests.transfer.prepare import fake_downloads as fakes

LAYOUTS: dict[str, tuple[str, Callable[[Path], Path], dict[str, int]]] = {
    "folders": ("images", fakes.class_folders, {"train": 16, "test": 16}),
    "folders without sides": ("images", lambda root: fakes.class_folders(root, sides=(".",)), {}),
    "table": ("images", fakes.table_of_images, {}),
    "cifar10 binary": ("cifar10", fakes.cifar10_binary, {"train": 100, "test": 20}),
    "cifar10 folders": (
        "cifar10",
        lambda root: fakes.class_folders(root, ("airplane", "frog")),
        {"train": 16, "test": 16},
    ),
    "pathmnist": (
        "medmnist",
        lambda root: fakes.medmnist(root / "pathmnist.npz", colours=True),
        {"train": 12, "val": 4, "test": 6},
    ),
    "chestmnist": (
        "medmnist",
        lambda root: fakes.medmnist(root / "chestmnist.npz", labels=14),
        {"train": 12, "val": 4, "test": 6},
    ),
    "chestxray14": ("chestxray14", fakes.chestxray14, {"train": 16, "test": 8}),
    "imagenet": ("imagenet1k", fakes.imagenet, {"train": 24, "test": 8}),
    "imagenet devkit": ("imagenet1k", lambda root: fakes.imagenet(root, "devkit"), {"train": 24, "test": 8}),
    "imagenet kaggle": ("imagenet1k", lambda root: fakes.imagenet(root, "kaggle"), {"train": 24, "test": 8}),
    "imagenet100": ("imagenet100", fakes.imagenet, {"train": 18, "test": 6}),
    "imagenet10": ("imagenet10", fakes.imagenet, {"train": 12, "test": 4}),
    "covid_ct": ("covid_ct", fakes.covid_ct, {"train": 8, "val": 4, "test": 4}),
    "covid_ct packed": ("covid_ct", lambda root: fakes.covid_ct(root, packed=True), {"train": 8, "val": 4, "test": 4}),
    "head_hemorrhage": ("head_hemorrhage", fakes.head_hemorrhage, {}),
}
"""Name -> task, what writes the fake, images a side of the split that it came with (none: it came with none)."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_becomes_a_sound_set(layout: str, tmp_path: Path, prepare: Any) -> None:
    name, write, sides = LAYOUTS[layout]
    report, shards = prepare(name, write(tmp_path / "download"))
    task = resolved_task(task_named(name), shards)
    items = task_items(task, shards, needs=())
    assert items.unlabelled == 0
    assert report.task == task
    assert report.own_split == bool(sides)
    found = Counter(items.split.tolist())
    assert sum(found.values()) == len(shards) > 0
    if sides and "val" not in sides:  # it was drawn from the training side
        found["train"] += found.pop("val", 0)
    assert not sides or found == sides
    assert items.target.shape == ((len(shards), len(task.classes)) if task.kind == "multi" else (len(shards),))
    assert {name: sum(of.values()) for name, of in report.counts.items()} == {
        name: int((items.target[:, number] if task.kind == "multi" else items.target == number).sum())
        for number, name in enumerate(task.classes)
    }
    assert verify_set(shards.path, full=True).problems == ()


def test_every_task_names_a_converter_that_is_there_and_every_converter_a_task() -> None:
    named = {task.prepare.converter for task in list_tasks() if task.prepare is not None}
    assert named == set(CONVERTERS)
    for name in CONVERTERS:
        converter = converter_named(name)
        assert isinstance(converter.takes, frozenset)
        assert isinstance(converter.public, bool)
        assert isinstance(converter.files, tuple)


def test_pictures_of_cifar10_are_the_bytes_of_their_records(tmp_path: Path, prepare: Any) -> None:
    source = fakes.cifar10_binary(tmp_path / "download", records=3)
    _, shards = prepare("cifar10", source)
    records = np.fromfile(source / "cifar-10-batches-bin/test_batch.bin", np.uint8).reshape(-1, 3073)
    test = shards.index[shards.index["split"] == "test"]
    stored = {
        shards.read_image(row).tobytes(): label for row, label in zip(test.index, test["label_class"], strict=True)
    }
    classes = task_named("cifar10").classes
    for record in records:
        pixels = np.stack(
            [record[1 + 1024 * plane : 1025 + 1024 * plane].reshape(32, 32) for plane in range(3)], axis=-1
        )
        assert stored[pixels.tobytes()] == classes[record[0]]


def test_findings_of_chestxray14_are_those_of_its_table(tmp_path: Path, prepare: Any) -> None:
    source = fakes.chestxray14(tmp_path / "download")
    _, shards = prepare("chestxray14", source)
    rows = [line.split(",") for line in (source / "Data_Entry_2017.csv").read_text().splitlines()[1:]]
    pixels = {
        cv2.imread(str(next(source.rglob(row[0]))), cv2.IMREAD_UNCHANGED).tobytes(): set(row[1].split("|"))
        for row in rows
    }
    task = task_named("chestxray14")
    items = task_items(task, shards)
    for row, target in zip(items.rows, items.target, strict=True):
        names = {name for name, there in zip(task.classes, target, strict=True) if there}
        assert names == pixels[shards.read_image(row).tobytes()] - {"No Finding"}
    assert len(set(items.patients)) == 12
    assert not set(items.patients[items.side("train")]) & set(items.patients[items.side("val")])


def test_images_of_one_publication_are_one_group(tmp_path: Path, prepare: Any) -> None:
    _, shards = prepare("covid_ct", fakes.covid_ct(tmp_path / "download"), split="keyed")
    groups = shards.index.groupby("patient_key")
    assert sorted(groups.size()) == [1, 1, 1, 1, 1, 1, 2, 4, 4]
    assert (groups["split"].nunique() == 1).all()


def test_names_of_medmnist_come_from_the_name_of_the_file(tmp_path: Path, prepare: Any) -> None:
    report, _ = prepare("medmnist", fakes.medmnist(tmp_path / "pneumoniamnist_64.npz", side=64))
    assert report.task.classes == ("normal", "pneumonia")
    report, _ = prepare("medmnist", fakes.medmnist(tmp_path / "mine.npz"), out="other")
    assert report.task.classes == ("0", "1")


def test_imagenet_subsets_are_every_tenth_and_hundredth_class() -> None:
    names = task_named("imagenet1k").classes
    assert len(names) == 1000
    assert list(names) == sorted(names)
    assert task_named("imagenet100").classes == names[::10]
    assert task_named("imagenet10").classes == names[::100]


def test_a_packed_download_gives_the_set_of_the_unpacked_one(tmp_path: Path, prepare: Any) -> None:
    import shutil

    source = fakes.head_hemorrhage(tmp_path / "download")
    plain, _ = prepare("head_hemorrhage", source)
    for kind in ("zip", "gztar"):
        packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, source))
        report, _ = prepare("head_hemorrhage", packed, out=kind)
        assert report.manifest.content_sha256 == plain.manifest.content_sha256
    assert not [path for path in (tmp_path / "made").iterdir() if path.name.startswith(".")]
