"""Settings of a report: `configs/analyze.yaml`."""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from radnet.configs import compose, validated
from radnet.errors import UsageError


class AnalyzeSettings(BaseModel):
    """See `configs/analyze.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1)
    out: Path
    size: int = Field(ge=8)
    window: dict[str, Any]
    items: int = Field(ge=2)
    layer_items: int = Field(ge=4)
    domain_items: int = Field(ge=2)
    k: int = Field(ge=1)
    within: tuple[str, ...]
    duplicates: bool
    map: Literal["umap", "none"]
    checkpoints: int = Field(ge=0)
    permutations: int = Field(ge=19)
    resamples: int = Field(ge=100)
    seed: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    workers: int = Field(ge=0)
    device: str
    cache: Path | None
    records: Path | None

    def torch_device(self) -> torch.device:
        """The device of the feature extraction.

        Raises:
            UsageError: It is not there.
        """
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
            raise UsageError("This device is not there", seen=self.device, fix="Use device=auto or device=cpu")
        return torch.device(name)


def settings_from_overrides(overrides: list[str]) -> AnalyzeSettings:
    """Settings as `radnet analyze` takes them.

    Raises:
        UsageError: A setting is missing, unknown or wrong.
    """
    values = compose("analyze", overrides)
    for name in ("models", "tasks"):  # one may be given without brackets
        if isinstance(values[name], str):
            values[name] = [values[name]]
    return validated(AnalyzeSettings, values, "the settings of radnet analyze")
