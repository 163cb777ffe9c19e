"""The feature cache: one extraction however many ask, going on after a kill, rows and conditions apart."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radnet.errors import UsageError
from radnet.models import ModelName, load_model
from radnet.shards import ShardSet
from radnet.transfer import features as feature_module
from radnet.transfer.conditions import condition_named, under
from radnet.transfer.features import feature_identity, features_of
from radnet.transfer.partial_matrix import PartialMatrix
from radnet.transfer.tasks import task_named

FORK = multiprocessing.get_context("fork")
TASK = task_named("body_region", size=32)
ROWS = np.arange(0, 60, 2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _model(architecture: str = "resnet10t") -> Any:
    return load_model(ModelName.parse(f"random:{architecture}"))


def _view(model: Any) -> Any:
    return TASK.view(model.mean, model.std)


def _extract_and_count(shards: ShardSet, cache: Path, out: Any) -> None:
    made = []
    real = feature_module._extract
    feature_module._extract = lambda *a: (made.append(1), real(*a))[1]  # type: ignore[assignment]
    model = _model()
    features = features_of(model, shards, _view(model), cache=cache, rows=ROWS)
    out.put((len(made), float(features.sum())))


def test_processes_that_want_the_same_features_extract_them_once(phantom_set: ShardSet, tmp_path: Path) -> None:
    phantom_set.prepare_for_workers()
    out = FORK.Queue()
    children = [FORK.Process(target=_extract_and_count, args=(phantom_set, tmp_path, out)) for _ in range(3)]
    for child in children:
        child.start()
    told = [out.get(timeout=300) for _ in children]
    for child in children:
        child.join()
    assert sum(made for made, _ in told) == 1
    assert len({total for _, total in told}) == 1
    assert {path.suffix for path in (tmp_path / "features").iterdir()} == {".npy", ".json"}


def test_a_killed_extraction_goes_on_and_gives_the_same(
    phantom_set: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model()
    whole = features_of(model, phantom_set, _view(model), cache=tmp_path / "whole", batch_size=16)
    monkeypatch.setattr("radnet.transfer.partial_matrix.NOTE_EVERY_S", 0.0)
    seen: list[int] = []
    real = feature_module._Slices.__getitem__

    def until_killed() -> None:
        def dying(self: Any, position: int) -> Any:
            if position == 100:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, position)

        feature_module._Slices.__getitem__ = dying  # type: ignore[method-assign]
        features_of(model, phantom_set, _view(model), cache=tmp_path / "cut", batch_size=16)

    child = FORK.Process(target=until_killed)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    monkeypatch.setattr(
        feature_module._Slices, "__getitem__", lambda self, position: (seen.append(position), real(self, position))[1]
    )
    again = features_of(model, phantom_set, _view(model), cache=tmp_path / "cut", batch_size=16)
    assert np.array_equal(again, whole)
    assert len(seen) == len(phantom_set) - 96  # six batches were safe on the disk
    assert not [path for path in (tmp_path / "cut" / "features").iterdir() if path.name.startswith(".")]


def test_rows_are_those_that_were_asked_for(phantom_set: ShardSet, tmp_path: Path) -> None:
    model = _model()
    whole = features_of(model, phantom_set, _view(model), cache=tmp_path)
    some = features_of(model, phantom_set, _view(model), cache=tmp_path, rows=ROWS)
    np.testing.assert_allclose(some, whole[ROWS], atol=1e-5)
    words = [json.loads(file.read_text()) for file in (tmp_path / "features").glob("*.json")]
    assert sorted(entry["items"] for entry in words) == [len(ROWS), len(phantom_set)]
    assert {entry["model"] for entry in words} == {"random:resnet10t"}


def test_what_makes_other_features_makes_another_key(phantom_set: ShardSet) -> None:
    model = _model()

    def key(name: str, seed: int = 0, rows: Any = None) -> str:
        shards, view = under(condition_named(name), "test", phantom_set, _view(model), seed=seed)
        return json.dumps(feature_identity(model, shards, view, rows=rows, seed=seed))

    seen = [key("none"), key("dose"), key("dose", 1), key("kernel_blur"), key("window"), key("none", rows=ROWS)]
    assert len(set(seen)) == len(seen)
    assert key("none", 1) == key("none")
    noisy = condition_named("noise2", images="test")
    _, view = under(noisy, "test", phantom_set, _view(model), seed=0)
    assert feature_identity(model, phantom_set, view, seed=0) != feature_identity(model, phantom_set, view, seed=1)


def test_a_damaged_file_is_made_again(phantom_set: ShardSet, tmp_path: Path) -> None:
    model = _model()
    first = np.array(features_of(model, phantom_set, _view(model), cache=tmp_path, rows=ROWS))
    file = next((tmp_path / "features").glob("*.npy"))
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(features_of(model, phantom_set, _view(model), cache=tmp_path, rows=ROWS), first)


def test_a_model_that_does_not_take_the_size_is_refused(phantom_set: ShardSet, tmp_path: Path) -> None:
    model = _model("vit_tiny_patch16_224")
    with pytest.raises(UsageError, match=r"task\.size"):
        features_of(model, phantom_set, _view(model), cache=tmp_path)


def _begin(path: Path, error: BaseException) -> None:
    with PartialMatrix(path, (8, 3), 2) as matrix:
        matrix.append(np.ones((2, 3), np.float32))
        raise error


def test_a_matrix_goes_on_after_the_keyboard_and_begins_anew_with_other_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radnet.transfer.partial_matrix.NOTE_EVERY_S", 0.0)
    for name, step, done in (("same.npy", 2, 2), ("other.npy", 4, 0)):
        with pytest.raises(KeyboardInterrupt):
            _begin(tmp_path / name, KeyboardInterrupt())
        with PartialMatrix(tmp_path / name, (8, 3), step) as matrix:
            assert matrix.done == done
            while matrix.done < 8:
                matrix.append(np.zeros((step, 3), np.float32))
        assert np.load(tmp_path / name).sum() == 3 * done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.npy", "same.npy"]


def test_a_matrix_that_an_error_ended_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _begin(tmp_path / "m.npy", ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []
