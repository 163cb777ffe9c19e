"""Time the synthetic archive: how long 200 series take on two cores, against the bound of 120 seconds.

Run: python benchmarks/phantom_speed.py [--series 200] [--slices 40] [--size 256] [--jobs 2]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from joblib.externals.loky import get_reusable_executor

from radnet.scans.phantom import write_phantom_archive

BOUND_S = 120.0
BOUND_SERIES = 200
SERIES_PER_PATIENT = 2


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=BOUND_SERIES, help="an even number")
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    patients = max(arguments.series // SERIES_PER_PATIENT, 1)
    count = patients * SERIES_PER_PATIENT
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "archive"
        started = time.perf_counter()
        write_phantom_archive(
            out,
            patients=patients,
            series_per_patient=SERIES_PER_PATIENT,
            slices=arguments.slices,
            size=arguments.size,
            jobs=arguments.jobs,
        )
        took = time.perf_counter() - started
        megabytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    get_reusable_executor().shutdown(wait=True)  # only then do the workers' processor times count
    used = sum(os.times()[:4])
    share = took / (BOUND_S * count / BOUND_SERIES)
    shape = f"{arguments.slices} x {arguments.size} x {arguments.size}"
    print(f"{count} series of {shape}, {arguments.jobs} jobs, {megabytes:.0f} MB")
    print(f"{took:.1f} s, {count / took:.2f} series/s, {100 * share:.0f} % of the bound ({BOUND_S:.0f} s for 200)")
    print(f"{used:.1f} processor seconds, {used / count:.2f} a series (start of the processes included)")


if __name__ == "__main__":
    main()
