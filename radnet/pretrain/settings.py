"""The settings of one pretraining run: `configs/pretrain.yaml`, checked."""

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from radnet.hashing import settings_hash
from radnet.pretrain.monitors.settings import MonitorSettings

_PLACES = (
    "data",
    "initial_weights",
    "out",
    "workers",
    "device",
    "log_every_steps",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "keep_every_steps",
    "max_skipped_in_a_row",
    "timeout_minutes",
    "allow_changes",
    "monitors",
)
"""Settings that may differ when a run is continued: they do not change what is computed. `data` and
`initial_weights` may move; that they hold the same is checked by their content hashes."""

REFERENCE_BATCH = 256
"""Slices a step for which `optimizer.lr` is meant when it is scaled."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerSettings(_Frozen):
    """See `configs/pretrain.yaml`."""

    name: Literal["adamw", "sgd", "lars"]
    lr: float = Field(gt=0)
    lr_scale: Literal["none", "linear", "sqrt"]
    weight_decay: float = Field(ge=0)
    betas: tuple[float, float]
    momentum: float = Field(ge=0, lt=1)
    trust_coefficient: float = Field(gt=0)
    clip_norm: float | None = Field(gt=0)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optimizer.betas={list(self.betas)}: both lie in [0, 1)")
        if self.name == "lars" and self.weight_decay == 0:
            raise ValueError(
                "LARS scales exactly the tensors that are decayed: optimizer.weight_decay=0 would turn it off "
                "(SimCLR takes 1e-6)"
            )
        return self

    def peak_lr(self, batch_size: int) -> float:
        """The learning rate after warm-up.

        Args:
            batch_size: Slices a step on all ranks together.
        """
        share = batch_size / REFERENCE_BATCH
        return self.lr * {"none": 1.0, "linear": share, "sqrt": math.sqrt(share)}[self.lr_scale]


class ScheduleSettings(_Frozen):
    """See `configs/pretrain.yaml`."""

    warmup_epochs: float = Field(ge=0)
    final_lr: float = Field(ge=0)
    final_weight_decay: float | None = Field(ge=0)


class PretrainSettings(_Frozen):
    """See `configs/pretrain.yaml`."""

    method: dict[str, Any]
    data: str | tuple[str, ...]
    data_weights: tuple[float, ...] | None = None
    initial_weights: str | None = None
    out: str
    backbone: str
    backbone_arguments: dict[str, Any]
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    accumulate: int = Field(ge=1)
    workers: int = Field(ge=0)
    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    view_dtype: Literal["float32", "float16"]
    channels_last: bool
    compile: bool
    sync_batch_norm: bool
    activation_checkpointing: bool
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    max_skipped_in_a_row: int = Field(ge=1)
    checkpoint_every_steps: int = Field(ge=1)
    keep_checkpoints: int = Field(ge=1)
    keep_every_steps: int | None = Field(ge=1)
    log_every_steps: int = Field(ge=1)
    timeout_minutes: float = Field(gt=0)
    allow_changes: bool
    evaluation_window: dict[str, Any]
    licence: str
    monitors: MonitorSettings

    @field_validator("data")
    @classmethod
    def _one_set_or_several(cls, data: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not data:
            raise ValueError("name a shard set, or several: data=[SET,SET]")
        return data[0] if not isinstance(data, str) and len(data) == 1 else data

    @model_validator(mode="after")
    def _fit(self) -> Self:
        sets = 1 if isinstance(self.data, str) else len(self.data)
        if self.data_weights is not None and (sets == 1 or len(self.data_weights) != sets):
            raise ValueError(
                f"data_weights={list(self.data_weights)} for {sets} set(s) in data: one positive number for each of "
                "several sets, or null"
            )
        if self.schedule.warmup_epochs > self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs={self.schedule.warmup_epochs:g} is more than epochs={self.epochs}: "
                "the learning rate would never reach its peak"
            )
        if self.schedule.final_weight_decay is not None and self.optimizer.weight_decay == 0:
            raise ValueError(
                "schedule.final_weight_decay goes on from optimizer.weight_decay, which is 0: give it a small value"
            )
        return self

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up, scaled as the optimizer's settings say."""
        return self.optimizer.peak_lr(self.batch_size)

    def identity(self) -> dict[str, Any]:
        """The settings that make the run what it is, without places and conveniences."""
        return self.model_dump(mode="json", exclude=set(_PLACES))

    def sha256(self) -> str:
        """Hash of `identity`."""
        return settings_hash(self.identity())
