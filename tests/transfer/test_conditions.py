"""Conditions by name, and what they do to the images of one side."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from radnet.configs import names_in
from radnet.errors import RadnetError, UsageError
from radnet.shards import ShardSet
from radnet.transfer.changed_set import ChangedSet
from radnet.transfer.conditions import applies, condition_from_settings, condition_named, under
from radnet.transfer.tasks import task_named
from radnet.views import FixedWindow
from radnet.views.noisy import NoisyView

VIEW = task_named("body_region", size=48).view((0.5,), (0.5,))
COARSE = {"kernel_blur": {"settings": {"sigma_mm": 8.0}}, "slice_thickness": {"settings": {"thickness_mm": 120.0}}}
"""The slices of the phantom are far apart, its pixels large."""
STUDY = {"noise4": 1e-4, "noise3": 1e-3, "noise25e3": 2.5e-3, "noise5e3": 5e-3, "noise2": 1e-2, "noise25e2": 2.5e-2}


@pytest.mark.parametrize("name", names_in("condition"))
def test_every_condition_that_ships_changes_the_side_it_names_and_no_other(name: str, phantom_set: ShardSet) -> None:
    condition = condition_named(name, **COARSE.get(name, {}))
    for split in ("train", "val", "test"):
        shards, view = under(condition, split, phantom_set, VIEW, seed=1)
        row = max(phantom_set.rows(split).tolist(), key=lambda row: phantom_set.read_image(row).std())
        before = VIEW(phantom_set.read_image(row))[0]
        after = view(shards.read_image(row), np.random.default_rng([1, 0, row]))[0]
        assert np.array_equal(before, after) == (not applies(condition, split)), split
        assert after.shape == before.shape
        assert np.isfinite(after).all()


def test_the_levels_are_those_of_the_reference_study() -> None:
    for name, std in {**STUDY, "noise5e2": 5e-2}.items():
        condition = condition_named(name)
        assert condition is not None
        assert (condition.name, condition.on, condition.settings) == ("gaussian_noise", "train", {"std": std})


@pytest.mark.parametrize(
    ("name", "settings"), [("kernel_blur", {"sigma_mm": 0.05}), ("slice_thickness", {"thickness_mm": 0.5})]
)
def test_a_condition_that_the_set_cannot_show_is_refused(
    name: str, settings: dict[str, float], phantom_set: ShardSet
) -> None:
    with pytest.raises(RadnetError, match="changes no test image"):
        under(condition_named(name, settings=settings), "test", phantom_set, VIEW, seed=0)


def test_validation_is_never_changed() -> None:
    assert not applies(condition_named("noise2", images="train and test"), "val")


def test_noise_and_window_are_changes_of_the_view(phantom_set: ShardSet) -> None:
    shards, view = under(condition_named("noise2"), "train", phantom_set, VIEW, seed=0)
    assert shards is phantom_set
    assert isinstance(view, NoisyView)
    assert view.noise_std == 1e-2
    _, view = under(condition_named("window"), "test", phantom_set, VIEW, seed=0)
    assert view.window == FixedWindow(-600, 1500)


def test_a_thick_slice_is_made_of_its_neighbours_in_the_series(phantom_set: ShardSet) -> None:
    settings = {"name": "slice_thickness", "images": "test", "settings": {"thickness_mm": 1e4}}
    shards, _ = under(condition_from_settings(settings), "test", phantom_set, VIEW, seed=0)
    index = phantom_set.index
    row = int(phantom_set.rows("test")[2])
    series = np.flatnonzero(index["series_key"] == index["series_key"].iloc[row])
    expected = np.mean([phantom_set.read_image(int(one)).astype(float) for one in series], axis=0)
    assert len(series) > 2
    assert np.abs(shards.read_image(row) - expected).max() <= 0.5 + 1e-9
    assert shards.read_mask(row) is None or np.array_equal(shards.read_mask(row), phantom_set.read_mask(row))


def test_a_changed_set_goes_to_workers_and_draws_the_same_there(phantom_set: ShardSet) -> None:
    shards, _ = under(condition_named("dose"), "test", phantom_set, VIEW, seed=5)
    assert isinstance(shards, ChangedSet)
    shards.prepare_for_workers()
    there = pickle.loads(pickle.dumps(shards))  # noqa: S301
    assert np.array_equal(there.read_image(7), shards.read_image(7))
    other, _ = under(condition_named("dose"), "test", phantom_set, VIEW, seed=6)
    assert not np.array_equal(other.read_image(7), shards.read_image(7))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "dos"}, "Did you mean dose"),
        ({"name": "dose", "settings": {"dose": 2}}, "between 0 and 1"),
        ({"name": "dose", "settings": {"dosis": 0.5}}, "dose"),
        ({"name": "gaussian_noise", "settings": {"std": 0}}, "std"),
        ({"name": "dose", "images": "val"}, "train"),
    ],
)
def test_a_wrong_condition_is_explained(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        condition_from_settings(settings)


def test_what_only_ct_has_is_refused_elsewhere(phantom_set: ShardSet) -> None:
    manifest = phantom_set.manifest.model_copy(update={"modality": "PICTURE"})
    with pytest.raises(RadnetError, match="one of CT"):
        under(condition_named("window"), "test", ShardSet(Path("x"), manifest), VIEW, seed=0)
