"""Which weights of a run are exported: last, best, the teacher, the student, an average; and what a run lacks."""

import json
from pathlib import Path

import pytest
import timm
import torch

from radnet.errors import RadnetError, UsageError
from radnet.models.provenance import provenance_from_config, read_config
from radnet.pretrain.checkpoints import list_checkpoints, load_checkpoint
from radnet.pretrain.monitors.best import BEST, Best, BestKeeper, load_best
from radnet.pretrain.run import export_run, pretrain
from radnet.shards import ShardSet
from tests.pretrain.runs_for_tests import tiny


@pytest.fixture(scope="module")
def dino_run(phantom_set: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a teacher and an online kNN."""
    torch.set_num_threads(1)
    knn = ["monitors.knn.task=body_region", "monitors.knn.every_epochs=0.3", "keep_checkpoints=3", "epochs=1"]
    return pretrain(tiny("dino", phantom_set, tmp_path_factory.mktemp("dino") / "run", *knn))


def _state(export: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = timm.create_model(f"local-dir:{export}", pretrained=True).state_dict()
    return state


def _of(checkpoint: Path, part: str) -> dict[str, torch.Tensor]:
    method = load_checkpoint(checkpoint).method
    return {name.removeprefix(part): one for name, one in method.items() if name.startswith(part)}


def test_teacher_student_and_best_are_told_apart(dino_run: Path, tmp_path: Path, phantom_set: ShardSet) -> None:
    newest = list_checkpoints(dino_run / "checkpoints")[-1]
    best, best_state = load_best(dino_run)
    for choice, expected in (
        ("last", _of(newest, "backbone.")),
        ("ema", _of(newest, "backbone.")),
        ("student", _of(newest, "student.")),
        ("best", best_state),
    ):
        out = export_run(dino_run, tmp_path / choice, weights=choice)
        state = _state(out)
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in state)
    said = {name: provenance_from_config(read_config(tmp_path / name), name) for name in ("ema", "student", "best")}
    assert "moving average" in said["ema"].weights
    assert "student" in said["student"].weights
    assert said["best"].steps == best.step
    assert f"{best.score:.4f}" in said["best"].weights
    assert sum(said["best"].counts["region"].values()) == len(phantom_set.rows("train"))


def test_the_best_is_the_highest_score_in_the_log(dino_run: Path) -> None:
    lines = [json.loads(line) for line in (dino_run / "log.jsonl").read_text().splitlines()]
    metric = next(name for line in lines for name in line if name.startswith("knn_"))
    scores = {line["step"]: line[metric] for line in lines if metric in line}
    best, _ = load_best(dino_run)
    assert len(scores) >= 3
    assert (best.metric, best.score) == (metric, max(scores.values()))
    assert best.step == min(step for step, score in scores.items() if score == best.score)


def test_the_average_of_all_checkpoints(dino_run: Path, tmp_path: Path) -> None:
    paths = list_checkpoints(dino_run / "checkpoints")
    assert len(paths) == 3
    state = _state(export_run(dino_run, tmp_path / "averaged", weights="averaged"))
    name = "layer1.0.conv1.weight"
    expected = sum(_of(path, "backbone.")[name].double() for path in paths) / 3
    assert torch.equal(state[name], expected.float())


def test_what_a_run_does_not_have_is_refused(whole_run: Path, dino_run: Path, tmp_path: Path) -> None:
    for choice, words in (
        ("ema", "no moving average"),
        ("student", "no moving average"),
        ("best", "monitors.knn.task"),
    ):
        with pytest.raises(UsageError, match=words):
            export_run(whole_run, tmp_path / "none", weights=choice)
    with pytest.raises(UsageError, match="--step"):
        export_run(dino_run, tmp_path / "none", weights="best", step=2)
    with pytest.raises(UsageError, match="--weights averaged"):
        export_run(dino_run, tmp_path / "none", weights="last", average=2)
    assert not (tmp_path / "none").exists()


def test_only_better_weights_replace_the_best(tmp_path: Path) -> None:
    backbone = torch.nn.Linear(1, 1)

    def consider(keeper: BestKeeper, step: int, score: float) -> tuple[int, float]:
        with torch.no_grad():
            backbone.weight.fill_(step)
        keeper.consider(Best(step, "knn_accuracy", score), backbone)
        best, state = load_best(tmp_path)
        assert float(state["weight"]) == best.step
        return best.step, best.score

    keeper = BestKeeper(tmp_path, 0)
    assert [consider(keeper, *one) for one in ((1, 0.5), (2, 0.4), (3, 0.6), (4, 0.6))] == [
        (1, 0.5),
        (1, 0.5),
        (3, 0.6),
        (3, 0.6),
    ]
    assert consider(BestKeeper(tmp_path, 3), 4, 0.55) == (3, 0.6)  # a run that goes on keeps it
    assert consider(BestKeeper(tmp_path, 2), 4, 0.1) == (4, 0.1)  # one that goes on from before comes to it again
    (tmp_path / BEST).write_bytes(b"cut")
    with pytest.raises(RadnetError, match="cannot be read"):
        load_best(tmp_path)
