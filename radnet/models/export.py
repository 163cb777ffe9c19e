"""The form in which a backbone leaves radnet: `config.json` + `model.safetensors`, loadable by timm alone.

timm.create_model("local-dir:EXPORT", pretrained=True, num_classes=0)
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from radnet.errors import RadnetError
from radnet.files import new_directory
from radnet.models.card import CardFacts, model_card
from radnet.models.onnx_form import write_onnx
from radnet.models.provenance import RADNET_KEY, Provenance, require_export_or_nothing
from radnet.models.transform import note_of_view
from radnet.models.weights import weights_sha256
from radnet.views.evaluation import EvaluationView

FEATURE_TOLERANCE = 1e-5
CARD = "README.md"


def export_backbone(
    backbone: nn.Module,
    out: Path,
    *,
    architecture: str,
    view: EvaluationView,
    provenance: Provenance,
    overwrite: bool = False,
    arguments: Mapping[str, Any] | None = None,
    pictures: Mapping[str, Any] | None = None,
    onnx: bool = False,
) -> Path:
    """Write an export and prove it: it is loaded again by timm and must give the same features.

    Args:
        backbone: timm model, from `create_backbone`; without classifier, or with the one that belongs to it.
        out: Directory of the export.
        architecture: timm's name of the architecture.
        view: Preprocessing for evaluation; its channels are the backbone's.
        provenance: Where the weights come from.
        overwrite: Replace an existing export.
        arguments: Of `timm.create_model`, that the backbone was made with.
        pictures: How timm's own transforms shall treat photographs ("crop_pct", "interpolation", "crop_mode"); by
            default as `view` does: padded to a square, nothing cut off.
        onnx: Write `model.onnx`, too.

    Raises:
        UsageError: `out` exists, or is to be replaced and is no export of radnet.
        RadnetError: The reloaded model differs, or the place cannot be written to.
    """
    from timm.models import save_for_hf  # see `radnet.models.backbone`

    channels = len(view.mean)
    require_export_or_nothing(out, overwrite=overwrite)
    with new_directory(out, overwrite=overwrite) as partial:
        save_for_hf(
            backbone,
            str(partial),
            safe_serialization=True,
            model_args={**(arguments or {}), "in_chans": channels},
            data_config={
                "input_size": (channels, view.size, view.size),
                "mean": view.mean,
                "std": view.std,
                **(pictures or {"crop_pct": 1.0, "crop_mode": "border", "interpolation": "bilinear"}),
            },
            model_config={
                RADNET_KEY: {"provenance": provenance.as_settings(), "evaluation_view": view.describe()},
                "pretrained_cfg": {
                    "license": provenance.licence or "not stated",
                    "origin_url": provenance.source.get("url"),
                    "paper_name": None,
                    "paper_ids": None,
                    "tag": f"radnet_{provenance.method}",
                    "notes": [note_of_view(view)],
                },
            },
        )
        if onnx:
            write_onnx(backbone, partial, channels=channels, size=view.size)
        facts = CardFacts(
            source=f"local-dir:{out.name}",
            architecture=architecture,
            classes=int(getattr(backbone, "num_classes", 0)),
            view=view,
            provenance=provenance,
            weights_sha256=weights_sha256(backbone),
            onnx=onnx,
        )
        (partial / CARD).write_text(model_card(facts), encoding="utf-8")
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors are written for their owner alone
        _prove(backbone, partial, channels, view.size)
    return out


@torch.no_grad()
def _prove(backbone: nn.Module, directory: Path, channels: int, size: int) -> None:
    import timm

    reloaded = timm.create_model(f"local-dir:{directory}", pretrained=True)
    own, other = backbone.state_dict(), reloaded.state_dict()
    if own.keys() != other.keys():
        raise RadnetError(
            f"The export does not load: tensors differ: {sorted(own.keys() ^ other.keys())[:5]}",
            file=directory,
            fix="Take a backbone that timm can save and load",
        )
    picture = torch.linspace(-1, 1, 2 * channels * size * size).reshape(2, channels, size, size)
    # both on the CPU: a GPU rounds convolutions (TF32), which would look like another model
    expected = copy.deepcopy(backbone).cpu().eval()(picture)
    found = reloaded.eval()(picture)
    if not torch.allclose(found, expected, rtol=1e-4, atol=FEATURE_TOLERANCE):
        difference = float((found - expected).abs().max())
        raise RadnetError(f"The export gives other features than the model, by up to {difference:.2g}", file=directory)
