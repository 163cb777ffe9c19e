"""The mini suite from nothing, and the same command again.

    python benchmarks/suite.py [--suite mini]

Every call is a process of its own, as a user starts it, in an empty directory: sets, pretraining, features and records
are made from nothing. The second call must find everything and write nothing. Beside the time by the clock stands the
processor time, which other work on the machine lengthens far less.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, Bar, Report, arguments, finish, shared_data

FROM_NOTHING_S = 20 * 60
AGAIN_S = 10
CORES = 2
QUICK = (
    "suite=mini_phantom",
    "resamples=100",
    "suite.sets.phantom.phantom.patients=24",
    "suite.sets.phantom.phantom.size=48",
    "suite.sets.phantom.phantom.slices=6",
    "suite.sets.phantom_elsewhere.phantom.patients=20",
    "suite.sets.phantom_elsewhere.phantom.size=48",
    "suite.sets.phantom_elsewhere.phantom.slices=6",
    "suite.models={random:'random:resnet10t',imagenet:'timm:tf_efficientnet_lite0',in_domain:'random:resnet14t'}",
)
"""Smaller sets, and no pretraining."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--suite", default="mini", help="which suite")
    options = parser.parse_args()
    words = QUICK if options.quick else (f"suite={options.suite}",)
    report = Report("suite", {"overrides": list(words), "cores": CORES})
    if shared_data() is None or options.quick:
        report.notes.append("slices are of the phantom: no real data (RADNET_SHARED)")
    with tempfile.TemporaryDirectory() as scratch:
        first = run(Path(scratch), words)
        before = files(Path(scratch))
        again = run(Path(scratch), words)
        changed = [name for name, stamp in files(Path(scratch)).items() if before.get(name) != stamp]
    report.add("The same command twice", [{"call": "from nothing", **first}, {"call": "again", **again}])
    report.bars += [
        Bar("from nothing", first["seconds"], FROM_NOTHING_S, at_least=False, unit=" s"),
        Bar("again, nothing changed", again["seconds"], AGAIN_S, at_least=False, unit=" s"),
        Bar("cells computed from nothing", first["computed"], 60),
        Bar("files that the second call wrote", len(changed) + 1e-9, 0.5, at_least=False, unit=""),
    ]
    if changed:
        report.notes.append(f"written again: {', '.join(changed[:5])}")
    finish(report, options)


def run(place: Path, words: tuple[str, ...]) -> dict[str, Any]:
    """Call the command in a directory; its time by the clock and of processors, and how many cells it computed."""
    command = [sys.executable, "-m", "radnet", "benchmark", *words, f"cache={place / 'cache'}"]
    shared = os.environ.get("RADNET_SHARED", "../shared")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RADNET_SHARED": str((ROOT / shared).resolve())}
    spent_s, started_s = children_s(), time.perf_counter()
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - started_s
    if done.returncode:
        raise SystemExit(done.stderr[-4000:] + done.stdout[-2000:])
    lines = [line for line in done.stderr.splitlines() if line.startswith("[") and "] computed: " in line]
    return {"seconds": seconds, "processor s": children_s() - spent_s, "computed": float(len(lines))}


def children_s() -> float:
    """Processor time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def files(place: Path) -> dict[str, int]:
    """When each file was last written."""
    return {str(path.relative_to(place)): path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}


if __name__ == "__main__":
    main()
