"""The evaluation preprocessing that goes with a model, from Hounsfield units, however the model was loaded.

It travels in `pretrained_cfg` of config.json, the part that timm keeps with a model, so a model that timm loaded from
a directory, the hub or the zoo still knows it; also after it was finetuned and saved by timm.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from radnet.errors import RadnetError, UsageError
from radnet.models.hub import fetch_config
from radnet.models.names import SCHEMES, ModelName
from radnet.models.provenance import RADNET_KEY, read_config
from radnet.models.weights import hub_or_cache
from radnet.views.evaluation import EvaluationView
from radnet.zoo import source_of

RUN_EXPORT = "export"
"""Where a run keeps its export."""

_NOTE = "radnet.evaluation_view="


def note_of_view(view: EvaluationView) -> str:
    """The view as one of timm's `notes` in a pretrained_cfg."""
    return _NOTE + json.dumps(view.describe())


def view_from_config(config: dict[str, Any]) -> EvaluationView | None:
    """The evaluation preprocessing of an export's config, None when radnet did not write it."""
    own = config.get(RADNET_KEY)
    return EvaluationView.from_settings(own["evaluation_view"]) if own else None


def transform_for(model: nn.Module | ModelName | Path | str) -> EvaluationView:
    """The exact preprocessing, from HU, that goes with an export: what `radnet evaluate` does to a slice.

    Args:
        model: A module that timm made of an export (`local-dir:`, `hf-hub:`, `radnet_…`), with any `in_chans`; or the
            export itself: its directory, or a name such as "local-dir:OUT", "run:RUN", "hf-hub:ORG/NAME",
            "hf-hub:ORG/NAME@REVISION", "radnet_NAME".

    Returns:
        A function of int16 HU (Y, X) that gives a list of one float32 array (C, size, size), with as many channels
        as the module takes.

    Example:
        model = timm.create_model("local-dir:exports/mine", pretrained=True, num_classes=0).eval()
        features = model(torch.from_numpy(transform_for(model)(hu)[0])[None])

    Raises:
        RadnetError: radnet did not write this export, or the module takes other channels than it has windows.
        UsageError: The name is none of an export.
    """
    if isinstance(model, nn.Module):
        return _of_module(model)
    directory = _directory(model)
    view = view_from_config(read_config(directory))
    if view is None:
        raise RadnetError("radnet did not write this export, its preprocessing is not known", file=directory)
    return view


def in_channels(view: EvaluationView, channels: int) -> EvaluationView:
    """The same view for a model whose first layer timm adapted to other channels.

    timm sums the weights of three channels into one, and gives each of three a third of one. The picture is the same
    when a grey one is repeated, or when equal channels become one.

    Raises:
        RadnetError: The channels hold different windows or are normalised differently, so one cannot stand for all.
    """
    if channels == view.channels:
        return view
    if view.window.channels == 1 and len(set(zip(view.mean, view.std, strict=True))) == 1:
        return replace(view, mean=view.mean[:1] * channels, std=view.std[:1] * channels)
    raise RadnetError(
        f"A picture of {view.channels} different channels cannot be given to a model that takes {channels}",
        seen=view.describe(),
        fix=f"Load the model with in_chans={view.channels}",
    )


def _of_module(model: nn.Module) -> EvaluationView:
    settings: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    view: EvaluationView | None = None
    for note in settings.get("notes") or ():
        if str(note).startswith(_NOTE):
            view = EvaluationView.from_settings(json.loads(str(note).removeprefix(_NOTE)))
    if view is None:
        place = settings.get("file") if settings.get("source") == "local-dir" else None
        view = view_from_config(read_config(Path(place))) if place else None  # exports of before had no note
    if view is None:
        raise RadnetError(
            "radnet did not write the export of this model, its preprocessing is not known",
            seen=settings.get("architecture", type(model).__name__),
            fix="Load an export: timm.create_model('local-dir:OUT', pretrained=True)",
        )
    view = in_channels(view, _channels(model, settings, view.channels))
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if settings.get("fixed_input_size") and isinstance(size, tuple) and len(set(size)) == 1:
        view = replace(view, size=int(size[0]))
    return view


def _channels(model: nn.Module, settings: dict[str, Any], default: int) -> int:
    """Channels that a timm model takes."""
    known = getattr(model, "in_chans", None)
    if isinstance(known, int):
        return known
    first = settings.get("first_conv")
    name = first if isinstance(first, str) else first[0] if first else ""
    try:
        layer = model.get_submodule(name) if name else None
    except AttributeError:
        layer = None
    return layer.in_channels if isinstance(layer, nn.Conv2d) else default


def _directory(model: ModelName | Path | str) -> Path:
    """The directory with config.json of an export that is named in any way."""
    if isinstance(model, str):
        model = source_of(model) or model
        model = ModelName.parse(model) if model.split(":")[0] in SCHEMES and ":" in model else Path(model)
    if isinstance(model, Path):
        return model
    if model.scheme == "run":
        return Path(model.value) / RUN_EXPORT
    if model.scheme == "local-dir":
        return Path(model.value)
    if model.scheme == "hf-hub":
        try:
            with hub_or_cache():
                return fetch_config(model.value)
        except (OSError, HfHubHTTPError) as error:
            raise RadnetError(
                f"The configuration of {model} could not be fetched ({type(error).__name__})",
                fix="Connect to the network, or give the loaded model itself",
            ) from error
    raise UsageError("Only exports have their own preprocessing", seen=str(model), fix="Give an export")
