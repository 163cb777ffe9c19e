"""The form in which a backbone leaves radnet: `config.json` + `model.safetensors`, loadable by timm alone.

timm.create_model("local-dir:EXPORT", pretrained=True, num_classes=0)
"""

import copy
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf
from torch import nn

from radnet.errors import RadnetError, UsageError
from radnet.files import new_directory
from radnet.views.evaluation import EvaluationView

CONFIG = "config.json"
RADNET_KEY = "radnet"
FEATURE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; it sits under the `radnet` key of an export's config.json.

    Attributes:
        method: Pretraining method ("simclr").
        data: Content hashes of the shard sets, by name.
        synthetic: Whether any pretraining data came from a phantom.
        steps: Optimisation steps done.
        slices_seen: Slices shown to the network, repeats counted.
        settings_sha256: Hash of the run's settings.
        code_version: Version of radnet.
        licence: Licence of the weights, as their maker states it; empty when not stated.
        window: Window policy during pretraining.
        initial_weights: Where training began: "architecture", "weights_sha256", "pretraining" in words, "method",
            "data" (content hashes) and "synthetic"; {} for random weights.
    """

    method: str
    data: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    steps: int = 0
    slices_seen: int = 0
    settings_sha256: str = ""
    code_version: str = ""
    licence: str = ""
    window: dict[str, Any] = field(default_factory=dict)
    initial_weights: dict[str, Any] = field(default_factory=dict)


def export_backbone(
    backbone: nn.Module,
    out: Path,
    *,
    architecture: str,
    view: EvaluationView,
    provenance: Provenance,
    overwrite: bool = False,
) -> Path:
    """Write an export and prove it: it is loaded again by timm and must give the same features.

    Args:
        backbone: timm model without classifier, from `create_backbone`.
        out: Directory of the export.
        architecture: timm's name of the architecture.
        view: Preprocessing for evaluation; its channels are the backbone's.
        provenance: Where the weights come from.
        overwrite: Replace an existing export.

    Raises:
        UsageError: `out` exists, or is to be replaced and is no export of radnet.
        RadnetError: The reloaded model differs.
    """
    channels = len(view.mean)
    if overwrite and out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise UsageError(
            "The output directory holds something else than an export of radnet, which is not replaced",
            file=out,
            fix="Choose another path, or remove the directory yourself",
        )
    with new_directory(out, overwrite=overwrite) as partial:
        save_for_hf(
            backbone,
            str(partial),
            safe_serialization=True,
            model_args={"in_chans": channels},
            data_config={
                "input_size": (channels, view.size, view.size),
                "mean": view.mean,
                "std": view.std,
                "crop_pct": 1.0,
                "interpolation": "bilinear",
            },
            model_config={
                RADNET_KEY: {"provenance": asdict(provenance), "evaluation_view": view.describe()},
                "pretrained_cfg": {
                    "license": provenance.licence or "not stated",
                    "origin_url": None,
                    "paper_name": None,
                    "paper_ids": None,
                    "tag": f"radnet_{provenance.method}",
                },
            },
        )
        (partial / "README.md").write_text(_model_card(architecture, view, provenance), encoding="utf-8")
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors are written for their owner alone
        _prove(backbone, partial, channels, view.size)
    return out


@torch.no_grad()
def _prove(backbone: nn.Module, directory: Path, channels: int, size: int) -> None:
    reloaded = timm.create_model(f"local-dir:{directory}", pretrained=True, num_classes=0)
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


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` of an export.

    Raises:
        RadnetError: There is none or it cannot be read.
    """
    path = directory / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RadnetError(
            "This is no export: it has no readable config.json",
            file=directory,
            fix="Make one with: radnet export RUN OUT",
        ) from error
    return config


def _is_export(directory: Path) -> bool:
    return (directory / CONFIG).is_file() and RADNET_KEY in read_config(directory)


def view_from_config(config: dict[str, Any]) -> EvaluationView | None:
    """The evaluation preprocessing of an export's config, None when radnet did not write it."""
    own = config.get(RADNET_KEY)
    return EvaluationView.from_settings(own["evaluation_view"]) if own else None


def transform_for(directory: Path | str) -> EvaluationView:
    """The exact preprocessing, from HU, that goes with an export.

    Example:
        view = transform_for("exports/my_backbone")
        features = model(torch.from_numpy(view(hu)[0])[None])

    Raises:
        RadnetError: The directory is no export of radnet.
    """
    view = view_from_config(read_config(Path(directory)))
    if view is None:
        raise RadnetError("radnet did not write this export, its preprocessing is not known", file=directory)
    return view


def _model_card(architecture: str, view: EvaluationView, provenance: Provenance) -> str:
    synthetic = (
        "\n**Trained on synthetic scans of a phantom. It shows how the software works and knows nothing of "
        "patients.**\n"
        if provenance.synthetic
        else ""
    )
    sets = "\n".join(f"- `{name}`: content {digest[:16]}" for name, digest in provenance.data.items()) or "- not stated"
    return f"""---
library_name: timm
tags: [radnet, feature-extraction, computed-tomography]
license: {provenance.licence or "unknown"}
---
# {architecture}, pretrained with {provenance.method}
{synthetic}
| | |
|---|---|
| steps | {provenance.steps} |
| slices shown | {provenance.slices_seen} |
| began with | {provenance.initial_weights.get("pretraining", "random weights")} |
| channels, size | {len(view.mean)}, {view.size} px |
| window in evaluation | `{json.dumps(view.describe()["window"])}` |
| window in pretraining | `{json.dumps(provenance.window)}` |
| radnet | {provenance.code_version} |

Pretraining data (shard sets):

{sets}

Load it, and preprocess a slice given in Hounsfield units (int16 array, rows x columns):

```python
import timm, torch
from radnet.models import transform_for
model = timm.create_model("local-dir:THIS_DIRECTORY", pretrained=True, num_classes=0).eval()
features = model(torch.from_numpy(transform_for("THIS_DIRECTORY")(hu)[0])[None])
```

Not a medical device: features for research, not validated for any clinical use.
"""
