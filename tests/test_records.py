import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from radnet.errors import UsageError
from radnet.records import (
    Counts,
    Environment,
    Interval,
    ModelCard,
    ProtocolCard,
    ResultRecord,
    TaskCard,
    cell_hash,
    current_environment,
    located_records,
    read_records,
    write_record,
)

ENVIRONMENT = Environment(
    radnet="0", python="3", torch="2", timm="1", platform="Linux x86_64", cpu_count=2, device="cpu"
)
TASK = TaskCard(name="region", manifest_hash="ab" * 32, metric="accuracy", classes=("head", "thorax"), synthetic=False)
PROTOCOL = ProtocolCard(name="knn", settings={"k": 20}, hash="cd" * 32)


def model(**changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "name": "timm:resnet18",
        "arm": "imagenet",
        "architecture": "resnet18",
        "weights_sha256": "0" * 64,
        "pretraining": "ImageNet-1k",
        "method": "supervised",
        "parameters": 11_000_000,
        "in_chans": 3,
        "synthetic": False,
    }
    return ModelCard(**(values | changes))


def record(**changes: Any) -> ResultRecord:
    values: dict[str, Any] = {
        "created": "2026-01-31T12:00:00+00:00",
        "status": "done",
        "model": model(),
        "task": TASK,
        "protocol": PROTOCOL,
        "fraction": 1.0,
        "seed": 0,
        "counts": Counts(train_items=10, val_items=5, test_items=5, train_patients=4, val_patients=2, test_patients=2),
        "metrics": {"accuracy": Interval(value=0.5, low=0.25, high=0.75)},
        "environment": ENVIRONMENT,
        "wall_time_s": 1.5,
    } | changes
    cell = cell_hash(values["model"], values["task"], values["protocol"], values["fraction"], values["seed"])
    return ResultRecord(**({"cell": cell} | values))


def unavailable(**changes: Any) -> ResultRecord:
    values = {"status": "unavailable", "message": "No network; use local-dir:PATH", "counts": None, "metrics": {}}
    return record(**(values | {"model": model(weights_sha256=None)} | changes))


def test_record_survives_the_file_exactly(tmp_path: Path) -> None:
    written = record(
        selected={"C": 0.1, "val_by_C": {"0.1": 0.5}},
        differences={"accuracy vs timm:resnet18": Interval(value=0.1, low=-0.1, high=0.3, undefined=0.01)},
        predictions="predictions/x.parquet",
    )
    path = write_record(written, tmp_path / "deep" / "down")
    assert path.name == f"{written.cell}.json"
    assert path.read_text().endswith("}\n")
    assert read_records(tmp_path) == [written]
    assert located_records(tmp_path) == [(path, written)]


def test_format_of_the_file_is_fixed(tmp_path: Path) -> None:
    content = json.loads(write_record(record(), tmp_path).read_text())
    assert list(content) == [
        "schema_version", "created", "status", "message", "model", "task", "protocol", "fraction", "seed", "counts",
        "metrics", "selected", "differences", "condition", "per_class", "curves", "overlap", "resampled", "undefined",
        "predictions", "environment", "wall_time_s", "cell",
    ]  # fmt: skip
    assert content["schema_version"] == 2
    assert content["cell"] == "3db4b0153ee9fc96", "a change of cell_hash makes every finished cell run again"


def test_records_are_read_at_any_depth_in_the_order_of_paths_without_hidden_files(tmp_path: Path) -> None:
    for seed, place in ((0, "b"), (1, "a/c"), (2, ".hidden")):
        write_record(record(seed=seed), tmp_path / place)
    assert [entry.seed for entry in read_records(tmp_path)] == [1, 0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": None}, "schema_version"),
        ({"seed": -1}, "seed"),
        ({"fraction": 0}, "fraction"),
        ({"created": "2026-01-31T12:00:00"}, "created"),
        ({"created": "yesterday"}, "created"),
        ({"predictions": "/somewhere/x.parquet"}, "predictions"),
        ({"predictions": "../x.parquet"}, "predictions"),
        ({"metrics": {"accuracy": {"value": 0.5, "low": 0.6, "high": 0.4}}}, "metrics.accuracy"),
        ({"metrics": {"accuracy": {"value": None, "low": 0.4, "high": 0.6}}}, "metrics.accuracy.value"),
        ({"metrics": {}}, "accuracy"),
        ({"counts": None}, "counts"),
        ({"message": "all well"}, "message"),
        ({"status": "unavailable"}, "unavailable"),
        ({"cell": "0" * 16}, "cell"),
        ({"seed": 7}, "cell"),
    ],
)
def test_broken_file_is_named_with_its_field(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = write_record(record(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError) as caught:
        read_records(tmp_path)
    assert field in str(caught.value)
    assert str(path) in str(caught.value)
    assert "evaluate its cell again" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cell": 1}', "\x00"])
def test_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=r"x\.json"):
        read_records(tmp_path)


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such directory"):
        read_records(tmp_path / "absent")


def test_unavailable_record_needs_a_message_and_has_no_numbers() -> None:
    assert unavailable().metrics == {}
    with pytest.raises(ValidationError, match="needs a message"):
        unavailable(message=" ")
    with pytest.raises(ValidationError, match="no metrics"):
        unavailable(metrics={"accuracy": Interval(value=0.5, low=0.5, high=0.5)})


def test_cell_depends_on_what_decides_the_result_and_on_nothing_else() -> None:
    def cell(card: ModelCard, task: TaskCard, protocol: ProtocolCard, fraction: float, seed: int) -> str:
        return cell_hash(card, task, protocol, fraction, seed)

    same = cell(model(), TASK, PROTOCOL, 1, 0)
    relabelled = model(name="local-dir:a/b", arm="other", pretraining="?", method=None, synthetic=True)
    assert cell(relabelled, TASK, PROTOCOL, 1.0, 0) == same
    others = [
        cell(model(weights_sha256="1" * 64), TASK, PROTOCOL, 1, 0),
        cell(model(weights_sha256=None), TASK, PROTOCOL, 1, 0),
        cell(model(weights_sha256=None, name="timm:resnet34"), TASK, PROTOCOL, 1, 0),
        cell(model(architecture="resnet34"), TASK, PROTOCOL, 1, 0),
        cell(model(in_chans=1), TASK, PROTOCOL, 1, 0),
        cell(model(), TASK.model_copy(update={"manifest_hash": "x"}), PROTOCOL, 1, 0),
        cell(model(), TASK.model_copy(update={"name": "x"}), PROTOCOL, 1, 0),
        cell(model(), TASK, PROTOCOL.model_copy(update={"hash": "x"}), 1, 0),
        cell(model(), TASK, PROTOCOL, 0.1, 0),
        cell(model(), TASK, PROTOCOL, 1, 1),
    ]
    assert len({same, *others}) == len(others) + 1


@pytest.mark.parametrize("name", ["run:/home/me/run", "local-dir:a/b/c", "run:C:\\me\\run"])
def test_model_name_keeps_no_path_of_the_machine(name: str) -> None:
    with pytest.raises(ValidationError, match="last two parts"):
        model(name=name)


def test_records_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        record().seed = 3  # type: ignore[misc]


def test_current_environment_has_no_host_name() -> None:
    import platform

    environment = current_environment("cpu")
    assert environment.cpu_count >= 1
    assert environment.torch[0].isdigit()
    if len(platform.node()) > 3:
        assert platform.node() not in environment.model_dump_json()
