"""The `monitors` part of the settings: what is watched and where it goes. None of it changes what a run computes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WandbSettings(_Frozen):
    """See `configs/monitors/default.yaml`."""

    enabled: bool
    project: str
    entity: str | None
    name: str | None
    mode: Literal["online", "offline"]


class KnnSettings(_Frozen):
    """See `configs/monitors/default.yaml`."""

    task: str | None
    data: str | None
    every_epochs: float = Field(gt=0)
    train_items: int = Field(ge=1)
    val_items: int = Field(ge=1)
    k: int = Field(ge=1)
    temperature: float = Field(gt=0)
    batch_size: int = Field(ge=1)


class MonitorSettings(_Frozen):
    """See `configs/monitors/default.yaml`."""

    tensorboard: bool
    wandb: WandbSettings
    features_every_steps: int = Field(ge=1)
    features_rows: int = Field(ge=16)
    diagnosis_steps: int = Field(ge=0)
    curves: bool
    knn: KnnSettings
