import numpy as np
import pytest

from radnet.configs import read_member
from radnet.errors import UsageError
from radnet.scans import REGIONS
from radnet.scans.phantom.labels import vertebra_group
from radnet.scans.phantom.structures import VERTEBRAE
from radnet.shards import ShardSet
from radnet.transfer.tasks import list_tasks, task_from_settings, task_items, task_named

TASKS = list_tasks()
PHANTOM = ("body_region", "contrast_phase", "liver_lesion", "vertebra_group")
"""The tasks of which the phantom has labels; the others need a set of their own (`tests/transfer/prepare`)."""


@pytest.mark.parametrize("task", [task_named(name) for name in PHANTOM], ids=PHANTOM)
def test_every_task_of_the_phantom_finds_its_labels(task: object, phantom_set: ShardSet) -> None:
    items = task_items(task, phantom_set)  # type: ignore[arg-type]
    index = phantom_set.index
    assert len(items.rows) + items.unlabelled == len(phantom_set)
    for row, target, patient in zip(items.rows, items.target, items.patients, strict=True):
        assert index[task.label].iloc[row] == task.classes[target]  # type: ignore[attr-defined]
        assert index["patient_key"].iloc[row] == patient


def test_the_body_regions_are_those_of_the_reference_study() -> None:
    assert task_named("body_region").classes == REGIONS


def test_the_vertebra_groups_are_those_of_the_phantom() -> None:
    assert set(task_named("vertebra_group").classes) == {vertebra_group(name) for name in (*VERTEBRAE, "sacrum")}


def test_no_patient_is_on_two_sides(phantom_set: ShardSet) -> None:
    items = task_items(task_named("body_region"), phantom_set)
    sides = [set(items.patients[items.side(split)]) for split in ("train", "val", "test")]
    assert all(sides)
    assert not (sides[0] & sides[1])
    assert not (sides[0] & sides[2])
    assert not (sides[1] & sides[2])


def test_smaller_fractions_are_parts_of_larger_ones_and_take_whole_patients(phantom_set: ShardSet) -> None:
    items = task_items(task_named("body_region"), phantom_set)
    kept = [set(items.fraction(fraction, seed=3)) for fraction in (0.2, 0.5, 1.0)]
    assert kept[0] < kept[1] < kept[2] == set(items.side("train"))
    part = items.fraction(0.5, seed=3)
    patients = set(items.patients[part])
    assert all(patient not in patients for patient in items.patients[np.setdiff1d(items.side("train"), part)])
    counts = items.counts(part)
    assert (counts.train_items, counts.train_patients) == (len(part), len(patients))


def test_a_set_without_the_label_is_refused_with_the_labels_it_has(phantom_set: ShardSet) -> None:
    task = task_named("body_region").model_copy(update={"label": "label_tumour"})
    with pytest.raises(UsageError, match="label_liver_lesion"):
        task_items(task, phantom_set)


def test_a_misspelt_task_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean body_region"):
        task_named("body_regio")


@pytest.mark.parametrize("metric", ["hd95_mm", "assd_mm_tumour", "false_alarm_ml"])
def test_a_metric_that_is_better_where_it_is_lower_ranks_nothing(metric: str) -> None:
    lits = read_member("task", "lits")
    with pytest.raises(UsageError, match=f"less is better.*seen: '{metric}'.*dice, dice_liver, dice_tumour"):
        task_from_settings({**lits, "metric": metric})
    assert metric in task_from_settings({**lits, "metrics": ["dice", metric]}).metrics
    assert task_from_settings({**lits, "metric": "dice_tumour"}).metric == "dice_tumour"
