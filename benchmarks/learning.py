"""Whether pretraining teaches anything: every method's demo recipe against the weights that it starts from.

Run: python benchmarks/learning.py [--work DIR] [--methods mae dino simclr] [--seeds 0 1 2]

There are two synthetic sets. Each method of configs/experiment/*_demo.yaml is pretrained on the first with several
seeds. Probes learn from, and are scored on, the patients of the second, whom no pretraining has seen. The other arm is
the same backbone, of the same seeds, exported before its first step: same architecture, same initial weights, same
views, same path. Each arm counts with the better of its kNN and its linear probe, as they are in configs/protocol/. An
interval resamples patients and seeds (`radnet.transfer.statistics.seed_patient_bootstrap`).

The bar stands on the hardest task. Which one that is follows from the random weights alone, for each backbone: of the
tasks with at least LEAST_PATIENTS test patients on which random weights are told from chance (the lower end of their
interval lies above it), the one with the smallest (score - chance) / (1 - chance). A task on which they cannot be
told from chance may be one that pictures of this size do not show; it is printed like all others, and a note says so.

Real volumes (RADNET_SHARED): the same weights, pretrained on the phantom alone, on the body regions of real CT. These
are few patients: reported as they are, without a bar.

With --work DIR, what is there already (scans, runs, scores) is used again; runs of other settings are refused.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, Bar, Report, arguments, finish, shared_data
from numpy.typing import NDArray

from radnet.configs import compose, validated
from radnet.hashing import settings_hash
from radnet.models import ModelName
from radnet.pretrain.data import TrainingData
from radnet.pretrain.exporting import export_method, provenance
from radnet.pretrain.registry import build_method, resolve_method
from radnet.pretrain.settings import PretrainSettings
from radnet.records import Interval, write_record
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.shard_set import ShardSet
from radnet.transfer.cells import Column, EvaluationSettings, compute_cell
from radnet.transfer.metrics import METRICS
from radnet.transfer.protocols import build_protocol
from radnet.transfer.statistics import Statistic, seed_patient_bootstrap
from radnet.transfer.tasks import Task, task_items, task_named

METHODS = ("mae", "dino", "simclr")
TASKS = ("body_region", "vertebra_group", "contrast_phase", "liver_lesion")
REAL_SPLIT, REAL_SIZE, REAL_EVERY = (0.5, 0.15, 0.35), 128, 4
REAL_SECRET = KeyedHash(b"radnet benchmark: the scans are public, and so may be their secret")
LEAST_PATIENTS = 30
MOST_CORE_SECONDS = 15 * 60 * 2
"""15 minutes on two cores. Seconds of the processors, because other work on the machine does not count in them."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Phantom:
    """A set of synthetic patients.

    Attributes:
        seed: Two sets of different seeds are of different people.
        patients: How many.
        slices: Slices a series.
        split: Shares of train, val and test patients.
        series: Series a patient, of different body regions.
        pixels: Rows and columns.
    """

    seed: int
    patients: int
    slices: int
    split: tuple[float, float, float]
    series: int = 2
    pixels: int = 160

    def built(self, work: Path) -> ShardSet:
        """The set, made where it is not there yet."""
        folder = work / f"phantom-{settings_hash(asdict(self))[:8]}"
        archive = folder / "archive"
        if not archive.exists():
            write_phantom_archive(
                archive,
                patients=self.patients,
                seed=self.seed,
                series_per_patient=self.series,
                slices=self.slices,
                size=self.pixels,
                file_format="nifti",
                jobs=2,
            )
        # patients are numbered in every archive: with one secret the two sets would seem to share them
        secret = KeyedHash(f"radnet benchmark: nobody's scans, so nobody's secret {self.seed}".encode())
        return _built(archive, folder / "set", secret, BuildSettings(split_fractions=self.split))


PRETRAINING = Phantom(seed=0, patients=1200, slices=3, split=(1.0, 0.0, 0.0))
EVALUATION = Phantom(seed=1, patients=9600, slices=3, split=(0.45, 0.1, 0.45))
"""Many people and few slices of each. An interval is as wide as test patients are few, and a spot of some millimetres
is told from liver only where there are thousands of labels: with 1,400 of them a network that was taught with nothing
else came to an AUROC of 0.64 in test patients, no further than frozen features of SimCLR."""
QUICK_PRETRAINING = Phantom(seed=0, patients=24, slices=4, split=(1.0, 0.0, 0.0))
QUICK_EVALUATION = Phantom(seed=1, patients=48, slices=4, split=(0.3, 0.06, 0.64))


@dataclass(frozen=True)
class Recipe:
    """One run: where, the overrides of `radnet pretrain`, and what they make."""

    out: Path
    overrides: list[str]
    settings: PretrainSettings


@dataclass(frozen=True)
class Arm:
    """One side of a comparison on one task: the better protocol, its statistic of each seed, and the interval."""

    protocol: str
    statistics: list[Statistic]
    interval: Interval


@dataclass(frozen=True)
class Comparison:
    """Pretrained against random weights on one task."""

    task: Task
    patients: int
    items: int
    chance: float
    random: Arm
    pretrained: Arm
    difference: Interval

    @property
    def gap(self) -> float:
        """From the upper end of the random arm's interval to the lower end of the pretrained one's."""
        return self.pretrained.interval.low - self.random.interval.high

    @property
    def ease(self) -> float:
        """How far random weights come from chance (0) to faultless (1)."""
        return (self.random.interval.value - self.chance) / (1 - self.chance)

    @property
    def may_be_hardest(self) -> bool:
        """See the top of the file."""
        return self.patients >= LEAST_PATIENTS and self.random.interval.low > self.chance

    def row(self, hardest: bool) -> dict[str, Any]:
        """A line of the table."""
        return {
            "task": self.task.name + (" (hardest)" if hardest else ""),
            "metric": self.task.metric,
            "test patients": self.patients,
            "test slices": self.items,
            "chance": self.chance,
            "random weights": f"{_text(self.random.interval)} {self.random.protocol}",
            "pretrained": f"{_text(self.pretrained.interval)} {self.pretrained.protocol}",
            "difference, paired": _text(self.difference, "+"),
            "intervals apart": "yes" if self.gap > 0 else "no",
        }


def main() -> None:
    """Parse, pretrain, evaluate, print."""
    parser = arguments(__doc__)
    parser.add_argument("--work", type=Path, help="where scans and runs stay; by default they are thrown away")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="at least two")
    options = parser.parse_args()
    if len(set(options.seeds)) < 2:
        parser.error("--seeds: two different ones at least, or the seeds' share of the interval is unknown")
    if options.work:
        _measure(options, options.work)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _measure(options, Path(folder))


def _measure(options: argparse.Namespace, work: Path) -> None:
    used = (QUICK_PRETRAINING, QUICK_EVALUATION) if options.quick else (PRETRAINING, EVALUATION)
    sets = dict(zip(("pretraining", "evaluation"), map(asdict, used), strict=True))
    report = Report("learning", {**sets, "seeds": options.seeds, "resamples": RESAMPLES, "tasks": TASKS})
    report.notes.append("all patients of the tables but the last are synthetic: these figures say nothing of real ones")
    phantom, evaluation = (one.built(work) for one in used)
    real = _real(work / "real", report) if not options.quick else None
    recipes = {method: _recipes(method, phantom, work, options) for method in options.methods}
    with ThreadPoolExecutor(2) as pool:
        everything = [recipe for of_method in recipes.values() for recipe in of_method]
        seconds = dict(zip([recipe.out for recipe in everything], pool.map(_train, everything), strict=True))
    training, reals = [], []
    for method, of_method in recipes.items():
        facts = _facts(method, of_method, [seconds[recipe.out] for recipe in of_method], phantom)
        training.append(facts)
        size = int(of_method[0].settings.method["views"]["size"])
        arms = {
            "random": [_untrained(recipe) for recipe in of_method],
            "pretrained": [recipe.out / "export" for recipe in of_method],
        }
        compared = [_compare(arms, task_named(task, size=size), evaluation, phantom, work) for task in TASKS]
        _judge(method, facts, compared, report)
        if real is not None:
            on_real = _compare(arms, task_named("body_region", size=size), real, phantom, work)
            reals.append({"method": method} | on_real.row(hardest=False))
    report.add("Pretraining: the slowest seed, start and export included; every run on one thread", training)
    if reals:
        report.add("Body region of real volumes; pretrained on the phantom alone", reals)
    finish(report, options)


def _judge(method: str, facts: dict[str, Any], compared: list[Comparison], report: Report) -> None:
    """A table and the bars of one method."""
    candidates = [comparison for comparison in compared if comparison.may_be_hardest]
    hardest = min(candidates, key=lambda comparison: comparison.ease) if candidates else None
    report.add(
        f"{method}: {facts['backbone']} pretrained on the phantom against the weights it starts from",
        [comparison.row(comparison is hardest) for comparison in compared],
    )
    out = [comparison.task.name for comparison in compared if not comparison.may_be_hardest]
    if out:
        report.notes.append(f"{method}: not asked which is hardest (few patients, or random as good as chance): {out}")
    if hardest is not None:
        what = f"{method} on {hardest.task.name}: its interval above that of random weights, by"
        report.bars.append(Bar(what, hardest.gap, 0.0, unit=""))
    report.bars.append(
        Bar(f"{method}: core seconds of a training", facts["core seconds"], MOST_CORE_SECONDS, False, " s")
    )


def _real(folder: Path, report: Report) -> ShardSet | None:
    """The set of real CT, as in examples/real_ct.sh but thinned out; None where there are no real data."""
    data = shared_data()
    if data is None:
        report.notes.append("no real volumes: RADNET_SHARED holds none")
        return None
    sys.path.insert(0, str(ROOT / "examples"))
    from real_ct_metadata import main as write_metadata

    archive = folder / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    for name in ("ct_volumes", "dicom_series"):
        if not (archive / name).exists():
            (archive / name).symlink_to(data / name)
    write_metadata(data, archive / "metadata.csv")
    settings = BuildSettings(split_fractions=REAL_SPLIT, size=REAL_SIZE, every=REAL_EVERY)
    return _built(archive, folder / "set", REAL_SECRET, settings)


def _built(archive: Path, out: Path, secret: KeyedHash, settings: BuildSettings) -> ShardSet:
    if not (out / "manifest.json").exists():
        build_shards(archive, out, secret, settings, jobs=2)
    return ShardSet.open(out)


def _recipes(method: str, phantom: ShardSet, work: Path, options: argparse.Namespace) -> list[Recipe]:
    """The runs of one method, one a seed."""
    found = []
    for seed in options.seeds:
        out = work / f"{method}-{seed}{'-quick' if options.quick else ''}"
        overrides = [
            f"experiment={method}_demo",
            f"data={phantom.path}",
            f"out={out}",
            f"seed={seed}",
            "monitors.tensorboard=false",  # neither changes the run
            "monitors.curves=false",
            *(["epochs=1", "schedule.warmup_epochs=0", "batch_size=16"] if options.quick else []),
        ]
        settings = validated(PretrainSettings, compose("pretrain", overrides), "the settings of radnet pretrain")
        found.append(Recipe(out, overrides, settings))
    return found


def _train(recipe: Recipe) -> float:
    """`radnet pretrain` as anybody runs it, on one thread; the processor seconds of it and its loader worker."""
    clock = recipe.out.with_name(f"{recipe.out.name}.core_seconds.json")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "radnet", "pretrain", *recipe.overrides]
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - itself
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    if not clock.exists():  # otherwise this run was finished before
        clock.write_text(json.dumps(round(usage.ru_utime + usage.ru_stime, 1)))
    return float(json.loads(clock.read_text()))


def _facts(method: str, recipes: list[Recipe], seconds: list[float], phantom: ShardSet) -> dict[str, Any]:
    """What is to be known about the training of one method."""
    settings, slices = recipes[0].settings, len(phantom.rows("train"))
    return {
        "method": method,
        "backbone": settings.backbone,
        "arguments": ", ".join(f"{name}={value}" for name, value in settings.backbone_arguments.items()) or "-",
        "train slices": slices,
        "epochs": settings.epochs,
        "steps": settings.epochs * (slices // settings.batch_size),
        "core seconds": max(seconds),
    }


def _untrained(recipe: Recipe) -> Path:
    """The backbone as the run with these settings finds it before its first step."""
    settings = recipe.settings
    data = TrainingData.open(settings)
    resolved = resolve_method(settings.method, slices=len(data.rows))
    method = build_method(
        resolved, settings.backbone, seed=settings.seed, backbone_arguments=settings.backbone_arguments
    )
    out = recipe.out.with_name(f"{recipe.out.name}-untrained")
    return export_method(method, out, settings, provenance(settings, data, {}), overwrite=True)


def _compare(
    arms: dict[str, list[Path]], task: Task, shards: ShardSet, pretraining: ShardSet, work: Path
) -> Comparison:
    """Both arms on one task of `shards`; overlap with `pretraining` is looked for."""
    items = task_items(task, shards)
    test = items.side("test")
    target, patients = items.target[test], items.patients[test]
    interval = partial(seed_patient_bootstrap, patients=patients, resamples=RESAMPLES, seed=0)
    settings = EvaluationSettings(
        cache=work / "cache",
        resamples=100,  # intervals are made here
        workers=2,
        pretraining_sets=(pretraining.path,),
    )
    columns = [
        Column(task, protocol, shards, items, items.side("train"), work / "cells", settings)
        for protocol in (build_protocol("knn", threads=2), build_protocol("linear", threads=2))
    ]

    def arm(exports: list[Path]) -> Arm:
        found = []
        for column in columns:
            statistics = [_statistic(export, column, target) for export in exports]
            found.append(Arm(column.protocol.name, statistics, interval(statistics)))
        return max(found, key=lambda one: one.interval.value)

    random, pretrained = arm(arms["random"]), arm(arms["pretrained"])
    pairs = zip(pretrained.statistics, random.statistics, strict=True)
    present = len(np.unique(target))
    return Comparison(
        task=task,
        patients=len(np.unique(patients)),
        items=len(test),
        chance=0.5 if task.metric == "macro_auroc" else 1 / present,
        random=random,
        pretrained=pretrained,
        difference=interval([partial(_difference, own, other) for own, other in pairs]),
    )


def _difference(own: Statistic, other: Statistic, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return own(weight) - other(weight)


def _statistic(export: Path, column: Column, target: NDArray[np.int64]) -> Statistic:
    """The task's metric of one export with one protocol, as a function of item weights."""
    cell = compute_cell(ModelName("local-dir", str(export)), column)
    if cell.outcome is None or cell.outcome.scores is None:
        raise SystemExit(f"no scores for {export}")
    write_record(cell.record, column.results)  # a second call with --work takes it from there
    return METRICS[column.task.metric].statistic(target, cell.outcome.scores)


def _text(interval: Interval, sign: str = "") -> str:
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


if __name__ == "__main__":
    main()
