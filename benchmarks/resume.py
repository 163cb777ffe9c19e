"""Time to the first batch after resuming at 90 % of an epoch, against a fresh start.

    python benchmarks/resume.py [--turns 5] [--samples 12000000]

Every start is a process of its own; its time runs from opening the set to the first batch, imports left out (with them
the ratios would only be nearer to 1). Once over a set as it is, once over an order of 12 million samples, made of the
same few slices again and again. That the batches are the same after resuming is checked as well.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import Bar, Report, arguments, finish, slices_512, slices_native
from loader import shard_set

from radnet.shards import Batch, BatchOrder, ShardSet, Stream
from radnet.views import SimclrViews

AT = 0.9
MOST = 1.3
BATCH = 16
WORKERS = (0, 2)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, default=5, help="starts of each kind; the median counts")
    parser.add_argument("--samples", type=int, default=12_000_000, help="length of the long order")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(**json.loads(options.child))))
        return
    if options.quick:
        options.turns, options.samples = 1, 20_000
    report = Report("resume", {"turns": options.turns, "samples": options.samples, "at": AT, "batch": BATCH})
    each = 32 if options.quick else 24
    with tempfile.TemporaryDirectory() as scratch:
        slices = slices_512(4, report) + [hu for group in slices_native(each, report).values() for hu in group]
        path = Path(scratch) / "set"
        own = len(shard_set(Path(scratch), slices))
        rows, numbers = [], WORKERS[:1] if options.quick else WORKERS
        for samples in (own, options.samples):
            for workers in numbers:
                rows.append(row := compare(path, samples, workers, options.turns))
                what = f"{samples} samples, {workers} workers: resumed / fresh"
                report.bars.append(Bar(what, row["resumed / fresh"], MOST, at_least=False))
        report.add(f"Time to the first batch; resumed at {100 * AT:.0f} % of an epoch", rows)
        for workers in numbers:
            report.bars.append(Bar(f"{workers} workers: equal batches after resuming", same(path, own, workers), 1.0))
    finish(report, options)


def compare(path: Path, samples: int, workers: int, turns: int) -> dict[str, Any]:
    """Medians of fresh and resumed starts in turns."""
    found: dict[float, list[float]] = {0.0: [], AT: []}
    for _ in range(turns):
        for at in found:
            found[at].append(start(path=str(path), samples=samples, workers=workers, at=at)["first_batch_s"])
    fresh, resumed = statistics.median(found[0.0]), statistics.median(found[AT])
    return {
        "samples": samples,
        "workers": workers,
        "fresh s": fresh,
        "resumed s": resumed,
        "resumed / fresh": resumed / fresh,
    }


def same(path: Path, samples: int, workers: int) -> float:
    """Share of batches after resuming at 90 % that an uninterrupted run had too, in their order."""
    whole = start(path=str(path), samples=samples, workers=workers, at=0.0, batches=10**9)["sha256"]
    rest = start(path=str(path), samples=samples, workers=workers, at=AT, batches=10**9)["sha256"]
    return float(np.mean([a == b for a, b in zip(whole[-len(rest) :], rest, strict=True)]))


def start(**what: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", json.dumps(what)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - itself
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def child(path: str, samples: int, workers: int, at: float, batches: int = 1) -> dict[str, Any]:
    """Start a stream at a share of the epoch and read from there."""
    begun = time.perf_counter()
    shards = ShardSet.open(path)
    rows = np.resize(shards.rows(), samples)
    stream = Stream(shards, rows, SimclrViews(), BatchOrder(samples, BATCH), workers=workers)
    if at:
        stream.load_state_dict({**stream.state_dict(), "step": int(at * len(stream))})
    first_batch_s, found = 0.0, []
    for batch in stream:
        first_batch_s = first_batch_s or time.perf_counter() - begun
        found.append(sha256_of(batch))
        if len(found) >= batches:
            break
    stream.close()
    return {"first_batch_s": first_batch_s, "sha256": found}


def sha256_of(batch: Batch) -> str:
    digest = hashlib.sha256(batch.rows.numpy().tobytes())
    for view in batch.views:
        digest.update(view.numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
