"""What the training loop costs beside forward, backward and step, and what a checkpoint of a ResNet-50 costs.

    python benchmarks/train.py [--backbone resnet10t] [--size 64] [--batch 32] [--rounds 5]

The loop and the bare steps take turns on the same method and the same ready tensors; the row is the median of the
rounds. CPU seconds are those of this process, so that what else the machine does counts little.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from radnet.configs import compose, validated
from radnet.console import Meter
from radnet.pretrain.checkpoints import CheckpointWriter
from radnet.pretrain.final_form import into_final_form
from radnet.pretrain.log import RunLog
from radnet.pretrain.loop import TrainingState, train
from radnet.pretrain.method import Method
from radnet.pretrain.observer import NoObserver
from radnet.pretrain.optimizers import build_optimizer
from radnet.pretrain.processes import Processes
from radnet.pretrain.registry import build_method, resolve_method
from radnet.pretrain.report import Report
from radnet.pretrain.resume import snapshot
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.skipped import SkippedBatches
from radnet.pretrain.stopping import StopRequest
from radnet.shards.batches import Batch

STEPS = 3
"""Steps a round."""


class Ready:
    """A stream whose one batch is always there."""

    def __init__(self, method: Method, batch: int) -> None:
        shapes = method.views.shapes
        self.views = [torch.randn(batch, *shape) for shape in shapes]

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Batch]:
        for step in range(STEPS):
            yield Batch(list(self.views), torch.arange(len(self.views[0])), 0, step)


def settings_of(arguments: argparse.Namespace, *more: str) -> PretrainSettings:
    overrides = ["data=x", "epochs=1", "schedule.warmup_epochs=0", f"method.views.size={arguments.size}", *more]
    overrides += [f"backbone={arguments.backbone}", f"batch_size={arguments.batch}", f"device={arguments.device}"]
    settings = validated(PretrainSettings, compose("pretrain", overrides), "the settings")
    return settings.model_copy(update={"method": resolve_method(settings.method, slices=10_000)})


def prepared(settings: PretrainSettings, processes: Processes, scratch: Path) -> TrainingState:
    method = build_method(settings.method, settings.backbone, seed=0)
    into_final_form(method, settings, processes)
    optimizer = build_optimizer(method.parameter_groups(settings.optimizer.weight_decay), settings.optimizer)
    scaler = torch.amp.GradScaler(processes.device.type, enabled=False)
    skipped = SkippedBatches(RunLog(scratch / "skipped.jsonl"), lambda rows: [str(row) for row in rows], 10)
    return TrainingState(method, optimizer, scaler, Ready(method, settings.batch_size), skipped)


def seconds(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Wall-clock and CPU seconds."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def loop_against_bare(arguments: argparse.Namespace) -> None:
    processes = Processes(0, 1, torch.device(arguments.device))
    settings = settings_of(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        state = prepared(settings, processes, Path(scratch))

        def bare() -> None:
            views = [view.to(processes.device) for view in state.stream.views]
            for _ in range(STEPS):
                loss = state.method(views)["loss"]
                state.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                state.optimizer.step()

        def loop() -> None:
            state.step = 0
            report = Report(
                RunLog(Path(scratch) / "log.jsonl"),
                NoObserver(),
                Meter("", STEPS, None),
                state.skipped,
                processes,
                settings.log_every_steps,
                check=lambda: None,
            )
            train(state, settings, processes, report=report, stop=StopRequest(), checkpoint=lambda _: None)

        seconds(bare, processes.device)
        seconds(loop, processes.device)
        rounds = []
        for number in range(arguments.rounds):
            turns = {work: seconds(work, processes.device) for work in ((bare, loop) if number % 2 else (loop, bare))}
            rounds.append((turns[bare], turns[loop]))
    wall, cpu = (statistics.median(bare[kind] / loop[kind] for bare, loop in rounds) for kind in (0, 1))
    ms = 1000 * statistics.median(bare[1] for bare, _ in rounds) / STEPS
    print(
        f"| loop / bare steps, {arguments.backbone} {arguments.size} px, batch {arguments.batch} ({ms:.0f} ms of CPU "
        f"a step) | {wall:.3f} of the rate by the clock, {cpu:.3f} by CPU seconds |"
    )


def checkpoint_of_a_resnet50(arguments: argparse.Namespace) -> None:
    processes = Processes(0, 1, torch.device(arguments.device))
    arguments = argparse.Namespace(**{**vars(arguments), "backbone": "resnet50", "size": 32, "batch": 2})
    settings = settings_of(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        state = prepared(settings, processes, Path(scratch))
        state.method([view.to(processes.device) for view in state.stream.views])["loss"].backward()
        state.optimizer.step()
        writer = CheckpointWriter(Path(scratch), keep=1)
        lost, written = [], []

        def save() -> None:
            writer.save(snapshot(state, NoObserver(), settings, processes))

        for number in range(arguments.rounds):
            state.step = number + 1
            lost.append(seconds(save, processes.device)[0])
            written.append(lost[-1] + seconds(writer.wait, processes.device)[0])
        size = sum(path.stat().st_size for path in Path(scratch).glob("step-*.pt")) / 1e6
        writer.close()
    waits = f"training waits {statistics.median(lost):.2f} s (at most {max(lost):.2f} s)"
    print(
        f"| checkpoint of SimCLR on ResNet-50 ({size:.0f} MB) | {waits}, on disk after "
        f"{statistics.median(written):.2f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    print("| what | measured |\n|---|---|")
    loop_against_bare(arguments)
    checkpoint_of_a_resnet50(arguments)


if __name__ == "__main__":
    main()
