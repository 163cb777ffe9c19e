"""The methods by name. A new method is one file here, one YAML in configs/method/, and one line below."""

from typing import Any

from radnet.errors import UsageError, did_you_mean
from radnet.pretrain.dino import DINO
from radnet.pretrain.mae import MAE
from radnet.pretrain.method import Method
from radnet.pretrain.simclr import SimCLR

METHODS: dict[str, type[Method]] = {"simclr": SimCLR, "dino": DINO, "mae": MAE}


def build_method(
    settings: dict[str, Any], backbone: str, *, seed: int, backbone_arguments: dict[str, Any] | None = None
) -> Method:
    """The method that `configs/method/*.yaml` describes, on a backbone with fresh weights.

    Raises:
        UsageError: Unknown method, backbone, or setting, or a backbone that the method does not take.
    """
    return _named(settings)(backbone, settings, seed=seed, backbone_arguments=backbone_arguments or {})


def resolve_method(settings: dict[str, Any], *, slices: int) -> dict[str, Any]:
    """The settings of a method with everything filled in that follows the size of the data unless it is set.

    Args:
        settings: `method` of the run's settings.
        slices: Training slices.

    Returns:
        What the run stores, and what `build_method` is called with.

    Raises:
        UsageError: Unknown method.
    """
    return _named(settings).resolve(settings, slices=slices)


def _named(settings: dict[str, Any]) -> type[Method]:
    name = str(settings.get("name"))
    if name not in METHODS:
        raise UsageError("Unknown pretraining method", seen=name, fix=did_you_mean(name, METHODS))
    return METHODS[name]
