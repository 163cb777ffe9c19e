import pytest

from radnet.errors import UsageError
from radnet.transfer.suites.plan import plan_cells
from tests.transfer.suites.suites_for_tests import suite_of

BLOCK = {"experiment": "T", "models": ["first"], "tasks": ["body_region"], "protocols": ["knn"]}


def test_a_plan_is_the_product_of_the_lists_of_each_block() -> None:
    plan = plan_cells(suite_of())
    assert len(plan) == len({cell.key for cell in plan}) == 2 * 2 * 2
    assert {cell.arm for cell in plan} == {"first", "second"}
    assert {cell.fraction for cell in plan} == {1.0, 0.5}
    assert {cell.task.size for cell in plan} == {32}
    assert [cell.is_reference for cell in plan] == [cell.arm == "first" for cell in plan]


def test_a_cell_of_two_experiments_is_planned_once() -> None:
    plan = plan_cells(suite_of(blocks=[BLOCK, {**BLOCK, "experiment": "U", "models": ["first", "second"]}]))
    assert {cell.arm: cell.experiments for cell in plan} == {"first": ("T", "U"), "second": ("U",)}


def test_an_experiment_that_comes_again_loses_none_of_the_others() -> None:
    blocks = [{**BLOCK, "experiment": name} for name in ("T", "U", "T")]
    (cell,) = plan_cells(suite_of(blocks=blocks))
    assert cell.experiments == ("T", "U")


@pytest.mark.parametrize("reference", ["imagenet", "baseline"])
@pytest.mark.parametrize("experiment", ["T", "U"])
def test_two_arms_of_one_model_are_one_cell_that_stays_the_reference(reference: str, experiment: str) -> None:
    suite = suite_of(
        models={"imagenet": "timm:resnet18", "baseline": "timm:resnet18", "first": "random:resnet10t"},
        reference=reference,
        blocks=[
            {**BLOCK, "models": ["imagenet", "first"]},
            {**BLOCK, "experiment": experiment, "models": ["baseline"]},
        ],
    )
    cells = {cell.model: cell for cell in plan_cells(suite)}
    assert len(cells) == len(plan_cells(suite)) == 2
    both = cells["timm:resnet18"]
    assert both.is_reference
    assert both.experiments == tuple(dict.fromkeys(["T", experiment]))
    assert both.arm == "imagenet"
    assert not cells["random:resnet10t"].is_reference


def test_cells_that_share_features_follow_one_another() -> None:
    blocks = [{**BLOCK, "models": ["first", "second"]}, {**BLOCK, "models": ["first"], "protocols": ["linear"]}]
    assert [cell.arm for cell in plan_cells(suite_of(blocks=blocks))] == ["first", "first", "second"]


def test_conditions_and_changed_settings_make_other_cells() -> None:
    conditions = ["none", "noise2", {"use": "noise2", "images": "test"}]
    protocols = ["knn", {"use": "knn", "temperature": 0.1}]
    plan = plan_cells(suite_of(blocks=[{**BLOCK, "conditions": conditions, "protocols": protocols, "seeds": [0, 1]}]))
    assert len({cell.key for cell in plan}) == 3 * 2 * 2
    assert {cell.condition_name for cell in plan} == {"none", "noise2", "noise2 on test"}
    assert {cell.condition.on for cell in plan if cell.condition} == {"train", "test"}


def test_a_part_of_the_cells() -> None:
    plan = plan_cells(suite_of(), {"arm": "second", "protocol": ["knn", "linear"], "task": None})
    assert {cell.arm for cell in plan} == {"second"}
    assert len(plan) == 4
    with pytest.raises(UsageError, match="No cell is left"):
        plan_cells(suite_of(), {"arm": "third"})


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"tasks": ["body_regio"]}, "Did you mean body_region"),
        ({"protocols": [{"use": "knn", "kk": 3}]}, "no setting"),
        ({"conditions": ["noise7"]}, "condition"),
        ({"tasks": [{"size": 3}]}, "use: NAME"),
        ({"fractions": [0.0]}, "fraction"),
    ],
)
def test_a_wrong_entry_is_explained(block: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_cells(suite_of(blocks=[{**BLOCK, **block}]))
