"""`radnet import`: a file of another project becomes an export like radnet's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import nn

from radnet import __version__
from radnet.console import warn
from radnet.errors import UsageError
from radnet.files import require_new_directory
from radnet.hashing import sha256_of_file
from radnet.models.backbone import create_backbone, require_architecture
from radnet.models.export import export_backbone
from radnet.models.foreign.layouts import Layout
from radnet.models.foreign.matching import Encoder, find_encoder, require_real, require_whole
from radnet.models.foreign.reading import read_tensors
from radnet.models.foreign.renaming import merge_positions, timm_names
from radnet.models.onnx_form import require_onnx
from radnet.models.provenance import WEIGHTS, Provenance
from radnet.views.evaluation import EvaluationView
from radnet.views.window import FixedWindow, WindowPolicy, window_policy

_SEED = 0


@dataclass(frozen=True)
class ImportRequest:
    """What is imported, and what its user knows of it.

    Attributes:
        weights: The file.
        architecture: timm's name.
        layout: See `LAYOUTS`; None recognises it.
        member: Which set of tensors of a checkpoint that has several.
        ignore: Patterns of names in the file that are left out.
        missing: Patterns of timm's names that may be missing; those tensors stay at random values.
        classifier: Keep a classifier that belongs to the encoder.
        arguments: More arguments of `timm.create_model`.
        size: Side of the pictures in evaluation; None: what the architecture takes.
        mean: Normalisation, one value a channel; None: the layout's.
        std: Normalisation, one value a channel; None: the layout's.
        window: Window policy for HU; None: the layout's, or the soft-tissue window.
        method: How the weights were trained; None: what the layout tells.
        trained_on: On what, in a few words.
        licence: Of the weights.
        url: Where they come from.
        arm: Side of a comparison that they stand on.
    """

    weights: Path
    architecture: str
    layout: str | None = None
    member: str | None = None
    ignore: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    classifier: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    window: WindowPolicy | None = None
    method: str | None = None
    trained_on: str = ""
    licence: str = ""
    url: str | None = None
    arm: Literal["in-domain", "imagenet", "other"] = "other"


@dataclass(frozen=True)
class Imported:
    """What became of every tensor.

    Attributes:
        layout: The layout that was taken.
        member: Which set of tensors of the file.
        names: timm's name -> name in the file.
        shapes: timm's name -> shape.
        left_out: Name in the file -> why.
        untrained: timm's names that the file lacks.
        classes: Outputs of the classifier, 0 for none.
        view: Preprocessing for evaluation.
    """

    layout: Layout
    member: str
    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    left_out: dict[str, str]
    untrained: list[str]
    classes: int
    view: EvaluationView


def import_weights(request: ImportRequest, out: Path, *, overwrite: bool = False, onnx: bool = False) -> Imported:
    """Import a file of weights as an export that timm loads.

    Args:
        request: What is imported.
        out: Directory of the export.
        overwrite: Replace an export there.
        onnx: Write `model.onnx`, too.

    Raises:
        UsageError: The call is wrong: no such file, architecture, layout or member.
        RadnetError: The file is damaged, would execute code, is not wholly the architecture's, or holds other tensors
            than real floating-point ones where weights should be.
    """
    require_architecture(request.architecture)
    require_new_directory(out, overwrite=overwrite)
    if onnx:
        require_onnx()
    stored = read_tensors(request.weights, request.member)
    encoder = find_encoder(stored.tensors, request.layout, request.ignore, request.weights)
    require_real(encoder, request.weights)
    draft = create_backbone(request.architecture, in_chans=3, seed=_SEED, **request.arguments)
    names = timm_names(encoder.tensors, draft)
    _require_one_each(names, request.weights)
    tensors = merge_positions({names[name]: tensor for name, tensor in encoder.tensors.items()})
    foreign = {names[name]: whole for name, whole in encoder.whole_names.items()}
    classes = _classes(tensors, foreign, encoder, draft, keep=request.classifier)
    settings: dict[str, Any] = draft.pretrained_cfg  # type: ignore[assignment]
    channels = _channels(tensors, settings)
    size = request.size or _size_of_positions(tensors, draft) or int(settings["input_size"][-1])
    fixed = {"img_size": size} if settings.get("fixed_input_size") and "img_size" not in request.arguments else {}
    arguments = {**request.arguments, **fixed}
    model = create_backbone(request.architecture, in_chans=channels, seed=_SEED, classes=classes, **arguments)
    untrained = require_whole(
        model.state_dict(),
        tensors,
        encoder,
        foreign,
        missing_allowed=request.missing,
        architecture=request.architecture,
        file=request.weights,
    )
    model.load_state_dict({**model.state_dict(), **tensors}, strict=True)
    view = _view(request, encoder.layout, settings, channels, size)
    if encoder.layout.name == "lukemelas" and not request.architecture.startswith("tf_"):
        warn(
            f"weights of EfficientNet-PyTorch were trained with TensorFlow's padding, which timm has in "
            f"tf_{request.architecture} and not in {request.architecture}"
        )
    export_backbone(
        model,
        out,
        architecture=request.architecture,
        view=view,
        provenance=_provenance(request, encoder, stored.member, untrained),
        overwrite=overwrite,
        arguments=arguments,
        pictures={key: settings[key] for key in ("crop_pct", "interpolation", "crop_mode") if key in settings},
        onnx=onnx,
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Imported(encoder.layout, stored.member, foreign, shapes, encoder.left_out, untrained, classes, view)


def _require_one_each(names: Mapping[str, str], file: Path) -> None:
    """Refuse a file in which two tensors would become one."""
    seen: dict[str, str] = {}
    for name, timm_name in names.items():
        if other := seen.get(timm_name):
            raise UsageError(
                f"Two tensors of the file would both become {timm_name}",
                seen=[other, name],
                file=file,
                fix="Leave one out: --ignore NAME",
            )
        seen[timm_name] = name


def _classes(
    tensors: dict[str, torch.Tensor], foreign: dict[str, str], encoder: Encoder, draft: nn.Module, *, keep: bool
) -> int:
    """Outputs of a classifier that belongs to the encoder; one that is not kept is taken out of `tensors`."""
    named = draft.pretrained_cfg.get("classifier")  # type: ignore[union-attr, operator]
    if not isinstance(named, str) or not encoder.layout.has_classifier:
        return 0
    weight = tensors.get(f"{named}.weight")
    if weight is None or weight.ndim not in (2, 4):
        return 0
    if keep:
        return int(weight.shape[0])
    for part in ("weight", "bias"):
        if tensors.pop(f"{named}.{part}", None) is not None:
            encoder.left_out[foreign.pop(f"{named}.{part}")] = "classifier (--no-classifier)"
    return 0


def _channels(tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> int:
    """Channels of the first convolution in the file."""
    first = settings.get("first_conv") or ""
    name = first if isinstance(first, str) else first[0]
    weight = tensors.get(f"{name}.weight")
    return int(weight.shape[1]) if weight is not None and weight.ndim == 4 else 3


def _size_of_positions(tensors: Mapping[str, torch.Tensor], draft: nn.Module) -> int | None:
    """The size of pictures that a ViT's positions are for; None for other networks."""
    positions, patches = tensors.get("pos_embed"), tensors.get("patch_embed.proj.weight")
    if positions is None or patches is None or positions.ndim != 3 or patches.ndim != 4:
        return None
    before = 0 if getattr(draft, "no_embed_class", False) else int(getattr(draft, "num_prefix_tokens", 1))
    side = round((positions.shape[1] - before) ** 0.5)
    return side * int(patches.shape[-1]) if side > 0 and side**2 == positions.shape[1] - before else None


def _view(
    request: ImportRequest, layout: Layout, settings: Mapping[str, Any], channels: int, size: int
) -> EvaluationView:
    mean, std = layout.normalisation or (tuple(settings["mean"]), tuple(settings["std"]))
    mean, std = (_for_channels(values, channels) for values in (request.mean or mean, request.std or std))
    own: WindowPolicy = window_policy(layout.window) if layout.window else FixedWindow()
    return EvaluationView(size=size, window=request.window or own, mean=mean, std=std)


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value a channel; colours have become grey, or grey ones colours, by their mean."""
    if len(values) == channels:
        return tuple(values)
    if len(values) not in (1, 3):
        raise UsageError(f"The weights take {channels} channels", seen=list(values), fix="Give as many values")
    return (sum(values) / len(values),) * channels


def _provenance(request: ImportRequest, encoder: Encoder, member: str, untrained: list[str]) -> Provenance:
    window = dict(encoder.layout.window or {})
    parts = sorted({re.sub(r" \(.*\)$", "", why) for why in encoder.left_out.values()})
    file = request.weights / WEIGHTS if request.weights.is_dir() else request.weights
    return Provenance(
        method=request.method or encoder.layout.method,
        code_version=__version__,
        licence=request.licence,
        window=window,
        weights=f"imported with timm {timm.__version__}"
        + (f"; left out: {', '.join(parts)}" if parts else "")
        + (f"; untrained: {', '.join(untrained)}" if untrained else ""),
        source={
            "file": file.name,
            "sha256": sha256_of_file(file),
            "layout": encoder.layout.name,
            "member": member,
            "trained_on": request.trained_on,
            "url": request.url,
            "arm": request.arm,
        },
    )
