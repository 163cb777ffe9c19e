"""From a model's name to a frozen feature extractor: one path for every arm of a comparison."""

import pickle
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from torch import nn

from radnet.errors import RadnetError, UsageError
from radnet.models.backbone import count_parameters, create_backbone, require_architecture
from radnet.models.hub import fetch_config, hub_place
from radnet.models.names import ModelName
from radnet.models.provenance import RADNET_KEY, WEIGHTS, provenance_from_config, read_config
from radnet.models.transform import RUN_EXPORT
from radnet.models.weights import (
    WEIGHTS_VARIABLE,
    hub_or_cache,
    kept_by_hub,
    local_weights_directory,
    packaged_state,
    weights_sha256,
)
from radnet.zoo import source_of

__all__ = ["RUN_EXPORT", "Arm", "LoadedModel", "WeightsUnavailableError", "check_model", "load_model"]

Arm = Literal["in-domain", "imagenet", "random", "other"]
"""Side of a comparison that a model stands on."""

_UNREADABLE = (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, KeyError, ValueError)
"""What timm lets through when weights are cut, damaged or another network's."""


class WeightsUnavailableError(RadnetError):
    """Weights that were asked for cannot be had here. They are never replaced by random ones."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to give features.

    Attributes:
        name: The name it was asked for by.
        arm: "in-domain", "imagenet", "random" or "other".
        backbone: Maps (B, in_chans, H, W) to (B, D); in eval mode.
        architecture: timm's name.
        in_chans: Channels of its input.
        mean: Normalisation, one value a channel.
        std: Normalisation, one value a channel.
        weights_sha256: Hash of all tensors.
        parameters: Number of parameters.
        pretraining: What it was pretrained on, in words.
        method: Pretraining method, None when there was none or it is not known.
        synthetic: Whether it was pretrained on a phantom.
        data: Content hashes of the sets it was pretrained on, where they are known.
    """

    name: ModelName
    arm: Arm
    backbone: nn.Module
    architecture: str
    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_sha256: str
    parameters: int
    pretraining: str
    method: str | None
    synthetic: bool
    data: tuple[str, ...] = ()


def load_model(name: ModelName, *, seed: int = 0, in_chans: int = 1, size: int | None = None) -> LoadedModel:
    """Load a model for feature extraction.

    Args:
        name: See `ModelName`.
        seed: Seed of the weights of `random:` models.
        in_chans: Channels of `random:` models; the others bring their own.
        size: Side of the pictures it will see, for architectures with a fixed input size; None keeps their own.

    Raises:
        UsageError: No such run, directory or architecture, or the hub has or can have no such name.
        WeightsUnavailableError: The weights are on a hub that cannot be reached.
        RadnetError: The weights are cut or damaged, or another network's.
    """
    if name.scheme == "run":
        return _from_run(name, size)
    if name.scheme == "local-dir":
        return _from_export(name, Path(name.value), size)
    if name.scheme == "hf-hub":
        return _from_hub(name, size)
    if name.scheme == "timm":
        known = source_of(name.value)
        return _of_zoo(name, ModelName.parse(known), size) if known else _imagenet(name, size)
    backbone = create_backbone(name.value, in_chans=in_chans, seed=seed, **_size_arguments(name.value, size))
    grey = (0.5,) * in_chans
    return _loaded(name, "random", backbone, name.value, grey, grey, "none (random weights)")


def check_model(name: ModelName) -> None:
    """Refuse a name that cannot be loaded, before hours are spent on others.

    Raises:
        UsageError: No such directory or architecture, or the hub can have no such name.
    """
    if name.scheme in ("timm", "random"):
        require_architecture(name.value)
    elif name.scheme == "run":
        _require_export(name, Path(name.value) / RUN_EXPORT)
    elif name.scheme == "local-dir":
        _require_export(name, Path(name.value))
    elif name.scheme == "hf-hub":
        hub_place(name.value)


def _loaded(
    name: ModelName,
    arm: Arm,
    backbone: nn.Module,
    architecture: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    pretraining: str,
    method: str | None = None,
    synthetic: bool = False,
    data: tuple[str, ...] = (),
) -> LoadedModel:
    return LoadedModel(
        name=name,
        arm=arm,
        backbone=backbone.eval(),
        architecture=architecture,
        in_chans=len(mean),
        mean=mean,
        std=std,
        weights_sha256=weights_sha256(backbone),
        parameters=count_parameters(backbone),
        pretraining=pretraining,
        method=method,
        synthetic=synthetic,
        data=data,
    )


def _create(source: str, *, pretrained: bool = True, **arguments: Any) -> nn.Module:
    import timm  # see `radnet.models.backbone`

    model: nn.Module = timm.create_model(source, pretrained=pretrained, **arguments)
    return model


def _from_run(name: ModelName, size: int | None) -> LoadedModel:
    return _from_export(name, Path(name.value) / RUN_EXPORT, size)


def _require_export(name: ModelName, directory: Path) -> None:
    run = Path(name.value)
    if name.scheme == "run" and run.is_dir() and not directory.is_dir():
        raise UsageError(
            "This run has no export: it is not finished, or the directory is no run",
            file=run,
            fix=f"Let the run finish, or take its newest checkpoint: radnet export {run} OUT, then local-dir:OUT",
        )
    if not directory.is_dir():
        raise UsageError(
            f"No model at {name}", file=directory, fix="Check the path; radnet pretrain and radnet export make exports"
        )


def _from_export(name: ModelName, directory: Path, size: int | None) -> LoadedModel:
    _require_export(name, directory)
    config = read_config(directory)
    arguments = _img_size(config.get("pretrained_cfg", {}).get("fixed_input_size", False), size)
    backbone = _from_directory(directory, arguments, "this export", "Export the run again")
    return _with_config(name, backbone, config)


def _from_directory(directory: Path, arguments: dict[str, Any], what: str, fix: str) -> nn.Module:
    """A backbone from `config.json` and its weights.

    Args:
        directory: Where they lie.
        arguments: More arguments of `timm.create_model`.
        what: What messages call them.
        fix: What to do where timm cannot load them.

    Raises:
        RadnetError: The weights are cut, damaged or another network's.
    """
    try:
        return _create(f"local-dir:{directory}", num_classes=0, **arguments)
    except SafetensorError as error:
        raise RadnetError(
            f"This file of weights is cut or damaged: {error}",
            file=directory / WEIGHTS,
            fix="Copy it again, or export the run or import the weights again",
        ) from error
    except (*_UNREADABLE, OSError) as error:
        raise RadnetError(f"timm cannot load {what}: {error}", file=directory, fix=fix) from error


def _with_config(name: ModelName, backbone: nn.Module, config: dict[str, Any]) -> LoadedModel:
    """A backbone whose config.json may carry radnet's provenance; without it, the arm is "other"."""
    settings: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    architecture = str(config.get("architecture", name.value))
    if not config.get(RADNET_KEY, {}).get("provenance"):
        return _loaded(name, "other", backbone, architecture, mean, std, "not stated by the export")
    origin = provenance_from_config(config, name)
    arm: Arm = origin.source.get("arm", "other") if origin.source else "in-domain"
    data = (*origin.data.values(), *origin.initial_weights.get("data", ()))
    return _loaded(
        name, arm, backbone, architecture, mean, std, origin.trained_on, origin.method, origin.synthetic, data
    )


def _of_zoo(name: ModelName, source: ModelName, size: int | None) -> LoadedModel:
    """An export that timm knows as `radnet_…`."""
    if source.scheme == "hf-hub":
        return replace(_from_hub(source, size), name=name)
    return _from_export(name, Path(source.value), size)


def _from_hub(name: ModelName, size: int | None) -> LoadedModel:
    repository, _ = hub_place(name.value)
    try:
        with hub_or_cache():
            config = read_config(fetch_config(name.value))
            arguments = _img_size(config.get("pretrained_cfg", {}).get("fixed_input_size", False), size)
            backbone = _create(str(name), num_classes=0, **arguments)
    except (OSError, HfHubHTTPError) as error:
        raise _unavailable(name, error) from error
    except _UNREADABLE as error:
        raise _damaged_in_cache(name, kept_by_hub(repository), error) from error
    return _with_config(name, backbone, config)


def _imagenet(name: ModelName, size: int | None) -> LoadedModel:
    """A timm architecture with ImageNet weights: a local directory, an installed package, or timm's hub."""
    require_architecture(name.value)
    arguments = _size_arguments(name.value, size)
    directory = local_weights_directory(name.value)
    if directory is not None:
        config = read_config(directory)
        if config.get("architecture") != name.value.split(".")[0] or RADNET_KEY in config:
            raise UsageError(
                f"${WEIGHTS_VARIABLE} holds other weights under this name",
                seen=config.get("architecture"),
                file=directory,
                fix=f"Put timm's config.json and model.safetensors of {name.value} there",
            )
        again = f"Put timm's config.json and model.safetensors of {name.value} there again"
        model = _from_directory(directory, arguments, "these weights", again)
        return _with_imagenet_cfg(name, model, f"ImageNet weights from ${WEIGHTS_VARIABLE}")
    whole = _create(name.value, pretrained=False)
    state = packaged_state(name.value, whole)
    if state is not None:
        whole.load_state_dict(state, strict=True)
        whole.reset_classifier(0)  # type: ignore[operator]
        return _with_imagenet_cfg(name, whole, "ImageNet-1k, supervised (packaged weights)")
    import timm

    if not timm.list_models(name.value.split(".")[0] + "*", pretrained=True):
        raise UsageError("timm has no pretrained weights for this architecture", seen=str(name), fix="Take another one")
    try:
        with hub_or_cache():
            model = _create(name.value, num_classes=0, **arguments)
    except (OSError, HfHubHTTPError) as error:
        raise _unavailable(name, error) from error
    except _UNREADABLE as error:
        known = timm.models.get_pretrained_cfg(name.value)
        raise _damaged_in_cache(name, kept_by_hub(known.hf_hub_id if known else None), error) from error
    return _with_imagenet_cfg(name, model, f"timm {model.pretrained_cfg.get('tag', '')}".strip())  # type: ignore[operator, union-attr]


def _with_imagenet_cfg(name: ModelName, backbone: nn.Module, pretraining: str) -> LoadedModel:
    settings: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    tag = str(settings.get("tag") or "")
    arm: Arm = "imagenet" if not tag or re.search(r"in(1k|12k|21k|22k)", tag) else "other"
    return _loaded(name, arm, backbone, name.value, mean, std, pretraining)


def _unavailable(name: ModelName, error: Exception) -> WeightsUnavailableError:
    return WeightsUnavailableError(
        f"The weights of {name} could not be fetched ({type(error).__name__})",
        fix=f"Connect to the network, or put config.json and model.safetensors of {name.value} into "
        f"DIRECTORY/{name.value} and set {WEIGHTS_VARIABLE}=DIRECTORY",
    )


def _damaged_in_cache(name: ModelName, directory: Path, error: Exception) -> RadnetError:
    return RadnetError(
        f"timm cannot load the weights of {name}: {error}",
        file=directory,
        fix="Take another model; where a file is cut or damaged, remove this directory and it is fetched again",
    )


def _size_arguments(architecture: str, size: int | None) -> dict[str, Any]:
    """`img_size` for architectures that take one size only (plain ViTs); nothing for the others."""
    require_architecture(architecture)
    import timm

    settings = timm.models.get_pretrained_cfg(architecture)
    return _img_size(bool(settings is not None and settings.fixed_input_size), size)


def _img_size(fixed: bool, size: int | None) -> dict[str, Any]:
    return {"img_size": size} if fixed and size is not None else {}
