"""`radnet benchmark`: plan the cells, run those that are missing, sum up."""

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from radnet.console import say, warn
from radnet.errors import RadnetError, UsageError
from radnet.transfer.cells import EvaluationSettings
from radnet.transfer.evaluate import with_differences
from radnet.transfer.features import default_cache
from radnet.transfer.suites.cost import Cost, costs_of, measured_gflops_per_s
from radnet.transfer.suites.outcomes import Done, read_done
from radnet.transfer.suites.plan import PlannedCell, plan_cells
from radnet.transfer.suites.spec import BenchmarkConfig, Suite
from radnet.transfer.suites.work import Bench, Place, comparisons, work_through

SUITE = ".suite"
"""Directory in the results for locks and for what became of cells; no record lies there."""


@dataclass(frozen=True)
class Benchmark:
    """A suite that is ready to run.

    Attributes:
        config: Settings of the command.
        suite: The suite.
        plan: Its cells.
        place: Where it works.
        device: Where models run.
    """

    config: BenchmarkConfig
    suite: Suite
    plan: list[PlannedCell]
    place: Place
    device: str

    @classmethod
    def of(cls, config: BenchmarkConfig, suite: Suite, device: str, run: str | None = None) -> "Benchmark":
        """Plan the cells.

        Args:
            config: Settings of the command.
            suite: The suite.
            device: Where models run.
            run: Name of this run of the suite, a new one when None.

        Raises:
            UsageError: An entry of the suite is wrong.
        """
        results = Path(config.results)
        name = run or uuid.uuid4().hex[:12]
        place = Place(Path(config.data), results, results / SUITE / "runs" / name)
        return cls(config, suite, plan_cells(suite, config.only), place, device)

    def settings(self) -> EvaluationSettings:
        """What all cells share."""
        config = self.config
        return EvaluationSettings(
            cache=Path(config.cache) if config.cache else default_cache(),
            resamples=config.resamples,
            batch_size=config.batch_size,
            workers=config.workers,
            device=self.device,
            repeat=config.repeat,
            pretraining_sets=tuple(Path(place) for place in (config.data, *config.pretraining_sets)),
        )

    def bench(self) -> Bench:
        """What the cells use."""
        return Bench(self.place, self.settings())

    def costs(self) -> dict[str, Cost]:
        """Cost of every cell by key."""
        speed = self.config.gflops_per_s or measured_gflops_per_s(self.device)
        nominal = self.suite.nominal_items, self.suite.nominal_architecture
        return costs_of(self.plan, self.place.data, *nominal, gflops_per_s=speed)


class Progress:
    """Tells how many cells are done and about how much time is left.

    Args:
        plan: The cells.
        costs: Gives their cost by key, when a cell was computed for the first time; where a cost is not known a cell
            counts as much as the mean of the others.
    """

    def __init__(self, plan: Sequence[PlannedCell], costs: Callable[[], Mapping[str, Cost]]) -> None:
        self._costs = costs
        self._words = {cell.key: cell.words for cell in plan}
        self._worth: dict[str, float] = {}
        self._started_s = time.monotonic()
        self.done: dict[str, Done] = {}

    def __call__(self, done: Done) -> None:
        """Count a cell, and say where the suite stands when it was computed."""
        self.done[done.key] = done
        if done.status == "computed":
            say(self.line(done))
        elif done.status in ("failed", "unavailable"):
            warn(self.line(done))

    def line(self, done: Done) -> str:
        """Where the suite stands after a cell."""
        total, left_s = len(self._words), self.left_s()
        about = "" if left_s is None or len(self.done) == total else f", about {duration(left_s)} left"
        words = f"[{len(self.done)}/{total}{about}] {done.status}: {self._words[done.key]}: {done.reason}"
        return f"{words}, {duration(done.seconds)}" if done.status == "computed" else words

    def left_s(self) -> float | None:
        """About how long the rest takes at the pace of what was computed, None before there is a pace."""
        elapsed_s = time.monotonic() - self._started_s
        computed = [key for key, entry in self.done.items() if entry.status == "computed"]
        if not computed:
            return None
        self._worth = self._worth or self._estimates()
        paid = sum(self._worth[key] for key in computed)
        return sum(worth for key, worth in self._worth.items() if key not in self.done) * elapsed_s / paid

    def _estimates(self) -> dict[str, float]:
        costs = self._costs()
        known = [cost.seconds for cost in costs.values() if cost.seconds is not None]
        mean_s = sum(known) / len(known) if known else 1.0
        return {key: mean_s if (seconds := costs[key].seconds) is None else seconds for key in self._words}


def duration(seconds: float) -> str:
    """Words for a time: "12 s", "4 min", "3.2 h", "2.1 days"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 86400 else f"{seconds / 86400:.1f} days"


def run_benchmark(benchmark: Benchmark, overrides: Sequence[str]) -> dict[str, Done]:
    """Run a suite to its end.

    Args:
        benchmark: The suite.
        overrides: Those of the command, which other processes are started with.

    Returns:
        What became of every cell, by key.
    """
    from radnet.transfer.suites.launch import is_local, launch_workers

    plan, place = benchmark.plan, benchmark.place
    place.run.mkdir(parents=True, exist_ok=True)
    progress, bench = Progress(plan, benchmark.costs), benchmark.bench()
    try:
        if is_local(overrides):
            if benchmark.config.jobs > 1:
                raise UsageError(
                    "Several jobs need a launcher",
                    seen=f"jobs={benchmark.config.jobs}",
                    fix="Add hydra/launcher=joblib (this machine) or hydra/launcher=submitit_slurm (a cluster)",
                )
            work_through(plan, bench, progress)
        else:
            launch_workers(benchmark, overrides, progress)
            for done in read_done(place.run, progress.done).values():
                progress(done)
        lost = [cell for cell in plan if cell.key not in progress.done]
        for cell in lost:
            progress(Done(cell.key, "failed", 0.0, None, "the process that computed it died; run the suite again"))
        compare(benchmark, bench, progress.done)
    finally:
        _tidy(place)
    return progress.done


def compare(benchmark: Benchmark, bench: Bench, done: Mapping[str, Done]) -> None:
    """Give every finished record its paired differences to the reference of its comparison.

    Args:
        benchmark: The suite.
        bench: What its cells use.
        done: What became of them.
    """
    cells = {key: entry.cell for key, entry in done.items() if entry.cell and entry.status != "unavailable"}
    computed = Counter(entry.status for entry in done.values())["computed"]
    if computed and benchmark.suite.reference:
        say(f"paired differences to {benchmark.suite.reference}")
    for comparison in comparisons(benchmark.plan, bench, cells):
        for cell in comparison.cells:
            try:
                record = with_differences(cell, comparison.references, comparison.column)
            except RadnetError as error:
                warn(f"{cell.record.model.name} has no paired difference: {error}")
                continue
            if record != cell.record:
                bench.add_differences(record)


def _tidy(place: Place) -> None:
    """Remove what this run has left, but for tracebacks."""
    for file in place.run.glob("*.json"):
        file.unlink(missing_ok=True)
    if place.run.is_dir() and not any(place.run.iterdir()):
        shutil.rmtree(place.run, ignore_errors=True)
