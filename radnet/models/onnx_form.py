"""A backbone as ONNX, for programs without torch; checked against torch before it is kept."""

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from radnet.errors import RadnetError, UsageError

ONNX = "model.onnx"
TOLERANCE = 1e-5
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@torch.no_grad()
def write_onnx(backbone: nn.Module, directory: Path, *, channels: int, size: int) -> Path:
    """Write `model.onnx`: input "pictures" float32 (B, C, size, size), output "features", any B.

    Args:
        backbone: Not changed.
        directory: Where the file goes.
        channels: C.
        size: Side of the pictures.

    Returns:
        The file.

    Raises:
        UsageError: The packages for it are not installed.
        RadnetError: torch cannot translate this backbone, or the ONNX model gives other features.
    """
    require_onnx()
    path = directory / ONNX
    network = copy.deepcopy(backbone).cpu().eval()
    pictures = _pictures(2, channels, size)
    try:
        with _silent():
            torch.onnx.export(
                network,
                (pictures,),
                str(path),
                dynamo=True,
                input_names=["pictures"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("pictures_at_once", min=1, max=4096)},),
                external_data=False,
            )
    except Exception as error:  # many kinds, all mean that this architecture cannot be translated
        said = str(error).splitlines()[0][:200] if str(error) else ""
        raise RadnetError(
            f"torch cannot translate this backbone to ONNX ({type(error).__name__}: {said})",
            fix="Leave --onnx out, or take another backbone",
        ) from error
    difference = max(_difference(network, path, _pictures(count, channels, size)) for count in (1, 3))
    if not difference <= TOLERANCE:
        raise RadnetError(
            f"The ONNX model gives other features than torch, by up to {difference:.2g} of the largest one",
            file=path,
            fix="Leave --onnx out",
        )
    return path


def require_onnx() -> None:
    """Refuse early when a package is missing.

    Raises:
        UsageError: Names what is missing.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            "ONNX needs packages that are not installed", seen=missing, fix='Install them: pip install "radnet[onnx]"'
        )


def _pictures(count: int, channels: int, size: int) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(count))


def _difference(network: nn.Module, path: Path, pictures: torch.Tensor) -> float:
    """Largest difference of a feature, as a share of the largest feature where that is more than 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pictures": pictures.numpy()})
    expected = network(pictures)
    return float((torch.from_numpy(found) - expected).abs().max() / expected.abs().max().clamp(min=1.0))


@contextmanager
def _silent() -> Iterator[None]:
    """The exporter tells its life story on the console and in warnings; what goes wrong it raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
