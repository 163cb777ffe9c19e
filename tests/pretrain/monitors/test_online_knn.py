"""The online kNN: transfer's numbers, no trace left in the backbone, and sets that cannot be used."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from radnet.configs import compose, validated
from radnet.errors import UsageError
from radnet.models import create_backbone
from radnet.pretrain.monitors.online_knn import LabelledSlices, OnlineKnn, labelled_slices
from radnet.pretrain.monitors.settings import KnnSettings
from radnet.pretrain.processes import Processes
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards import ShardSet
from radnet.shards.build import BuildSettings, build_shards
from radnet.transfer.contract import FeatureSplit
from radnet.transfer.knn import KnnProtocol
from radnet.transfer.metrics import METRICS
from radnet.transfer.prepare import prepare_task
from radnet.transfer.tasks import task_items, task_named
from radnet.views import EvaluationView

ALONE = Processes(0, 1, torch.device("cpu"))


def _settings(**values: object) -> KnnSettings:
    config = compose("pretrain", ["data=none"])["monitors"]["knn"]
    return validated(KnnSettings, {**config, "task": "body_region", **values}, "monitors.knn")


def _slices(shards: ShardSet, **values: object) -> LabelledSlices:
    chosen = labelled_slices(_settings(**values), str(shards.path))
    assert chosen is not None
    return chosen


def _backbone() -> nn.Module:
    return create_backbone("resnet10t", in_chans=1, seed=0).train()


def test_the_value_is_that_of_the_knn_protocol_on_features_made_one_by_one(phantom_set: ShardSet) -> None:
    slices, view, backbone = _slices(phantom_set), EvaluationView(size=32), _backbone()
    got = OnlineKnn(slices, view, _settings(batch_size=7), ALONE)(backbone)
    backbone.eval()
    features = []
    for row in slices.rows:
        with torch.no_grad():
            features.append(backbone(torch.from_numpy(view(phantom_set.read_image(int(row)))[0])[None])[0].numpy())
    index = phantom_set.index
    assert set(index["split"][slices.rows[: slices.voters]]) == {"train"}
    assert set(index["split"][slices.rows[slices.voters :]]) == {"val"}
    patients = index["patient_key"].to_numpy(dtype=np.str_)[slices.rows]
    sides = [
        FeatureSplit(np.stack(features)[side], slices.target[side], patients[side])
        for side in (slice(None, slices.voters), slice(slices.voters, None))
    ]
    scores = KnnProtocol(k=20, temperature=0.07).fit_predict(
        sides[0], sides[1], sides[1].features, classes=6, metric="balanced_accuracy", seed=0
    )
    assert got == {"knn_balanced_accuracy": METRICS["balanced_accuracy"](sides[1].target, scores.scores)}
    assert slices.chance == 1 / len(set(slices.target[slices.voters :].tolist()))


def test_nothing_of_the_backbone_or_of_chance_is_changed(phantom_set: ShardSet) -> None:
    backbone = _backbone()
    frozen = next(module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    modes = [module.training for module in backbone.modules()]
    torch.manual_seed(5)
    random = torch.get_rng_state()
    OnlineKnn(_slices(phantom_set), EvaluationView(size=32), _settings(), ALONE)(backbone)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in backbone.modules()] == modes
    assert not frozen.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())
    backbone(torch.zeros(2, 1, 32, 32)).sum().backward()  # nothing it cached meanwhile is unfit for gradients


def test_slices_are_drawn_patient_by_patient(phantom_set: ShardSet) -> None:
    whole, few = _slices(phantom_set), _slices(phantom_set, train_items=7, val_items=4)
    assert (few.voters, few.asked) == (7, 4)
    assert few.patients == (min(7, whole.patients[0]), min(4, whole.patients[1]))
    assert set(few.rows) < set(whole.rows)
    assert np.array_equal(few.rows, _slices(phantom_set, train_items=7, val_items=4).rows)


def test_features_that_are_not_finite_give_no_value(phantom_set: ShardSet) -> None:
    backbone = _backbone()
    with torch.no_grad():
        next(iter(backbone.parameters())).fill_(torch.nan)
    assert OnlineKnn(_slices(phantom_set), EvaluationView(size=32), _settings(), ALONE)(backbone) == {}


def test_without_a_task_there_is_no_knn_and_a_set_without_a_task_is_refused(phantom_set: ShardSet) -> None:
    assert labelled_slices(_settings(task=None), str(phantom_set.path)) is None
    with pytest.raises(UsageError, match=r"monitors\.knn\.task"):
        labelled_slices(_settings(task=None, data=str(phantom_set.path)), str(phantom_set.path))
    with pytest.raises(UsageError, match=r"monitors\.knn\.data=SET"):
        labelled_slices(_settings(), [str(phantom_set.path), "another"])
    with pytest.raises(UsageError, match="body_regio"):
        labelled_slices(_settings(task="body_regio"), str(phantom_set.path))
    with pytest.raises(UsageError, match="No such shard set"):
        labelled_slices(_settings(data="nowhere"), str(phantom_set.path))


def test_a_task_of_masks_is_refused_and_classes_may_come_from_the_set(phantom_set: ShardSet) -> None:
    with pytest.raises(UsageError, match=r"task is of masks.*monitors\.knn\.task"):
        labelled_slices(_settings(task="liver_segmentation"), str(phantom_set.path))
    with pytest.raises(UsageError, match=r"online kNN cannot be used.*not prepared for the task 'images'"):
        labelled_slices(_settings(task="images"), str(phantom_set.path))


def test_classes_of_a_prepared_set_are_voted_on(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for side, name, number in itertools.product(("train", "val", "test"), ("bright", "dark"), range(3)):
        picture = tmp_path / "pictures" / side / name / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        grey = generator.integers(150, 256, (32, 32)) if name == "bright" else generator.integers(0, 100, (32, 32))
        Image.fromarray(grey.astype(np.uint8)).save(picture)
    prepare_task(task_named("images"), tmp_path / "pictures", tmp_path / "set", KeyedHash(b"a secret for tests only"))
    slices = _slices(ShardSet.open(tmp_path / "set"), task="images")
    assert slices.task.classes == ("bright", "dark")
    assert (slices.voters, slices.asked) == (6, 6)
    (score,) = OnlineKnn(slices, EvaluationView(size=32), _settings(task="images", k=3), ALONE)(_backbone()).values()
    assert 0 <= score <= 1


def test_a_set_without_labels_or_without_validation_patients_is_refused(tmp_path: Path) -> None:
    write_phantom_archive(tmp_path / "archive", patients=4, slices=2, size=32)
    settings = BuildSettings(split_fractions=(0.5, 0.0, 0.5))
    build_shards(tmp_path / "archive", tmp_path / "set", KeyedHash(b"a secret for tests only"), settings)
    with pytest.raises(UsageError, match=r"online kNN cannot be used: No slice of the val split.*monitors\.knn\.data"):
        labelled_slices(_settings(), str(tmp_path / "set"))
    shards = ShardSet.open(tmp_path / "set")
    shards.index = shards.index.drop(columns="body_region")  # as a set of pictures without labels has it
    with pytest.raises(UsageError, match="has no label 'body_region'"):
        task_items(task_named("body_region"), shards, needs=("train", "val"))
