"""Peak memory of build and stream as the data grow tenfold, and of one large series.

    python benchmarks/memory.py [--series 8] [--large 1000]

Memory is the resident set of a process and all its children, added, read from /proc every 20 ms; the largest sum
counts. Pages that processes share count once for each, which does not flatter radnet.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from archives import template, volume_of, write_dicom, write_nifti
from common import Bar, Report, arguments, finish, real_volumes, slices_512, slices_native

from radnet.scans.keys import KeyedHash
from radnet.shards import BatchOrder, ShardSet, Stream
from radnet.shards.build import build_shards
from radnet.views import SimclrViews

GROWTH = 10
MOST_GROWTH, MOST_GB = 1.1, 1.5
SLICES = 40
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TIMEOUT_S = 900


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--series", type=int, default=8, help="series of the small archive; the other has ten times")
    parser.add_argument("--large", type=int, default=1000, help="slices of 512 px of the large series")
    parser.add_argument("--jobs", type=int, default=2, help="processes that build, and workers of the stream")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(**json.loads(options.child))
        return
    slices = SLICES
    if options.quick:
        options.series, options.large, slices = 2, 60, 4
    report = Report("memory", {"series": options.series, "large": options.large, "jobs": options.jobs})
    with tempfile.TemporaryDirectory() as scratch:
        report.add(f"Archives of {slices} slices a series", growth(Path(scratch), options, slices, report))
        report.add(f"One series of {options.large} slices of 512 px, one job", large(Path(scratch), options, report))
    finish(report, options)


def growth(root: Path, options: argparse.Namespace, slices: int, report: Report) -> list[dict[str, Any]]:
    """Build and stream, small and ten times as large."""
    head = real_volumes().get("head_invesalius")
    source = list(head[20:100]) if head is not None else next(iter(slices_native(24, report).values()))
    like, rows = template(), []
    for count in (options.series, GROWTH * options.series):
        archive, out = root / f"archive{count}", root / f"set{count}"
        for number in range(count):
            write_dicom(volume_of(source, slices, number), archive / f"patient{number}", number, like)
        build = peak_gb(what="build", archive=str(archive), out=str(out), jobs=options.jobs)
        stream = peak_gb(what="stream", archive="", out=str(out), jobs=options.jobs)
        rows.append({"series": count, "slices": count * slices, "build GB": build, "stream GB": stream})
    for what in ("build", "stream"):
        ratio = rows[1][f"{what} GB"] / rows[0][f"{what} GB"]
        report.bars.append(Bar(f"{what}: memory at {GROWTH} x the data", ratio, MOST_GROWTH, at_least=False))
    return rows


def large(root: Path, options: argparse.Namespace, report: Report) -> list[dict[str, Any]]:
    """The large series, as DICOM and as NIfTI."""
    hu = volume_of(slices_512(12, report), options.large, 0)
    write_dicom(hu, root / "dicom" / "patient", 0, template())
    write_nifti(hu, root / "nifti" / "patient")
    del hu
    rows = []
    for kind in ("dicom", "nifti"):
        peak = peak_gb(what="build", archive=str(root / kind), out=str(root / f"large_{kind}"), jobs=1)
        rows.append({"kind": kind, "peak GB": peak})
        report.bars.append(Bar(f"{options.large} x 512 px, {kind}", peak, MOST_GB, at_least=False, unit=" GB"))
    return rows


def child(what: str, archive: str, out: str, jobs: int) -> None:
    """What is measured, in a process of its own."""
    if what == "build":
        build_shards(Path(archive), Path(out), KeyedHash(bytes(32)), jobs=jobs)
        return
    shards = ShardSet.open(out)
    batch = min(16, len(shards))
    stream = Stream(shards, shards.rows(), SimclrViews(), BatchOrder(len(shards), batch), workers=jobs)
    for epoch in range(2):
        for number, _ in enumerate(stream):
            if number == 60 // (epoch + 1):
                break
    stream.close()


def peak_gb(**what: Any) -> float:
    """Run a child and watch it.

    Raises:
        SystemExit: It failed, or took too long.
    """
    command = [sys.executable, __file__, "--child", json.dumps(what)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)  # noqa: S603 - itself
        peak, end = 0, time.monotonic() + TIMEOUT_S
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            if time.monotonic() > end:
                process.kill()
                raise SystemExit(f"{what} took more than {TIMEOUT_S} s")
            time.sleep(0.02)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{what} failed:\n{errors.read()}")
    return peak / 1e9


def resident_bytes(pid: int) -> int:
    """Of a process and all below it; 0 for those that are gone."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return 0
    return own + sum(resident_bytes(one) for one in children)


if __name__ == "__main__":
    main()
