"""Small exports for tests."""

from pathlib import Path

import torch

from radnet.models import Provenance, create_backbone, export_backbone
from radnet.views import EvaluationView, FixedWindow

SIZE = 64
PROVENANCE = Provenance(
    method="simclr",
    data={"chests": "0" * 64},
    steps=7,
    slices_seen=448,
    licence="cc-by-4.0",
    code_version="0.1.0",
    window={"policy": "random"},
    counts={
        "region": {"thorax": 40, "abdomen": 8},
        "slice thickness": {"<= 1 mm": 48},
        "manufacturer": {"SIEMENS": 48},
    },
)
"""As a run states it."""


def small_export(
    out: Path,
    architecture: str = "test_resnet",
    view: EvaluationView | None = None,
    provenance: Provenance = PROVENANCE,
    *,
    onnx: bool = False,
    **arguments: object,
) -> tuple[torch.nn.Module, Path]:
    """A backbone with random weights, and its export."""
    view = view or EvaluationView(size=SIZE, window=FixedWindow(50, 350), mean=(0.4,), std=(0.3,))
    model = create_backbone(architecture, in_chans=len(view.mean), seed=3, **arguments)
    for module in model.modules():  # fresh running statistics would hide a layer that got no weights
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(len(module.running_mean)))
    export_backbone(
        model, out, architecture=architecture, view=view, provenance=provenance, arguments=arguments, onnx=onnx
    )
    return model.eval(), out
