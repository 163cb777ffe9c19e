"""What the training loop, its monitors and its checkpoints cost; on a GPU, how fast a whole run is.

    python benchmarks/train.py [--seconds 1] [--turns 9]

- bare: forward, backward and step of a method, its own schedules and teacher included, on tensors that are ready
- loop: the same through radnet's loop, which serves the same tensors, watches for values that are not finite, counts,
  logs every tenth step, and listens for signals
- loop and monitors: with everything on that is on by default; RankMe, which comes every 500 steps, is measured alone
  and its share added

Ratios are medians over turns in which the arms run one after the other. On a machine with other work the ratio of CPU
time is the steadier one; the bar is on the clock.

The checkpoint is one of a ResNet-50 with AdamW. Lost is what the training thread waits for, and by how much the steps
are slower until the file is on the disk. The rows for a GPU are in train_gpu.py.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import Bar, Report, arguments, finish, seconds
from train_gpu import gpu_rows

from radnet.configs import compose, validated
from radnet.console import Meter
from radnet.pretrain.checkpoints import CheckpointWriter
from radnet.pretrain.exporting import evaluation_view
from radnet.pretrain.final_form import into_final_form
from radnet.pretrain.log import RunLog
from radnet.pretrain.loop import TrainingState, train
from radnet.pretrain.moment import Moment
from radnet.pretrain.monitors.monitor import monitor_of
from radnet.pretrain.observer import NoObserver, Observer, RunDescription
from radnet.pretrain.optimizers import build_optimizer
from radnet.pretrain.processes import Processes
from radnet.pretrain.registry import build_method, resolve_method
from radnet.pretrain.report import Report as RunReport
from radnet.pretrain.resume import snapshot
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.skipped import SkippedBatches
from radnet.pretrain.stopping import StopRequest
from radnet.shards import Batch
from radnet.transfer.rankme import rankme

LEAST, MOST_LOST_S = 0.95, 2.0
LONG = 100_000
"""Steps of the run that the monitors are told of, so that they do what they do in a run of that length."""

SMALL = {
    "simclr": ["backbone=resnet18", "method.views.size=64"],
    "dino": ["backbone=vit_tiny_patch16_224", "method.views.size=64", "method.views.local_size=32",
             "method.views.local_views=4", "method.output_dim=1024", "method.hidden_dim=512"],
    "mae": ["backbone=vit_tiny_patch16_224", "method.views.size=128", "method.decoder_width=192",
            "method.decoder_depth=2", "method.decoder_heads=3"],
}  # fmt: skip
TINY = {
    "simclr": ["backbone=test_resnet", "method.views.size=32"],
    "dino": ["backbone=test_resnet", "method.views.size=48", "method.views.local_size=32",
             "method.views.local_views=2", "method.output_dim=64", "method.hidden_dim=32"],
    "mae": ["backbone=test_vit", "method.views.size=32", "+backbone_arguments.patch_size=8",
            "method.decoder_width=32", "method.decoder_depth=1", "method.decoder_heads=2"],
}  # fmt: skip
ALONE = Processes(0, 1, torch.device("cpu"))


class Ready:
    """Stands for a stream: the same tensors again and again, at no cost.

    Args:
        views: One tensor a view, (B, C, H, W).
        length: Batches an epoch.
    """

    def __init__(self, views: list[torch.Tensor], length: int) -> None:
        self.views, self.length, self.epoch, self.step = views, length, 0, 0
        self.rows = torch.arange(len(views[0]))

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.length):
            yield Batch(list(self.views), self.rows, 0, step)

    def state_dict(self) -> dict[str, int]:
        """As `Stream`'s."""
        return {"epoch": self.epoch, "step": self.step}


class Arm:
    """One method, ready to train in one of the ways.

    Args:
        overrides: Of the run.
        out: Where its log goes.
        observer: Makes what watches the run; None for nothing.
    """

    def __init__(self, overrides: list[str], out: Path, observer: Callable[..., Observer] | None = None) -> None:
        given = [f"out={out}", "data=none", "device=cpu", "epochs=1", "schedule.warmup_epochs=0", *overrides]
        settings = validated(PretrainSettings, compose("pretrain", given), "the benchmark")
        resolved = resolve_method(settings.method, slices=10_000)
        self.settings = settings.model_copy(update={"method": resolved})
        arguments = settings.backbone_arguments
        self.method = build_method(resolved, settings.backbone, seed=0, backbone_arguments=arguments)
        into_final_form(self.method, settings, ALONE)
        self.optimizer = build_optimizer(
            self.method.parameter_groups(settings.optimizer.weight_decay), settings.optimizer
        )
        shapes: Any = self.method.views.shapes  # type: ignore[attr-defined]
        self.views = [torch.randn(settings.batch_size, *shape) for shape in shapes]
        self.out = out
        out.mkdir(parents=True)
        self.observer: Observer = NoObserver()
        if observer is not None:
            self.observer = observer(self.settings, evaluation_view(self.method, self.settings))
            marks = self.method.landmarks(settings.batch_size)
            self.observer.start(RunDescription(self.settings, self.method, out, ALONE, marks, LONG // 100, LONG, 0))

    def state(self, steps: int) -> TrainingState:
        """A run of so many steps at its beginning, on the weights as they are."""
        skipped = SkippedBatches(RunLog(self.out / "skipped.jsonl"), lambda rows: [str(row) for row in rows], 10)
        stream: Any = Ready(self.views, steps)
        return TrainingState(self.method, self.optimizer, torch.amp.GradScaler("cpu", enabled=False), stream, skipped)

    def bare(self, steps: int) -> None:
        """Steps without the loop."""
        for number in range(steps):
            moment = Moment(number, steps, steps)
            self.method.before_step(moment)
            self.optimizer.zero_grad(set_to_none=True)
            self.method(self.views)["loss"].backward()
            self.method.before_update(moment)
            self.optimizer.step()
            self.method.after_step(moment)

    def loop(self, steps: int) -> None:
        """Steps of radnet's loop."""
        state, meter = self.state(steps), Meter("steps", steps, None)
        log, every = RunLog(self.out / "log.jsonl"), self.settings.log_every_steps
        report = RunReport(log, self.observer, meter, state.skipped, ALONE, every, check=lambda: None)
        train(state, self.settings, ALONE, report=report, stop=StopRequest(), checkpoint=lambda _: None)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="about the time of one turn")
    parser.add_argument("--turns", type=int, default=9, help="turns of each arm; the median counts")
    parser.add_argument("--batch", type=int, default=32, help="slices a step")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.turns, options.batch = 0.1, 1, 4
    report = Report("train", {key: getattr(options, key) for key in ("seconds", "turns", "batch")})
    report.settings["threads"] = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        report.add("Slices a second on ready tensors", loops(Path(scratch), options, report))
        report.add("What the loop adds to a step of next to no work", tiny(Path(scratch), options))
        report.add("Checkpoint of a SimCLR run", checkpoints(Path(scratch), options, report))
        gpu_rows(Path(scratch), options, report)
    finish(report, options)


def loops(scratch: Path, options: argparse.Namespace, report: Report) -> list[dict[str, Any]]:
    """Bare steps, the loop, and the loop with monitors, of every method."""
    rows = []
    for name, small in (TINY if options.quick else SMALL).items():
        given = [f"method={name}", f"batch_size={options.batch}", *small]
        bare, loop = Arm(given, scratch / name / "bare"), Arm(given, scratch / name / "loop")
        watched = Arm(given, scratch / name / "watched", monitor_of)
        bare.bare(2)
        steps = max(round(options.seconds / (seconds(lambda bare=bare: bare.bare(3)) / 3)), 2)
        loop.loop(2)
        watched.loop(2)
        arms = {"bare": bare.bare, "loop": loop.loop, "watched": watched.loop}
        wall_s, cpu_s = by_turn(arms, steps, options.turns)
        monitors = watched.settings.monitors
        width = watched.method.backbone.num_features
        features = torch.randn(monitors.features_rows, int(width))  # type: ignore[arg-type]
        now_and_then_s = min(seconds(lambda features=features: rankme(features)) for _ in range(3))
        share = now_and_then_s / monitors.features_every_steps
        for clock_s in (wall_s, cpu_s):
            clock_s["watched"] = [value + share for value in clock_s["watched"]]
        watched.observer.close()
        ratio = paired(wall_s, "bare", "loop")
        rows.append(
            {
                "method": f"{name}, {small[0].removeprefix('backbone=')}",
                "bare": options.batch / statistics.median(wall_s["bare"]),
                "loop": options.batch / statistics.median(wall_s["loop"]),
                "and monitors": options.batch / statistics.median(wall_s["watched"]),
                "loop / bare": ratio,
                "of CPU time": paired(cpu_s, "bare", "loop"),
                "monitors' share": 1 - paired(wall_s, "loop", "watched"),
                "of CPU time ": 1 - paired(cpu_s, "loop", "watched"),
                "ms a step": 1000 * statistics.median(wall_s["bare"]),
            }
        )
        report.bars.append(Bar(f"{name}: loop / bare steps", ratio, LEAST))
    return rows


def tiny(scratch: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds that the loop adds, where they can be seen: on networks of a few thousand weights."""
    rows, steps = [], 5 if options.quick else 50
    for name, small in TINY.items():
        given = [f"method={name}", "batch_size=2", *small]
        bare, loop = Arm(given, scratch / "tiny" / name / "bare"), Arm(given, scratch / "tiny" / name / "loop")
        bare.bare(2)
        loop.loop(2)
        _, cpu_s = by_turn({"bare": bare.bare, "loop": loop.loop}, steps, options.turns)
        bare_ms, loop_ms = (1000 * statistics.median(cpu_s[arm]) for arm in ("bare", "loop"))
        rows.append({"method": name, "bare ms": bare_ms, "loop ms": loop_ms, "added ms": loop_ms - bare_ms})
    return rows


def by_turn(
    arms: dict[str, Callable[[int], None]], steps: int, turns: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds a step of every arm in every turn, on the clock and of this process's CPU time."""
    wall_s: dict[str, list[float]] = {name: [] for name in arms}
    cpu_s: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(turns):
        for name in list(arms) if turn % 2 == 0 else list(reversed(arms)):
            wall, cpu = time.perf_counter(), time.process_time()
            arms[name](steps)
            wall_s[name].append((time.perf_counter() - wall) / steps)
            cpu_s[name].append((time.process_time() - cpu) / steps)
    return wall_s, cpu_s


def paired(spent_s: dict[str, list[float]], one: str, other: str) -> float:
    """Median over the turns of the ratio of two arms that ran one after the other."""
    return statistics.median(a / b for a, b in zip(spent_s[one], spent_s[other], strict=True))


def checkpoints(scratch: Path, options: argparse.Namespace, report: Report) -> list[dict[str, Any]]:
    """What a run loses to a checkpoint: the copy, and slower steps while it is written."""
    backbone = "resnet10t" if options.quick else "resnet50"
    arm = Arm([f"backbone={backbone}", "batch_size=8", "method.views.size=64"], scratch / "checkpoint")
    arm.bare(2)
    usual_s = statistics.median(seconds(lambda: arm.bare(1)) for _ in range(3 if options.quick else 9))
    writer, rows = CheckpointWriter(scratch / "checkpoints", 1), []
    for number in range(1 if options.quick else 3):
        state = arm.state(10)
        state.step = number + 1
        begun = time.perf_counter()
        writer.save(snapshot(state, arm.observer, arm.settings, ALONE))
        held_s, steps = time.perf_counter() - begun, 0
        while writer.writing is not None and not writer.writing.done():
            arm.bare(1)
            steps += 1
        total_s = time.perf_counter() - begun
        writer.wait()
        megabytes = sum(path.stat().st_size for path in (scratch / "checkpoints").glob("*.pt")) / 1e6
        lost_s = max(total_s - steps * usual_s, held_s)
        rows.append(
            {
                "backbone": backbone,
                "MB": megabytes,
                "held up s": held_s,
                "until on the disk s": total_s,
                "lost s": lost_s,
            }
        )
    writer.close()
    lost_s = statistics.median(row["lost s"] for row in rows)
    report.bars.append(Bar(f"{backbone}: lost to a checkpoint", lost_s, MOST_LOST_S, at_least=False, unit=" s"))
    return rows


if __name__ == "__main__":
    main()
