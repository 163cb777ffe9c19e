"""Build of compressed DICOM against bare pydicom decoding of the same files on the same cores, in one run.

    python benchmarks/build.py [--jobs 2] [--turns 2] [--series 16] [--slices 60]

One archive a transfer syntax, of series of 256 and 512 px made of real slices, large enough that what a build costs
once counts as little as it does for a user: some tenths of a second, and the last series, beside which the other
workers have nothing left to do. `build` is everything from the first look at the
archive to the finished set; `bare` is `pydicom.dcmread(file).pixel_array` and nothing else. Both have worker processes
that are already there. The second table is one job's time by stage, for a series of each size.
"""

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pydicom
from archives import SYNTAXES, compress, template, volume_of, write_dicom
from common import Bar, Report, Slice, arguments, finish, in_turns, real_volumes, seconds, slices_512, slices_native
from numpy.typing import NDArray

from radnet.scans.archive import read_series, take_inventory
from radnet.scans.keys import KeyedHash
from radnet.shards.build import BuildSettings, build_shards
from radnet.shards.codec import encode

LEAST = 0.75
HASHER = KeyedHash(bytes(32))
FILES_A_TASK = 8
STAGED_SERIES = 2


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="processes of both arms")
    parser.add_argument("--turns", type=int, default=2, help="turns of both arms; the median counts")
    parser.add_argument("--series", type=int, default=16, help="series of each of the two sizes")
    parser.add_argument("--slices", type=int, default=60, help="slices a series")
    options = parser.parse_args()
    if options.quick:
        options.turns, options.series, options.slices = 1, 2, 6
    report = Report("build", {name: getattr(options, name) for name in ("jobs", "turns", "series", "slices")})
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        volumes = source_slices(report)
        rows, stages = [], []
        for syntax in SYNTAXES:
            archive = write_archive(root / syntax, volumes, options.series, options.slices, syntax)
            rows.append(compare(archive, root / "sets", syntax, options.jobs, options.turns))
            stages.append(by_stage(archive, syntax))
    report.add("Files a second", rows)
    report.add("One job, ms a file", stages)
    for row in rows:
        report.bars.append(Bar(f"{row['syntax']}: build / bare", row["build / bare"], LEAST))
    whole = sum(row["bare s"] for row in rows) / sum(row["build s"] for row in rows)
    report.bars.append(Bar("all together: build / bare", whole, LEAST))
    finish(report, options)


def source_slices(report: Report) -> list[list[Slice]]:
    """Slices of 256 px, then of 512 px."""
    volumes = real_volumes()
    head = volumes.get("head_invesalius")
    small = list(head[20:100]) if head is not None else next(iter(slices_native(24, report).values()))
    return [small, slices_512(12, report)]


def write_archive(root: Path, volumes: list[list[Slice]], series: int, count: int, syntax: str) -> Path:
    """Some series a size, each of a patient of its own."""
    like = template()
    for number in range(series * len(volumes)):
        hu = volume_of(volumes[number % len(volumes)], count, number)
        write_dicom(hu, root / f"patient{number}", number, like)
    compress(root, SYNTAXES[syntax])
    return root


def compare(archive: Path, sets: Path, syntax: str, jobs: int, turns: int) -> dict[str, Any]:
    files = sorted(archive.rglob("*.dcm"))
    tasks = [files[start : start + FILES_A_TASK] for start in range(0, len(files), FILES_A_TASK)]
    out = sets / archive.name

    def bare() -> float:
        with joblib.Parallel(n_jobs=jobs, batch_size=1) as parallel:
            return seconds(lambda: parallel(joblib.delayed(decode_pixels)(task) for task in tasks))

    def build() -> float:
        took = seconds(lambda: built.append(build_shards(archive, out, HASHER, jobs=jobs, overwrite=True)))
        return took

    built: list[Any] = []
    bare(), build()  # the workers start, and the files come into the page cache
    took = in_turns({"bare": bare, "build": build}, turns)
    stored = built[-1].manifest.totals.samples
    if stored != len(files):
        raise SystemExit(f"{syntax}: {stored} slices of {len(files)} files")
    return {
        "syntax": syntax,
        "files": len(files),
        "bare s": took["bare"],
        "build s": took["build"],
        "bare files/s": len(files) / took["bare"],
        "build files/s": len(files) / took["build"],
        "build / bare": took["bare"] / took["build"],
    }


def decode_pixels(files: list[Path]) -> int:
    """What the bare arm does; returns the sum of sizes, so that nothing large crosses between processes."""
    return sum(pydicom.dcmread(file).pixel_array.nbytes for file in files)


def by_stage(archive: Path, syntax: str) -> dict[str, Any]:
    """Where one process spends its time."""
    archive = _some_of(archive, STAGED_SERIES)
    files = sorted(archive.rglob("*.dcm"))
    whole = seconds(lambda: build_shards(archive, archive.parent / "one_job", HASHER, BuildSettings(), overwrite=True))
    inventory_s = seconds(lambda: take_inventory(archive, HASHER))
    inventory = take_inventory(archive, HASHER)
    read_s = encode_s = 0.0
    for source in inventory.series:
        start = time.perf_counter()
        scan = read_series(source).scan
        read_s += time.perf_counter() - start
        encode_s += seconds(partial(_encode_all, scan.voxels))
    bare_s = seconds(lambda: decode_pixels(files))
    each = {"bare": bare_s, "inventory": inventory_s, "read": read_s, "encode": encode_s}
    each["rest"] = whole - inventory_s - read_s - encode_s
    return {"syntax": syntax} | {name: 1e3 * value / len(files) for name, value in each.items()}


def _encode_all(slices: NDArray[Any]) -> None:
    for one in slices:
        encode(one)


def _some_of(archive: Path, count: int) -> Path:
    """The first patients of an archive, as an archive of its own."""
    some = archive.with_name(f"{archive.name}-some")
    for patient in sorted(archive.iterdir())[:count]:
        shutil.copytree(patient, some / patient.name)
    return some


if __name__ == "__main__":
    main()
