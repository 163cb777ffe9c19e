"""`radnet evaluate`: from Hydra overrides to result records."""

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from radnet.configs import compose, validated
from radnet.errors import UsageError
from radnet.models import ModelName
from radnet.records import ResultRecord
from radnet.transfer.cells import EvaluationSettings
from radnet.transfer.conditions import condition_from_settings
from radnet.transfer.evaluate import evaluate
from radnet.transfer.features import default_cache
from radnet.transfer.protocols import build_protocol
from radnet.transfer.tasks import open_task_set, resolved_task, task_from_settings


class EvaluateConfig(BaseModel):
    """`configs/evaluate.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: dict[str, Any]
    protocol: dict[str, Any]
    condition: dict[str, Any]
    model: str | list[str]
    data: str
    results: str
    fraction: float = Field(gt=0, le=1)
    seed: int = Field(ge=0)
    resamples: int = Field(ge=100)
    batch_size: int = Field(ge=1)
    workers: int = Field(ge=0)
    device: str
    cache: str | None
    repeat: bool
    pretraining_sets: tuple[str, ...]


def evaluate_from_overrides(overrides: list[str]) -> list[ResultRecord]:
    """Evaluate as `radnet evaluate` does.

    Args:
        overrides: Hydra overrides of `configs/evaluate.yaml`.

    Returns:
        One record a model.

    Raises:
        UsageError: A setting is wrong.
    """
    config = validated(EvaluateConfig, compose("evaluate", overrides), "the settings of radnet evaluate")
    names = [config.model] if isinstance(config.model, str) else config.model
    protocol_settings = dict(config.protocol)
    settings = EvaluationSettings(
        cache=Path(config.cache) if config.cache else default_cache(),
        fraction=config.fraction,
        seed=config.seed,
        resamples=config.resamples,
        batch_size=config.batch_size,
        workers=config.workers,
        device=device_named(config.device),
        repeat=config.repeat,
        condition=condition_from_settings(config.condition),
        pretraining_sets=tuple(Path(place) for place in config.pretraining_sets),
    )
    task = task_from_settings(config.task)
    shards = open_task_set(task, config.data)
    return evaluate(
        [ModelName.parse(name) for name in names],
        resolved_task(task, shards),
        build_protocol(str(protocol_settings.pop("name")), protocol_settings),
        shards,
        Path(config.results),
        settings,
    )


def device_named(name: str) -> str:
    """The device that a setting means: "auto" is a GPU where there is one.

    Raises:
        UsageError: It is not there.
    """
    gpus = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    if name != "cpu" and not (gpus and (name == "cuda" or name.startswith("cuda:"))):
        raise UsageError("This device is not there", seen=name, fix="Use device=auto or device=cpu")
    return name
