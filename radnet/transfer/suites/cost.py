"""What cells cost, before they run: images seen, operations, and about how long.

An image costs the operations of a forward pass, counted by torch on a model without memory; training costs three times
that an epoch (forward, and two products backward). Features of one model and set are made once and shared, so the
first cell that needs them bears their cost and the others only their probe's.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from radnet.errors import RadnetError
from radnet.models import ModelName
from radnet.models.provenance import read_config
from radnet.shards.manifest import MANIFEST, read_manifest
from radnet.transfer.contract import ModelProtocol
from radnet.transfer.suites.plan import PlannedCell

BACKWARD = 3
"""Operations of a training step in forward passes."""
PROBE_S = 1.0
"""A probe on stored features of a small set; the image passes are what counts."""
MEASURE_S = 0.3
DEFAULT_EPOCHS = 50


@dataclass(frozen=True)
class Cost:
    """Of one cell.

    Attributes:
        images: Images that pass through the network, training passes counted as `BACKWARD`; None when the set is
            not there and nobody says how large it is.
        gflops: Billions of operations of all of them; None when the architecture is not known either.
        seconds: About how long, None when unknown.
    """

    images: int | None
    gflops: float | None
    seconds: float | None


def costs_of(
    plan: Sequence[PlannedCell],
    data: Path,
    nominal: Mapping[str, Mapping[str, int]],
    architecture: str | None = None,
    *,
    gflops_per_s: float,
) -> dict[str, Cost]:
    """Cost of every planned cell, by key.

    Args:
        plan: The cells, in the order in which they run.
        data: Directory of the sets.
        nominal: Set -> split -> images, for sets that are not there.
        architecture: For models that nobody has named yet or whose weights are not there.
        gflops_per_s: Speed of the machine.
    """
    shared: set[tuple[object, ...]] = set()
    costs = {}
    for cell in plan:
        counts = images_of(data / cell.set_name) or dict(nominal.get(cell.set_name, {}))
        passes = _passes(cell, counts, shared) if counts else None
        known = architecture_of(cell.model) or architecture
        each = gflops_an_image(known, cell.task.size) if known else None
        gflops = None if passes is None or each is None else passes * each
        seconds = None if gflops is None else gflops / gflops_per_s + PROBE_S
        costs[cell.key] = Cost(passes, gflops, seconds)
    return costs


def _passes(cell: PlannedCell, counts: Mapping[str, int], shared: set[tuple[object, ...]]) -> int:
    train, val, test = (counts.get(split, 0) for split in ("train", "val", "test"))
    if isinstance(cell.protocol, ModelProtocol):
        settings = cell.protocol.settings()
        epochs = int(settings.get("epochs") or DEFAULT_EPOCHS)
        rates = settings.get("lr")
        tries = len(rates) if isinstance(rates, list) else 1
        return round(tries * epochs * (BACKWARD * train * cell.fraction + val) + test)
    window = str(sorted(cell.task.window.items()))
    weights = (cell.arm, cell.model, cell.weights_seed, cell.set_name, cell.task.size, window)
    passes = 0
    changed = set() if cell.condition is None else set(cell.condition.on.split(" and "))
    needs: list[tuple[tuple[object, ...], int]] = [(weights, train + val + test)]
    for split in sorted(changed):
        needs.append(((*weights, cell.condition_name, split, cell.seed), counts.get(split, 0)))
    for key, images in needs:
        passes += 0 if key in shared else images
        shared.add(key)
    return passes


@lru_cache(maxsize=256)
def images_of(path: Path) -> dict[str, int] | None:
    """Images of each split of a set, None when it is not there."""
    if not (path / MANIFEST).is_file():
        return None
    try:
        return dict(read_manifest(path).totals.samples_by_split)
    except RadnetError:
        return None


@lru_cache(maxsize=64)
def architecture_of(model: str | None) -> str | None:
    """Timm's name of a model's architecture, None where only its weights would tell."""
    if model is None:
        return None
    name = ModelName.parse(model)
    if name.scheme in ("timm", "random"):
        return name.value
    place = Path(name.value) / "export" if name.scheme == "run" else Path(name.value)
    try:
        return str(read_config(place).get("architecture")) if place.is_dir() else None
    except RadnetError:
        return None


@lru_cache(maxsize=64)
def gflops_an_image(architecture: str, size: int) -> float | None:
    """Billions of operations of a forward pass of one picture, None when timm does not take the size."""
    import timm  # see `radnet.models.backbone`

    try:
        with torch.device("meta"):
            fixed = timm.models.get_pretrained_cfg(architecture)
            arguments: dict[str, Any] = {"img_size": size} if fixed is not None and fixed.fixed_input_size else {}
            model = timm.create_model(architecture, pretrained=False, num_classes=0, **arguments).eval()
            counter = FlopCounterMode(display=False)
            with counter, torch.no_grad():
                model(torch.empty(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError, TypeError):
        return None
    return counter.get_total_flops() / 1e9


def measured_gflops_per_s(device: str) -> float:
    """About what this machine does in small convolutions, billions of operations a second."""
    layer = torch.nn.Conv2d(32, 64, 3, padding=1).to(device)
    pictures = torch.zeros(8, 32, 56, 56, device=device)
    each = 2 * 8 * 64 * 32 * 9 * 56 * 56 / 1e9
    runs, started_s = 0, time.perf_counter()
    with torch.inference_mode():
        layer(pictures)
        started_s = time.perf_counter()
        while time.perf_counter() - started_s < MEASURE_S:
            layer(pictures)
            runs += 1
            if device != "cpu":
                torch.cuda.synchronize()
    # whole networks reach about half of what one well-filled layer does
    return max(0.5 * runs * each / (time.perf_counter() - started_s), 1.0)
