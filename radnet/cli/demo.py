"""`radnet demo`: the whole path on synthetic scans, from files to a leaderboard."""

import os
import shutil
import time
from pathlib import Path

from radnet.console import say, show, warn
from radnet.errors import UsageError
from radnet.files import require_new_directory, write_atomically
from radnet.leaderboard import render_terminal, write_leaderboard
from radnet.models import ModelName
from radnet.pretrain.run import pretrain
from radnet.records import ResultRecord
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.shard_set import ShardSet
from radnet.transfer.cells import EvaluationSettings
from radnet.transfer.evaluate import evaluate
from radnet.transfer.protocols import build_protocol
from radnet.transfer.tasks import task_named

BACKBONE = "resnet10t"
SIZE = 64
TASKS = ("body_region", "vertebra_group", "contrast_phase", "liver_lesion")
PROTOCOLS = ("knn", "linear")
PATIENTS, SERIES, SLICES, PIXELS = 120, 2, 20, 160
SPLIT = (0.6, 0.15, 0.25)
MARKER = "RADNET_DEMO.txt"
PUBLIC_SECRET = KeyedHash(b"radnet demo: nobody's scans, so nobody's secret")
"""The phantom's patients do not exist; a fixed secret gives everybody the same split."""


def run_demo(out: Path, results: Path, *, patients: int | None, epochs: int | None, overwrite: bool) -> None:
    """Make scans, build shards, pretrain, compare, rank.

    Args:
        out: Directory of scans, shards and the run.
        results: Directory of the leaderboard; the demo's records go to `demo/` in it and replace earlier ones.
        patients: Number of synthetic patients, None for the default.
        epochs: Epochs of pretraining, None for the recipe's.
        overwrite: Replace an earlier demo.

    Raises:
        UsageError: `out` exists.
        RadnetError: A step failed.
    """
    started_s = time.monotonic()
    _make_room(out, overwrite)
    jobs = os.cpu_count() or 1
    archive, shards, run, records = out / "archive", out / "shards", out / "run", results / "demo"
    say("1/5 synthetic CT scans (a phantom: nobody's anatomy)")
    write_phantom_archive(
        archive, patients=patients or PATIENTS, series_per_patient=SERIES, slices=SLICES, size=PIXELS, jobs=jobs
    )
    say("2/5 shards")
    build_shards(archive, shards, PUBLIC_SECRET, BuildSettings(split_fractions=SPLIT), jobs=jobs)
    say(f"3/5 pretraining: SimCLR on {BACKBONE}")
    overrides = ["experiment=demo", f"backbone={BACKBONE}", f"data={shards}", f"out={run}", f"method.views.size={SIZE}"]
    pretrain(overrides + ([f"epochs={epochs}"] if epochs else []))
    say("4/5 comparison on patients that pretraining has not seen")
    shutil.rmtree(records, ignore_errors=True)
    rows = _compare(ShardSet.open(shards), run, records, out / "cache")
    say("5/5 leaderboard")
    page = write_leaderboard(results).page
    show(render_terminal(rows))
    better = beats_random(rows)
    if better:
        say(f"Pretraining beats random weights on unseen patients, 95 % intervals apart, on: {', '.join(better)}")
    else:
        warn(
            "Pretraining does not beat random weights with 95 % intervals apart on any task: too few patients or epochs"
        )
    say(f"synthetic scans  {archive}")
    say(f"shard set        {shards}")
    say(f"run              {run}   (load it as run:{run})")
    say(f"result records   {records}")
    say(f"leaderboard      {page}")
    say(f"the demo took {time.monotonic() - started_s:.0f} s")


def _compare(shards: ShardSet, run: Path, records: Path, cache: Path) -> list[ResultRecord]:
    models = [f"run:{run}", f"random:{BACKBONE}", "timm:tf_efficientnet_lite0", f"timm:{BACKBONE}"]
    settings = EvaluationSettings(cache=cache, workers=1)
    rows: list[ResultRecord] = []
    for task in TASKS:
        for protocol in PROTOCOLS:
            names = [ModelName.parse(name) for name in models]
            rows += evaluate(names, task_named(task, size=SIZE), build_protocol(protocol), shards, records, settings)
    return rows


def beats_random(records: list[ResultRecord]) -> list[str]:
    """The tasks, with their protocol, on which the pretrained row lies above the random one with intervals apart."""
    rows = {(record.task.name, record.protocol.name, record.model.arm): record for record in records}
    better = []
    for task, protocol, arm in sorted(rows):
        random = rows.get((task, protocol, "random"))
        if arm == "in-domain" and random is not None:
            pretrained = rows[task, protocol, arm]
            metric = pretrained.task.metric
            if pretrained.metrics[metric].low > random.metrics[metric].high:
                better.append(f"{task} ({protocol})")
    return better


def _make_room(out: Path, overwrite: bool) -> None:
    """An empty directory that says what it is; only an earlier demo is ever removed."""
    require_new_directory(out, overwrite=overwrite)
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise UsageError(
            "This directory holds something else than a demo, which is not replaced",
            file=out,
            fix="Choose another path, or remove the directory yourself",
        )
    shutil.rmtree(out, ignore_errors=True)
    write_atomically(
        out / MARKER, "Made by radnet demo from synthetic scans; radnet demo --overwrite removes this directory.\n"
    )
