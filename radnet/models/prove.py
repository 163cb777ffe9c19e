"""Whether two exports are the same model to timm: the same features in every way that they are usually loaded."""

from pathlib import Path
from typing import Any

import torch

from radnet.errors import RadnetError
from radnet.models.provenance import read_config

TOLERANCE = 1e-5
CHANNELS = (1, 3)


def require_same_features(export: Path, published: str) -> int:
    """Compare with one and three channels, as one vector and as feature maps.

    Args:
        export: The original.
        published: How the copy is loaded.

    Returns:
        How many comparisons were made; an architecture without feature maps has half as many.

    Raises:
        RadnetError: The original cannot be loaded, or the copy gives other features.
    """
    config = read_config(export)
    size = int(config["pretrained_cfg"]["input_size"][-1])
    compared = 0
    for channels in CHANNELS:
        for features_only in (False, True):
            expected = _features(f"local-dir:{export}", channels, size, features_only)
            if expected is None:
                continue
            found = _features(published, channels, size, features_only)
            difference = (
                float("inf")
                if found is None or len(found) != len(expected)
                else max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True))
            )
            if not difference <= TOLERANCE:
                raise RadnetError(
                    f"The published model gives other features (in_chans={channels}, features_only={features_only}), "
                    f"by up to {difference:.2g}",
                    seen=published,
                    file=export,
                )
            compared += 1
    return compared


@torch.inference_mode()
def _features(source: str, channels: int, size: int, features_only: bool) -> list[torch.Tensor] | None:
    """Features of two fixed pictures; None when timm has no feature maps for this architecture."""
    import timm  # see `radnet.models.backbone`

    arguments: dict[str, Any] = {"features_only": True} if features_only else {"num_classes": 0}
    try:
        model = timm.create_model(source, pretrained=True, in_chans=channels, **arguments).eval()
    except Exception as error:  # timm, safetensors and torch raise many kinds for damaged or missing files
        if features_only:
            return None
        raise RadnetError(
            f"timm cannot load these weights ({type(error).__name__}: {str(error).splitlines()[0][:200]})",
            seen=source,
            fix="The file is damaged or cut: export the run again, or fetch the export again",
        ) from error
    pictures = torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = model(pictures.repeat(1, channels, 1, 1))
    return list(found) if features_only else [found]
