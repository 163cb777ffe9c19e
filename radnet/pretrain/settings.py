"""The settings of one pretraining run: `configs/pretrain.yaml`, checked."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from radnet.hashing import settings_hash

_PLACES = ("data", "out", "workers", "device", "log_every_steps", "checkpoint_every_steps", "keep_checkpoints")
"""Settings that may differ when a run is continued: they do not change what is computed. `data` may move; that it
holds the same is checked by its content hash."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerSettings(_Frozen):
    """See `configs/pretrain.yaml`."""

    name: Literal["adamw", "sgd"]
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    momentum: float = Field(ge=0, lt=1)
    clip_norm: float | None = Field(gt=0)


class ScheduleSettings(_Frozen):
    """See `configs/pretrain.yaml`."""

    warmup_epochs: float = Field(ge=0)
    final_lr: float = Field(ge=0)


class PretrainSettings(_Frozen):
    """See `configs/pretrain.yaml`."""

    method: dict[str, Any]
    data: str
    out: str
    backbone: str
    backbone_arguments: dict[str, Any]
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    workers: int = Field(ge=0)
    device: str
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    checkpoint_every_steps: int = Field(ge=1)
    keep_checkpoints: int = Field(ge=1)
    log_every_steps: int = Field(ge=1)
    evaluation_window: dict[str, Any]
    licence: str

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.schedule.warmup_epochs > self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs={self.schedule.warmup_epochs:g} is more than epochs={self.epochs}: "
                "the learning rate would never reach its peak"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that make the run what it is, without places and conveniences."""
        return self.model_dump(mode="json", exclude=set(_PLACES))

    def sha256(self) -> str:
        """Hash of `identity`."""
        return settings_hash(self.identity())
