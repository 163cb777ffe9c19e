"""What a suite is: models, and blocks of cells. `configs/suite/NAME.yaml`, within `configs/benchmark.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from radnet.configs import compose, group_settings, validated
from radnet.errors import UsageError, did_you_mean
from radnet.models.load import Arm

Entry = str | dict[str, Any]
"""A config by name, or `{use: NAME, key: value}` with some of its entries changed."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Block(_Frozen):
    """Cells that are the product of some lists.

    Attributes:
        experiment: Name of the experiment ("E1"); several blocks may share it.
        models: Arms, names in the suite's `models`.
        tasks: Entries of `configs/task`. `set` names the set's directory below `data`; by default it is the task's
            name.
        protocols: Entries of `configs/protocol`.
        fractions: Shares of the training patients.
        conditions: Entries of `configs/condition`.
        seeds: One repeat each.
    """

    experiment: str
    models: tuple[str, ...] = Field(min_length=1)
    tasks: tuple[Entry, ...] = Field(min_length=1)
    protocols: tuple[Entry, ...] = Field(min_length=1)
    fractions: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    conditions: tuple[Entry, ...] = Field(default=("none",), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)


class SetRecipe(_Frozen):
    """How a set that is missing can be made; it says either `task` or `archive`, or is a phantom.

    Attributes:
        task: `radnet task prepare TASK SOURCE`.
        archive: `radnet shards build SOURCE`: true, with `source` as the archive.
        phantom: Arguments of a synthetic archive.
        source: Path below `sources`.
        options: Settings of the build or the preparation.
    """

    task: str | None = None
    archive: bool = False
    phantom: dict[str, Any] | None = None
    source: str = ""
    options: dict[str, Any] = Field(default_factory=dict)


class PretrainingRecipe(_Frozen):
    """A run that is made when a model of the suite needs it: `radnet pretrain` with these overrides.

    Attributes:
        set: Name of the set it trains on.
        overrides: More of its overrides.
    """

    set: str
    overrides: tuple[str, ...] = ()


class Suite(_Frozen):
    """`configs/suite/NAME.yaml`.

    Attributes:
        name: Its name.
        description: One line for people.
        models: Arm -> name of the model (`timm:…`, `run:…`); null where the user has to give it.
        sides: Arm -> the side of the comparison that it stands on, where its weights do not say so themselves: a run
            on ImageNet's pictures is "imagenet".
        reference: Arm to which every other row has a paired difference.
        blocks: The cells.
        sets: Set -> how it can be made where it is missing.
        pretraining: Arm -> the run behind it, made where it is missing.
        sources: Directory of the sources that `sets` name.
        without_sources: Suite that runs instead when there are none.
        nominal_items: Set -> split -> images, for the cost of sets that are not there.
        nominal_architecture: timm's name, for the cost of arms without a model.
    """

    name: str
    description: str
    models: dict[str, str | None]
    sides: dict[str, Arm] = Field(default_factory=dict)
    reference: str | None = None
    blocks: tuple[Block, ...] = Field(min_length=1)
    sets: dict[str, SetRecipe] = Field(default_factory=dict)
    pretraining: dict[str, PretrainingRecipe] = Field(default_factory=dict)
    sources: str | None = None
    without_sources: str | None = None
    nominal_items: dict[str, dict[str, int]] = Field(default_factory=dict)
    nominal_architecture: str | None = None


class BenchmarkConfig(_Frozen):
    """`configs/benchmark.yaml`."""

    suite: dict[str, Any]
    data: str
    work: str
    results: str
    prepare: bool
    jobs: int = Field(ge=1)
    resamples: int = Field(ge=100)
    batch_size: int = Field(ge=1)
    workers: int = Field(ge=0)
    device: str
    cache: str | None
    repeat: bool
    pretraining_sets: tuple[str, ...]
    gflops_per_s: float | None
    only: dict[str, str | list[str] | None]


def read_benchmark(overrides: list[str]) -> tuple[BenchmarkConfig, Suite]:
    """Settings and suite of `radnet benchmark`; another suite takes the place of one whose sources are missing.

    Raises:
        UsageError: A setting is wrong.
    """
    config, suite = _read(overrides)
    if suite.without_sources and not (suite.sources and Path(suite.sources).is_dir()):
        others = [word for word in overrides if not word.startswith("suite=")]
        from radnet.console import say

        say(f"{suite.name}: there is no {suite.sources or 'directory of sources'}, so {suite.without_sources} runs")
        config, suite = _read([*others, f"suite={suite.without_sources}"])
    return config, suite


def _read(overrides: list[str]) -> tuple[BenchmarkConfig, Suite]:
    return benchmark_from_settings(compose("benchmark", [word for word in overrides if not word.startswith("hydra")]))


def benchmark_from_settings(settings: Mapping[str, Any]) -> tuple[BenchmarkConfig, Suite]:
    """Settings and suite from a composed config.

    Raises:
        UsageError: A setting is wrong.
    """
    config = validated(BenchmarkConfig, settings, "the settings of radnet benchmark")
    suite = validated(Suite, config.suite, "the suite")
    named = {"reference": [suite.reference] if suite.reference else [], "sides": list(suite.sides)}
    named |= {f"a block of {block.experiment}": list(block.models) for block in suite.blocks}
    for where, arms in named.items():
        for arm in arms:
            if arm not in suite.models:
                fix = did_you_mean(arm, suite.models)
                raise UsageError(f"The suite names an arm that it does not have ({where})", seen=arm, fix=fix)
    return config, suite


def resolved(group: str, entry: Entry) -> dict[str, Any]:
    """The settings of an entry: the YAML of its name, with what the entry changes.

    Raises:
        UsageError: There is no such config, or an entry without `use`.
    """
    if isinstance(entry, str):
        return group_settings(group, entry)
    changed = dict(entry)
    name = changed.pop("use", None)
    if not isinstance(name, str):
        raise UsageError(f"An entry of {group} needs the name of a config", seen=entry, fix="{use: NAME, key: value}")
    return _merged(group_settings(group, name), changed)


def _merged(settings: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """`changed` on top, mappings key by key."""
    merged = dict(settings)
    for key, value in changed.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping) and key != "window"
        merged[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return merged
