"""What pretraining sets share with test slices."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radnet.hashing import settings_hash
from radnet.models import LoadedModel, ModelName, load_model
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.manifest import MANIFEST
from radnet.shards.verify import verify_set
from radnet.transfer.overlap import overlap_with_test, overlap_words
from radnet.transfer.tasks import TaskItems, task_items, task_named

SECRET = b"a secret for tests only"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ShardSet]:
    """One archive under two secrets and at two sizes, with the test slices in the training split of all but `test`."""
    root = tmp_path_factory.mktemp("sets")
    write_phantom_archive(root / "archive", patients=8, series_per_patient=1, slices=4, size=48)
    found = {}
    for name, secret, fractions, size in (
        ("test", SECRET, (0.5, 0.0, 0.5), None),
        ("all", SECRET, (1.0, 0.0, 0.0), None),
        ("stranger", b"another secret of the tests", (1.0, 0.0, 0.0), None),
        ("small", SECRET, (1.0, 0.0, 0.0), 32),
        ("small stranger", b"another secret of the tests", (1.0, 0.0, 0.0), 32),
    ):
        settings = BuildSettings(split_fractions=fractions, size=size)
        build_shards(root / "archive", root / "sets" / name, KeyedHash(secret), settings)
        found[name] = ShardSet.open(root / "sets" / name)
    return found


@pytest.fixture(scope="module")
def items(sets: dict[str, ShardSet]) -> TaskItems:
    return task_items(task_named("body_region", size=32), sets["test"])


def _pretrained_on(*content: str) -> LoadedModel:
    return replace(load_model(ModelName.parse("random:resnet10t")), arm="in-domain", data=content)


def _content(shards: ShardSet) -> str:
    return shards.manifest.content_hash()


def test_the_own_training_split_shares_nothing_with_the_test_split(sets: dict[str, ShardSet], items: TaskItems) -> None:
    found = overlap_with_test(_pretrained_on(_content(sets["test"])), sets["test"], items)
    assert (found.checked, found.shared_items, found.shared_patients) == (True, 0, 0)
    assert found.test_items == len(items.side("test"))


def test_a_pretraining_set_that_holds_the_test_slices_is_found_out(sets: dict[str, ShardSet], items: TaskItems) -> None:
    place = sets["all"].path.parent
    found = overlap_with_test(_pretrained_on(_content(sets["all"])), sets["test"], items, [place])
    assert found.checked
    assert found.shared_items == found.test_items > 0
    assert found.shared_patients == len(set(items.patients[items.side("test")]))
    assert found.sets == (_content(sets["all"]),)


def test_under_another_secret_pixels_still_tell(sets: dict[str, ShardSet], items: TaskItems) -> None:
    places = [sets["stranger"].path]
    found = overlap_with_test(_pretrained_on(_content(sets["stranger"])), sets["test"], items, places)
    assert found.checked
    assert found.shared_items == found.test_items
    assert found.shared_patients is None
    assert "another secret, so only pixels" in found.message
    assert "of their patients nothing is known" in overlap_words(found)


def test_nothing_tells_under_another_secret_at_another_size(sets: dict[str, ShardSet], items: TaskItems) -> None:
    stranger = sets["small stranger"]
    found = overlap_with_test(_pretrained_on(_content(stranger)), sets["test"], items, [stranger.path])
    assert (found.checked, found.shared_items, found.shared_patients, found.sets) == (False, 0, None, ())
    assert "neither pixels nor patient keys" in found.message
    assert overlap_words(found).startswith("overlap with pretraining not checked")
    both = overlap_with_test(_pretrained_on(*map(_content, (sets["all"], stranger))), sets["test"], items, [
        sets["all"].path.parent
    ])  # fmt: skip
    assert not both.checked
    assert both.sets == (_content(sets["all"]),)
    assert both.shared_items == both.test_items
    assert both.shared_patients == len(set(items.patients[items.side("test")]))


def test_a_set_that_does_not_say_its_secret_is_compared_as_before(
    sets: dict[str, ShardSet], items: TaskItems, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(sets["stranger"].path, older)
    about = json.loads((older / MANIFEST).read_text())
    del about["settings"]["keyed_by"]
    about["settings_sha256"] = settings_hash(about["settings"])
    (older / MANIFEST).write_text(json.dumps(about))
    assert verify_set(older).problems == ()
    found = overlap_with_test(_pretrained_on(_content(sets["stranger"])), sets["test"], items, [older])
    assert (found.checked, found.shared_items, found.shared_patients) == (True, found.test_items, 0)


def test_at_another_size_only_patients_tell_and_the_record_says_so(sets: dict[str, ShardSet], items: TaskItems) -> None:
    found = overlap_with_test(_pretrained_on(_content(sets["small"])), sets["test"], items, [sets["small"].path])
    assert found.shared_items == 0
    assert found.shared_patients == len(set(items.patients[items.side("test")]))
    assert "another size" in found.message


def test_what_is_not_at_hand_is_not_said_to_be_clean(sets: dict[str, ShardSet], items: TaskItems) -> None:
    model = _pretrained_on(_content(sets["test"]), "0" * 64)
    found = overlap_with_test(model, sets["test"], items)
    assert not found.checked
    assert "pretraining_sets=" in found.message
    assert found.sets == (_content(sets["test"]),)


def test_a_run_tells_where_its_set_lies(sets: dict[str, ShardSet], items: TaskItems, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"settings": {"data": str(sets["all"].path)}}))
    model = replace(_pretrained_on(_content(sets["all"])), name=ModelName("run", str(tmp_path)))
    assert overlap_with_test(model, sets["test"], items).shared_items == len(items.side("test"))


def test_weights_of_unknown_pictures_are_not_checked_and_random_ones_saw_none(
    sets: dict[str, ShardSet], items: TaskItems
) -> None:
    imagenet = replace(_pretrained_on(), arm="imagenet", pretraining="ImageNet-1k")
    found = overlap_with_test(imagenet, sets["test"], items)
    assert not found.checked
    assert "ImageNet-1k" in found.message
    found = overlap_with_test(load_model(ModelName.parse("random:resnet10t")), sets["test"], items)
    assert (found.checked, found.shared_items) == (True, 0)
    assert np.isclose(found.test_items, len(items.side("test")))
