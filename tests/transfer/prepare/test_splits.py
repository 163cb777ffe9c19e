"""Own and keyed splits, and what leaks between their sides."""

from pathlib import Path
from typing import Any

import pytest

from radnet.errors import UsageError
from radnet.shards.subset import Selection, subset_set
from radnet.shards.verify import verify_set
from radnet.transfer.tasks import sets_for, task_items, task_named
from tests.transfer.prepare import fake_downloads as fakes

ROWS = [  # file, label, person, side: p1 is in train and test, p2 in train and val; 8 is 0 again, on another side
    *(("0", "a", "p1", "train"), ("1", "b", "p1", "test"), ("2", "a", "p2", "train"), ("3", "b", "p2", "val")),
    *(("4", "a", "p3", "train"), ("5", "b", "p4", "test"), ("6", "a", "p5", "test"), ("7", "b", "p6", "train")),
    *(("8", "a", "p7", "test"), ("9", "b", "p8", "train")),
]


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for name, *_ in ROWS:
        fakes.picture(root / f"{name}.png", int(name))
    (root / "8.png").write_bytes((root / "4.png").read_bytes())
    lines = [f"{name}.png,{label},{person},{side}" for name, label, person, side in ROWS]
    (root / "labels.csv").write_text("\n".join(["path,label,patient,split", *lines]) + "\n")
    return root


def test_an_own_split_is_kept_and_its_leaks_are_counted(leaking: Path, prepare: Any, capsys: Any) -> None:
    report, shards = prepare("images", leaking)
    assert report.own_split
    assert (report.leaks.groups, report.leaks.group_images, report.leaks.files) == (2, 4, 1)
    assert dict(report.leaks.by_sides) == {"train+test": 1, "train+val": 1}
    assert report.same_pixels == 1
    assert dict(shards.index["split"].value_counts()) == {"train": 5, "test": 4, "val": 1}
    words = capsys.readouterr().err
    assert "2 groups with 4 images are on more than one side" in words
    assert "--drop-leaks" in words
    # the manifest says so, so that verify takes the leak for what it is, and no more than that
    assert shards.manifest.settings["prepared"]["split"]["leaks"]["groups_kept"] == 2
    assert "split_fractions" not in shards.manifest.settings
    assert task_items(report.task, shards).seen_test_patients() == 1
    assert verify_set(shards.path, full=True).problems == ()


def test_a_leak_that_nobody_declared_is_a_problem(leaking: Path, prepare: Any) -> None:
    _, shards = prepare("images", leaking)
    manifest = shards.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"groups_kept": 2', '"groups_kept": 1'))
    problems = [problem.what for problem in verify_set(shards.path).problems]
    assert sum("on two sides of the split" in what for what in problems) == 2


def test_dropping_leaks_leaves_the_test_side_as_it_was_published(leaking: Path, prepare: Any) -> None:
    report, shards = prepare("images", leaking, drop_leaks=True)
    assert report.leaks.left_out == 3
    assert {reject.path for reject in report.rejects if reject.reason == "leak"} == {"0.png", "2.png", "4.png"}
    assert dict(shards.index["split"].value_counts()) == {"test": 4, "train": 2, "val": 1}
    assert (shards.index.groupby("patient_key")["split"].nunique() == 1).all()
    assert not shards.index["content_hash"].duplicated().any()
    assert verify_set(shards.path, full=True).problems == ()


def test_a_keyed_split_cannot_leak(leaking: Path, prepare: Any) -> None:
    report, shards = prepare("images", leaking, split="keyed", split_fractions=(0.5, 0.2, 0.3))
    assert not report.own_split
    assert report.leaks is None
    assert task_items(report.task, shards, needs=()).seen_test_patients() == 0
    assert (shards.index.groupby("patient_key")["split"].nunique() == 1).all()
    assert shards.manifest.totals.dropped_slices == {"duplicate_slice": 1}
    assert shards.manifest.settings["split_fractions"] == [0.5, 0.2, 0.3]


def test_val_is_drawn_from_the_training_groups_where_there_is_none(tmp_path: Path, prepare: Any) -> None:
    source = fakes.class_folders(tmp_path / "source")
    _, shards = prepare("images", source, val_share=0.5)
    counts = shards.index["split"].value_counts()
    assert counts["test"] == 16
    assert 0 < counts["val"] < 16
    _, none = prepare("images", source, val_share=0.0, out="none")
    assert dict(none.index["split"].value_counts()) == {"train": 16, "test": 16}


def test_auto_takes_no_split_without_a_test_side(tmp_path: Path, prepare: Any, capsys: Any) -> None:
    source = fakes.class_folders(tmp_path / "source", sides=("train", "val"))
    report, _ = prepare("images", source)
    assert not report.own_split
    assert "the keys decide" in capsys.readouterr().err
    report, _ = prepare("images", source, split="own", out="own")
    assert report.own_split


def test_own_is_refused_where_there_is_none(tmp_path: Path, prepare: Any) -> None:
    with pytest.raises(UsageError, match="came without a split of its own"):
        prepare("images", fakes.class_folders(tmp_path / "source", sides=(".",)), split="own")


def test_an_image_without_a_side_is_counted(leaking: Path, prepare: Any) -> None:
    table = leaking / "labels.csv"
    table.write_text(table.read_text().replace("p8,train", "p8,"))
    report, shards = prepare("images", leaking)
    assert [reject.path for reject in report.rejects if reject.reason == "no_side"] == ["9.png"]
    assert len(shards) == 9


def test_a_class_that_is_missing_from_a_split_is_named(tmp_path: Path, prepare: Any, capsys: Any) -> None:
    source = fakes.class_folders(tmp_path / "source")
    for image in (source / "test/dog").iterdir():
        image.unlink()
    prepare("images", source)
    assert "the test split holds no image of 1 class: dog" in capsys.readouterr().err


def test_several_labels_are_columns_of_0_and_1(tmp_path: Path, prepare: Any) -> None:
    source = fakes.table_of_images(tmp_path / "source")
    text = (source / "labels.csv").read_text().splitlines()
    text[1] = text[1].replace(",0,0,train", ",,0,train")  # nobody knows whether there is fluid
    (source / "labels.csv").write_text("\n".join(text) + "\n")
    options = {"label_columns": ("fluid", "air"), "group_column": "person", "split_column": "side"}
    report, shards = prepare("images", source, **options)
    assert (report.task.kind, report.task.classes) == ("multi", ("fluid", "air"))
    items = task_items(report.task, shards)
    assert items.unlabelled == 1
    assert items.target.shape == (23, 2)
    index = shards.index.iloc[items.rows]
    assert (items.target[:, 0] == (index["label_class_fluid"] == "1")).all()
    assert len(set(shards.index["patient_key"])) == 8


def test_the_same_source_gives_the_same_set(tmp_path: Path, prepare: Any) -> None:
    source = fakes.cifar10_binary(tmp_path / "source", records=5)
    first, _ = prepare("cifar10", source)
    second, _ = prepare("cifar10", source, out="again")
    assert first.manifest.content_sha256 == second.manifest.content_sha256
    assert first.manifest.shards[0].sha256 == second.manifest.shards[0].sha256


def test_a_prepared_set_is_found_and_a_part_of_it_keeps_its_task(tmp_path: Path, prepare: Any) -> None:
    _, shards = prepare("images", fakes.class_folders(tmp_path / "source"))
    subset_set(shards.path, shards.path.parent / "part", Selection(fraction=0.5))
    assert sets_for(task_named("images"), shards.path.parent) == ["part", "set"]
    assert sets_for(task_named("cifar10"), shards.path.parent) == []


def test_body_regions_come_from_a_set_or_an_archive(phantom_set: Any, tmp_path: Path, prepare: Any) -> None:
    report, shards = prepare("body_region", phantom_set.path)
    assert len(shards) == len(phantom_set)
    assert sum(sum(counts.values()) for counts in report.counts.values()) == len(shards)
    again, _ = prepare("body_region", phantom_set.path.parent / "archive", out="again")
    assert again.manifest.settings["prepared"]["task"] == "body_region"
    assert set(again.counts) == set(task_named("body_region").classes)
