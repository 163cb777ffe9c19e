"""Runs on several sets: CT and pictures in one stream, shares by weight, resuming, refusals."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from radnet.configs import compose, validated
from radnet.errors import UsageError
from radnet.models import ModelName, load_model
from radnet.pretrain.claim import read_settings
from radnet.pretrain.data import TrainingData
from radnet.pretrain.moment import Moment
from radnet.pretrain.run import pretrain
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.simclr import SimCLR
from radnet.pretrain.stopping import StoppedError
from radnet.scans.keys import KeyedHash
from radnet.shards import ShardMix, ShardSet, Stream
from radnet.shards.build import BuildSettings, build_shards
from radnet.views import ReferenceStudyViews
from tests.pretrain.runs_for_tests import losses, tiny

SECRET = KeyedHash(b"a secret for tests only")


@pytest.fixture(scope="module")
def pictures(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """40 ImageNet pictures of 48 px, uint8."""
    root = tmp_path_factory.mktemp("pictures")
    (root / "archive").mkdir()
    for path in sorted((shared_data / "natural" / "imagenet256").glob("n*.jpg"))[:40]:
        shutil.copy(path, root / "archive")
    settings = BuildSettings(split_fractions=(0.9, 0.0, 0.1), modalities=("PICTURE",), size=48)
    build_shards(root / "archive", root / "set", SECRET, settings)
    return ShardSet.open(root / "set")


def _data(*sets: ShardSet) -> str:
    return f"data=[{','.join(str(one.path) for one in sets)}]"


def _opened(*overrides: str) -> TrainingData:
    return TrainingData.open(validated(PretrainSettings, compose("pretrain", list(overrides)), "the test"))


def _on(ct: ShardSet, pictures: ShardSet, out: Path, *more: str) -> list[str]:
    """A short run on both sets with three channels."""
    colour = ["method.views.colour=true", "batch_size=12", "epochs=2", "data_weights=[2,1]"]
    return tiny("simclr", ct, out, _data(ct, pictures), *colour, *more)


def test_ct_and_pictures_come_in_one_batch_each_scaled_by_its_kind(phantom_set: ShardSet, pictures: ShardSet) -> None:
    data = _opened(_data(phantom_set, pictures))
    assert len(data.rows) == len(phantom_set.rows("train")) + len(pictures.rows("train"))
    recipe = ReferenceStudyViews(size=32, colour=True, jitter_probability=0)
    stream = Stream(data.source, data.rows, recipe, data.order(24, 1, 0))
    mix = ShardMix([phantom_set, pictures])
    kinds = set()
    for batch in stream:
        for row, first in zip(batch.rows.tolist(), batch.views[0], strict=True):
            number, own = mix.locate(row)
            image = (phantom_set, pictures)[number].read_image(own)
            kinds.add((number, image.dtype.name, image.ndim))
            made = recipe(image, np.random.default_rng([0, 0, row]))
            assert torch.equal(first, torch.from_numpy(made[0]))
            assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert kinds == {(0, "int16", 2), (1, "uint8", 3)}
    keys = data.keys(np.array([0, len(phantom_set)]))
    assert keys == [f"set (1)/{phantom_set.index['key'][0]}", f"set (2)/{pictures.index['key'][0]}"]


def test_a_run_on_two_sets_resumes_to_the_bit_and_says_what_it_saw(
    phantom_set: ShardSet, pictures: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrain(_on(phantom_set, pictures, tmp_path / "whole"))
    share = len(pictures.rows("train")) // 4 * 4
    assert len(losses(whole)) == 2 * 3 * share // 12
    assert list(read_settings(whole)["provenance"]["data"].values()) == [
        phantom_set.manifest.content_hash(),
        pictures.manifest.content_hash(),
    ]
    assert load_model(ModelName.parse(f"run:{whole}")).in_chans == 3

    def stop(self: SimCLR, moment: Moment) -> None:
        if moment.step == 4:
            os.kill(os.getpid(), signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(SimCLR, "after_step", stop)
        with pytest.raises(StoppedError):
            pretrain(_on(phantom_set, pictures, tmp_path / "cut"))
    assert losses(pretrain(_on(phantom_set, pictures, tmp_path / "cut"))) == losses(whole)
    for change, words in (
        (_data(phantom_set), "data_weights"),
        (_data(pictures, phantom_set), "other content"),
        ("data_weights=[1,1]", r"data_weights: \[2.0, 1.0\] before, \[1.0, 1.0\] now"),
    ):
        with pytest.raises(UsageError, match=words):
            pretrain(_on(phantom_set, pictures, whole, change))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data=[]"], "name a shard set"),
        (["data_weights=[1]"], "one positive number for each"),
        (["data=[SET,SET]"], "Two of the sets hold the same slices"),
        (["data=[SET,/nowhere]"], "No such shard set"),
        (["data=[SET,OTHER]", "data_weights=[1,-1]"], "positive weights"),
        (["data=[SET,OTHER]", "monitors.knn.task=body_region"], "this run has several"),
    ],
)
def test_sets_that_make_no_sense_are_refused(
    phantom_set: ShardSet, tmp_path: Path, overrides: list[str], words: str
) -> None:
    other = Path(__file__).parents[2] / "shards" / "examples" / "phantom"
    named = [one.replace("SET", str(phantom_set.path)).replace("OTHER", str(other)) for one in overrides]
    with pytest.raises(UsageError, match=words):
        pretrain(tiny("simclr", phantom_set, tmp_path / "run", *named))
    assert not (tmp_path / "run").exists()


def test_one_set_in_a_list_is_one_set(phantom_set: ShardSet) -> None:
    assert _opened(_data(phantom_set)).source.path == phantom_set.path  # type: ignore[attr-defined]
