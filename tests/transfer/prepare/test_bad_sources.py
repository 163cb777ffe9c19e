"""What people get wrong, and what a hostile download holds."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radnet.errors import RadnetError, UsageError
from radnet.transfer.prepare import PrepareOptions, prepare_task
from radnet.transfer.prepare.unpack import unpacked
from radnet.transfer.tasks import open_task_set, resolved_task, task_named
from tests.transfer.prepare import fake_downloads as fakes


def _table(root: Path, text: str, images: int = 4) -> Path:
    for number in range(images):
        fakes.picture(root / f"{number}.png", number)
    (root / "labels.csv").write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table is empty"),
        ("file,label\n0.png,a,b\n", "Line 2: it has 3 cells, the header 2"),
        ("file,label\n0.png,a\n../x.png,b\n", "Line 3: the path is not one below the source"),
        ("file,label\n0.png,a\n/etc/passwd,b\n", "Line 3: the path is not one below the source"),
        ("file,label\n0.png,a\nC:\\x.png,b\n", "Line 3: the path is not one below the source"),
        ("file,label\n0.png,a\n,b\n", "Line 3: the path is not one below the source"),
        ("file,label\n0.png,a\n0.png,b\n", "name an image twice"),
        ("file,label,label\n0.png,a,a\n", "a column twice"),
        ("file,colour\n0.png,a\n", "no column 'label'"),
        ("name,label\n0.png,a\n", "no column 'path'"),
        ("file,label\n0.png,a\n1.png,a\n", "A task needs two classes"),
        ("file,label\n0.png,\n1.png,\n", "A task needs two classes"),
        ("file,label,split\n0.png,a,train\n1.png,b,exam\n", "Line 3: this is no side of a split"),
        ("file,label\n8.png,a\n9.png,b\n", "None of the 2 images that the labels name is there"),
        ('file,label\n"0.png,a\n', "cannot be read"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(text: str, message: str, tmp_path: Path, prepare: Any) -> None:
    with pytest.raises(UsageError, match=message):
        prepare("images", _table(tmp_path / "source", text))
    assert not list((tmp_path / "made").glob("*"))


def test_labels_whose_columns_would_be_one_are_refused(tmp_path: Path, prepare: Any) -> None:
    source = _table(tmp_path / "source", "file,a b,a-b\n0.png,0,1\n1.png,1,0\n")
    with pytest.raises(UsageError, match="Two classes have one name"):
        prepare("images", source, label_columns=("a b", "a-b"))


def test_missing_and_unreadable_images_are_counted_and_listed(tmp_path: Path, prepare: Any) -> None:
    text = "file,label\n0.png,a\n1.png,b\n2.png,a\n3.png,b\ngone.png,a\n"
    source = _table(tmp_path / "source", text)
    (source / "2.png").write_bytes((source / "2.png").read_bytes()[:60])
    (source / "1.png").write_bytes(b"no picture")
    (source / "other.png").write_bytes((source / "0.png").read_bytes())
    report, shards = prepare("images", source, split_fractions=(1.0, 0.0, 0.0))
    assert {reject.path: reject.reason for reject in report.rejects} == {
        "gone.png": "missing",
        "1.png": "unreadable",
        "2.png": "unreadable",
        "other.png": "not_listed",
        "labels.csv": "metadata",
    }
    assert len(shards) == 2
    assert shards.manifest.totals.rejected_files == 5


def test_a_source_of_which_nothing_is_left_says_why(tmp_path: Path, prepare: Any) -> None:
    source = _table(tmp_path / "source", "file,label\n0.png,a\n1.png,b\n")
    for name in ("0.png", "1.png"):
        (source / name).write_bytes(b"")
    with pytest.raises(RadnetError, match="No image of this source can be used") as caught:
        prepare("images", source)
    assert len(caught.value.rejects) == 5  # type: ignore[attr-defined]


def test_pickles_are_never_read(tmp_path: Path, prepare: Any) -> None:
    folder = tmp_path / "download/cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"\x80\x02.")
    with pytest.raises(UsageError, match="binary version"):
        prepare("cifar10", tmp_path / "download")
    objects = tmp_path / "mine.npz"
    np.savez(objects, train_images=np.zeros((2, 4, 4), np.uint8), train_labels=np.array([{}, 1], dtype=object))
    with pytest.raises(UsageError, match="pickle"):
        prepare("medmnist", objects)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "no MedMNIST file"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8)}, "train_labels is missing"),
        (
            {"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros((3, 1), np.uint8)},
            "needs two classes",
        ),
        (
            {"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([[0], [1], [1]])},
            "2 images and 3 labels",
        ),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.array([[0], [1]])}, "no images of 8 bits"),
        ({"train_images": np.zeros((2, 4, 4, 4), np.uint8), "train_labels": np.array([[0], [1]])}, "volumes"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([[0], [-1]])}, "no labels"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([[0, 2], [1, 1]])}, "0 or 1"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([[0.5], [1]])}, "no whole numbers"),
    ],
)
def test_an_npz_that_is_no_medmnist_is_refused(arrays: Any, message: str, tmp_path: Path, prepare: Any) -> None:
    np.savez(tmp_path / "file.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        prepare("medmnist", tmp_path / "file.npz")


def test_a_cut_batch_and_a_class_beyond_nine_are_refused(tmp_path: Path, prepare: Any) -> None:
    source = fakes.cifar10_binary(tmp_path / "source", records=2)
    batch = source / "cifar-10-batches-bin/data_batch_2.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match="it was cut"):
        prepare("cifar10", source)
    batch.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(UsageError, match="class beyond 9"):
        prepare("cifar10", source)
    batch.unlink()
    with pytest.raises(UsageError, match=r"data_batch_2\.bin is missing"):
        prepare("cifar10", source)


def test_a_finding_that_is_none_and_half_a_split_are_refused(tmp_path: Path, prepare: Any) -> None:
    source = fakes.chestxray14(tmp_path / "source", patients=3)
    table = source / "Data_Entry_2017.csv"
    good = table.read_text()
    table.write_text(good.replace("Hernia", "Hernias").replace("Effusion", "Efusion"))
    with pytest.raises(UsageError, match="no findings"):
        prepare("chestxray14", source)
    table.write_text(good)
    shutil.copy(source / "test_list.txt", source / "train_val_list.txt")
    with pytest.raises(UsageError, match="in both lists"):
        prepare("chestxray14", source)
    (source / "train_val_list.txt").unlink()
    with pytest.raises(UsageError, match=r"train_val_list\.txt is missing"):
        prepare("chestxray14", source)


def test_flat_validation_images_need_their_truth(tmp_path: Path, prepare: Any) -> None:
    source = fakes.imagenet(tmp_path / "source", "kaggle")
    (source / "LOC_val_solution.csv").unlink()
    with pytest.raises(UsageError, match="nothing says of which class"):
        prepare("imagenet1k", source)


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png", "..\\out.png", "C:\\out.png"])
def test_a_zip_that_reaches_outside_is_refused(name: str, tmp_path: Path) -> None:
    packed = tmp_path / "evil.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("good.txt", "x")
        file.writestr(name, "x")
    with pytest.raises(UsageError, match="a path outside of it"), unpacked(packed, tmp_path / "a/b/into"):
        pass
    assert not list(tmp_path.rglob("out.png"))


def _zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "" if name.endswith("/") else "x")
    return path


def _tarred(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.size = (tarfile.DIRTYPE, 0) if name.endswith("/") else (tarfile.REGTYPE, 1)
            archive.addfile(member, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("pack", [_zipped, _tarred], ids=["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["."], "a file without a name"),
        (["./."], "a file without a name"),
        ([""], "a file without a name"),
        (["a", "a/b"], "a file and a directory of one name"),
        (["a/b", "a"], "a file and a directory of one name"),
    ],
)
def test_a_member_that_has_no_place_is_refused(pack: Any, names: list[str], message: str, tmp_path: Path) -> None:
    packed = pack(tmp_path / "odd", "good.txt", *names)
    with pytest.raises(UsageError, match=f"{message}.*nothing of it is used.*odd"), unpacked(packed, tmp_path / "into"):
        pass


@pytest.mark.parametrize("pack", [_zipped, _tarred], ids=["zip", "tar"])
def test_the_directory_itself_may_be_a_member(pack: Any, tmp_path: Path) -> None:
    with unpacked(pack(tmp_path / "usual", "./", "./a/", "./a/b.txt"), tmp_path / "into") as into:
        assert [path.relative_to(into).as_posix() for path in into.rglob("*.txt")] == ["a/b.txt"]


def test_links_and_devices_in_packed_files_are_refused(tmp_path: Path) -> None:
    packed = tmp_path / "evil.tar"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        with tarfile.open(packed, "w") as file:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = kind, "/etc"
            file.addfile(member)
        with pytest.raises(UsageError, match="a link or a special file"), unpacked(packed, tmp_path / kind.decode()):
            pass
    zipped = tmp_path / "evil.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc")
    with pytest.raises(UsageError, match="a link"), unpacked(zipped, tmp_path / "zip"):
        pass


def test_a_damaged_or_other_file_is_no_download(tmp_path: Path, prepare: Any) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", "x" * 10_000)
    cut = bytearray(zipped.getvalue())
    cut[40:60] = bytes(20)
    for name, data in (("cut.zip", bytes(cut)), ("noise.zip", b"x" * 1000), ("cut.tar.gz", b"\x1f\x8b" + b"y" * 500)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=r"cannot be read|neither a zip nor a tar"):
            prepare("images", tmp_path / name)
    with pytest.raises(UsageError, match="No such file or directory"):
        prepare("images", tmp_path / "nowhere")


def test_options_that_a_converter_would_ignore_are_refused(tmp_path: Path, prepare: Any) -> None:
    with pytest.raises(UsageError, match=r"no such option .*--csv"):
        prepare("cifar10", tmp_path, csv=tmp_path / "x.csv")
    with pytest.raises(UsageError, match="no converter"):
        prepare("contrast_phase", tmp_path)
    with pytest.raises(UsageError, match="its keys need a secret"):
        prepare_task(task_named("images"), tmp_path, tmp_path / "out", None, PrepareOptions())
    (tmp_path / "source").mkdir()
    with pytest.raises(UsageError, match="inside its source"):
        prepare_task(task_named("cifar10"), tmp_path / "source", tmp_path / "source/out")


def test_a_set_that_is_missing_says_how_to_prepare_it(tmp_path: Path, phantom_set: Any) -> None:
    with pytest.raises(UsageError, match="radnet task prepare cifar10 SOURCE"):
        open_task_set(task_named("cifar10"), tmp_path / "set")
    with pytest.raises(UsageError, match="radnet shards build"):
        open_task_set(task_named("contrast_phase"), tmp_path / "set")
    with pytest.raises(UsageError, match=r"was not prepared for the task 'images'.*radnet task prepare images"):
        resolved_task(task_named("images"), phantom_set)
