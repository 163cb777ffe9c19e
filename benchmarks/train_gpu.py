"""The rows of train.py that need a GPU: SimCLR on ResNet-50 at 224 px, bf16, compiled.

- synthetic: radnet's steps on tensors that lie on the GPU
- shards: the same steps on batches from a shard set, through radnet's stream and its copies to the GPU
- lightly: the module of lightly's own SimCLR benchmark on tensors that lie on the GPU, without its transforms and its
  loader: torchvision's ResNet-50, lightly's head and loss, three channels, 16-bit mixed precision with a loss scale
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import Bar, Report, in_turns, slices_512, slices_native
from loader import shard_set
from torch import nn

from radnet.configs import compose, validated
from radnet.pretrain.arrival import Arrival
from radnet.pretrain.final_form import into_final_form
from radnet.pretrain.moment import Moment
from radnet.pretrain.optimizers import build_optimizer
from radnet.pretrain.processes import Processes
from radnet.pretrain.registry import build_method
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.stepper import Stepper
from radnet.shards import BatchOrder, Stream

LEAST_OF_SYNTHETIC, LEAST_OF_LIGHTLY = 0.9, 1.2
MOMENT = Moment(5, 10, 100)
Views = list[torch.Tensor]


def gpu_rows(scratch: Path, options: argparse.Namespace, report: Report) -> None:
    """Add the table and the bars, or say that there is no GPU."""
    if not torch.cuda.is_available():
        report.notes.append(
            "no GPU here: the rate from shards against synthetic tensors and against lightly was not measured"
        )
        return
    device = torch.device("cuda", 0)
    torch.backends.cudnn.benchmark = True
    batch = 32 if options.quick else 256
    rates = measure(scratch, device, report, options, batch=batch)
    title = f"SimCLR, ResNet-50, 224 px, batch {batch}, {torch.cuda.get_device_name(0)}"
    report.add(title, [{"arm": arm, "slices/s": rate} for arm, rate in rates.items()])
    report.bars += [
        Bar("GPU: from shards / synthetic tensors", rates["shards"] / rates["synthetic"], LEAST_OF_SYNTHETIC),
        Bar("GPU: from shards / lightly's step", rates["shards"] / rates["lightly"], LEAST_OF_LIGHTLY),
    ]


def measure(
    scratch: Path,
    device: torch.device,
    report: Report,
    options: argparse.Namespace,
    *,
    batch: int,
    backbone: str = "resnet50",
    size: int = 224,
    compiled: bool = True,
) -> dict[str, float]:
    """Slices a second of each arm; small sizes on a CPU show that it works."""
    given = ["data=none", "experiment=simclr_single_gpu", f"backbone={backbone}", f"batch_size={batch}"]
    given += [f"method.views.size={size}", f"compile={str(compiled).lower()}"]
    settings = validated(PretrainSettings, compose("pretrain", given), "the benchmark")
    processes = Processes(0, 1, device)
    method = build_method(settings.method, backbone, seed=0)
    into_final_form(method, settings, processes)
    optimizer = build_optimizer(method.parameter_groups(settings.optimizer.weight_decay), settings.optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    stepper = Stepper(method, optimizer, scaler, settings, processes)

    def own_step(views: Views) -> None:
        method.before_step(MOMENT)
        stepper.accumulate_gradients(views)
        stepper.update(MOMENT, stop=False)
        method.after_step(MOMENT)

    each = 2 if options.quick else 24
    slices = slices_512(each, report) + [hu for group in slices_native(each, report).values() for hu in group]
    shards = shard_set(scratch / "gpu", slices)
    workers = len(os.sched_getaffinity(0)) if device.type == "cuda" else 1
    rows = shards.rows().repeat(-(-8 * batch // len(shards)))
    order = BatchOrder(len(rows), batch)
    stream = Stream(
        shards, rows, method.views, order, workers=workers, pin_memory=device.type == "cuda", dtype=settings.view_dtype
    )
    arrival = Arrival(stream, device, channels_last=settings.channels_last)
    ready = [torch.randn(batch, 1, size, size, device=device).to(memory_format=torch.channels_last) for _ in range(2)]
    colour = [torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last) for _ in range(2)]
    peer = lightly_step(device)
    turn_s = options.seconds if options.quick else 10 * options.seconds
    arms: dict[str, tuple[Callable[[Views], None], Iterator[Views]]] = {
        "synthetic": (own_step, endless(ready)),
        "shards": (own_step, arriving(arrival)),
        "lightly": (peer, endless(colour)),
    }
    try:
        for step, batches in arms.values():  # compile, choose kernels, start workers
            for _ in range(3):
                step(next(batches))
        timed = {
            name: lambda step=step, batches=batches: rate(step, batches, batch, turn_s, device)
            for name, (step, batches) in arms.items()
        }
        return in_turns(timed, options.turns)
    finally:
        stream.close()


def rate(
    step: Callable[[Views], None], batches: Iterator[Views], batch: int, least_s: float, device: torch.device
) -> float:
    """Slices a second over at least so many seconds, all work on the device done."""
    for _ in range(2):  # batches that were ready before cost nothing
        step(next(batches))
    wait(device)
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < least_s or count < 2:
        step(next(batches))
        count += 1
    wait(device)
    return count * batch / (time.perf_counter() - begun)


def wait(device: torch.device) -> None:
    """Until the device has nothing to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def endless(views: Views) -> Iterator[Views]:
    """The same views for ever."""
    while True:
        yield list(views)


def arriving(arrival: Arrival) -> Iterator[Views]:
    """Batches from the stream, one ahead as in the loop."""
    coming = arrival.take()
    while True:
        present, coming = coming, arrival.take()
        yield present.views


def lightly_step(device: torch.device) -> Callable[[Views], None]:
    """A training step of lightly's module: its head, its loss, its LARS, torchvision's ResNet-50, fp16 autocast."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.utils.lars import LARS
    from torchvision.models import resnet50

    backbone = resnet50()
    backbone.fc = nn.Identity()  # type: ignore[assignment]
    module: Any = nn.Sequential(backbone, SimCLRProjectionHead()).to(device, memory_format=torch.channels_last).train()
    loss = NTXentLoss(temperature=0.1)
    optimizer = LARS(module.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-6)
    on_gpu = device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=on_gpu)

    def step(views: Views) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.float16 if on_gpu else torch.bfloat16):
            one, two = module(torch.cat(views)).chunk(2)
            value = loss(one, two)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()

    return step
