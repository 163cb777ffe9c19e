"""What the benchmarks share: real slices, measuring in turns, bars, and the report.

Every speed is a ratio within one run. Arms take turns (A B A B …), so a busy moment of the machine hits all of them,
and each arm's number is the median of its turns.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from radnet.scans.phantom import phantom_series

ROOT = Path(__file__).resolve().parents[1]
Slice = NDArray[np.int16]
PACKAGES = ("radnet", "blosc2", "lightly", "numpy", "opencv-python-headless", "pydicom", "torch", "torchvision")
VOLUMES = ("head_invesalius", "head_atlas", "sts_036", "sts_047", "sts_005", "thorax_lung_pat2", "thorax_cta_aorta")
SERIES_512 = "liver_3slice"
AIR_HU = -1024


@dataclass(frozen=True)
class Bar:
    """One thing that must be reached.

    Attributes:
        what: In words.
        value: Measured.
        limit: What is asked for.
        at_least: Whether larger is better; otherwise `value` must not exceed `limit`.
        unit: After the number ("x", " GB").
    """

    what: str
    value: float
    limit: float
    at_least: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return bool(self.value >= self.limit if self.at_least else self.value <= self.limit)


@dataclass
class Report:
    """Tables, bars and notes of one script."""

    name: str
    settings: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table; the columns are the keys of its first row."""
        self.tables[title] = [dict(row) for row in rows]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go; by default runs/benchmarks/NAME.json")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: shows that it works, not how fast")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    return parser


def finish(report: Report, options: argparse.Namespace) -> None:
    """Print the report, write its JSON, and exit with 1 if --check was given and a bar is missed."""
    machine = described_machine()
    console = Console(width=None if sys.stdout.isatty() else 140)
    for title, rows in report.tables.items():
        table = Table(*rows[0], title=title, title_justify="left")
        for row in rows:
            table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(table)
    if report.bars:
        table = Table("bar", "measured", "asked", "", title="Bars", title_justify="left")
        for bar in report.bars:
            sign = ">=" if bar.at_least else "<="
            verdict = "pass" if bar.met else "FAIL"
            table.add_row(bar.what, f"{bar.value:.3g}{bar.unit}", f"{sign} {bar.limit:g}{bar.unit}", verdict)
        console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        f"{machine['cores']} cores, load average {machine['load_average']}, {machine['versions']}", markup=False
    )
    file = options.json or ROOT / "runs" / "benchmarks" / f"{report.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    bars = [asdict(bar) | {"met": bar.met} for bar in report.bars]
    content = asdict(report) | {"bars": bars, "machine": machine, "quick": options.quick}
    file.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    console.print(f"figures: {file}", markup=False)
    if options.check and not all(bar.met for bar in report.bars):
        raise SystemExit(1)


def described_machine() -> dict[str, Any]:
    """Cores, how busy they are, and versions."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": versions,
    }


def in_turns(arms: Mapping[str, Callable[[], float]], turns: int) -> dict[str, float]:
    """The median over `turns` of what each arm returns; the arms take turns.

    A turn whose arms run in the same minute is compared with itself only through the medians: print ratios of them.
    """
    found: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(turns):
        order = list(arms) if turn % 2 == 0 else list(reversed(arms))
        for name in order:
            found[name].append(arms[name]())
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def shared_data() -> Path | None:
    """The real data, where they are: RADNET_SHARED, by default ../shared beside the checkout."""
    data = (ROOT / os.environ.get("RADNET_SHARED", "../shared")).resolve() / "data"
    return data if data.is_dir() else None


def real_volumes(least_slices: int = 1) -> dict[str, NDArray[np.int16]]:
    """Real CT volumes by name, int16 HU, (Z, Y, X); empty where there are none."""
    data = shared_data()
    volumes: dict[str, NDArray[np.int16]] = {}
    for name in VOLUMES if data else ():
        file = data / "ct_volumes" / name / "ct.nii.gz" if data else Path()
        if file.is_file():
            hu = np.asanyarray(nib.load(file).dataobj).T
            if len(hu) >= least_slices:
                volumes[name] = np.ascontiguousarray(hu[:, ::-1]).astype(np.int16)
    return volumes


def slices_512(count: int, report: Report) -> list[Slice]:
    """Slices of 512 px: the three real ones, mirrored and shifted by a few pixels where more are asked for."""
    data = shared_data()
    found = []
    for file in sorted((data / "dicom_series" / SERIES_512).rglob("*")) if data else ():
        if file.is_file() and (header := pydicom.dcmread(file, force=True)).get("Modality") == "CT":
            hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
            found.append(np.clip(hu, AIR_HU, 32767).astype(np.int16))
    if not found:
        report.notes.append("512 px slices are of the phantom: no real data (RADNET_SHARED)")
        found = list(phantom_series(0, 0, "abdomen", slices=min(count, 16), size=512).hu)
    real = len(found)
    while len(found) < count:
        number = len(found)
        shifted = np.roll(found[number % real], (number // real, 2 * (number // real)), axis=(0, 1))
        found.append(np.ascontiguousarray(shifted[:, ::-1] if number // real % 2 else shifted))
    return found[:count]


def slices_native(count: int, report: Report) -> dict[str, list[Slice]]:
    """Real slices at their own size, `count` of each volume, evenly through it."""
    volumes = real_volumes()
    if not volumes:
        report.notes.append("slices are of the phantom: no real data (RADNET_SHARED)")
        volumes = {"phantom abdomen": phantom_series(0, 0, "abdomen", slices=max(count, 8), size=256).hu}
    found = {}
    for name, hu in volumes.items():
        picked = np.linspace(len(hu) // 8, len(hu) * 7 // 8, min(count, len(hu)), dtype=int)
        found[f"{name} {hu.shape[1]}x{hu.shape[2]}"] = [np.ascontiguousarray(hu[z]) for z in picked]
    return found
