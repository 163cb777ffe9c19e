"""`radnet benchmark`: what is missing is made, the cells run, a table says what became of them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radnet.cli.benchmark_tables import overlap_table, plan_table, reasons_table, summary_table
from radnet.console import say, show
from radnet.errors import RadnetError, UsageError
from radnet.locks import waiting_lock
from radnet.models.load import RUN_EXPORT
from radnet.scans.keys import KeyedHash
from radnet.shards.manifest import MANIFEST
from radnet.shards.settings import BuildSettings
from radnet.transfer.run import device_named
from radnet.transfer.suites.run import Benchmark, run_benchmark
from radnet.transfer.suites.spec import SetRecipe, read_benchmark

PUBLIC_SECRET = KeyedHash(b"radnet benchmark: public data and synthetic scans, so nobody's secret")
"""Suites make sets of public or synthetic data only; a fixed secret gives everybody the same split."""


def run_suite(overrides: Sequence[str], *, dry_run: bool) -> int:
    """Run a suite, or list its cells with their cost.

    Args:
        overrides: Hydra overrides of `configs/benchmark.yaml`.
        dry_run: Only list.

    Returns:
        The exit code: 1 when a cell failed.

    Raises:
        UsageError: A setting is wrong.
        RadnetError: A set or run that the suite makes itself cannot be made.
    """
    config, suite = read_benchmark(list(overrides))
    benchmark = Benchmark.of(config, suite, device_named(config.device))
    if dry_run:
        for table in plan_table(benchmark.plan, benchmark.costs(), benchmark.place.data):
            show(table)
        return 0
    if config.prepare:
        _make_what_is_missing(benchmark)
    done = run_benchmark(benchmark, [*_without_suite(overrides), f"suite={suite.name}"])
    show(summary_table(benchmark.plan, done))
    overlaps = overlap_table(benchmark, done)
    if overlaps is not None:
        show(overlaps)
    reasons = reasons_table(benchmark.plan, done)
    if reasons is not None:
        show(reasons)
    say(f"records: {config.results}   (tables: radnet leaderboard --results {config.results})")
    return 1 if any(entry.status == "failed" for entry in done.values()) else 0


def _without_suite(overrides: Sequence[str]) -> list[str]:
    return [word for word in overrides if not word.startswith("suite=")]


def _make_what_is_missing(benchmark: Benchmark) -> None:
    """Sets, then runs, that cells of the plan need and that the suite knows how to make."""
    suite, data = benchmark.suite, benchmark.place.data
    arms = {cell.arm for cell in benchmark.plan}
    runs = {arm: recipe for arm, recipe in suite.pretraining.items() if arm in arms}
    needed = [cell.set_name for cell in benchmark.plan] + [recipe.set for recipe in runs.values()]
    for name in dict.fromkeys(needed):
        recipe = suite.sets.get(name)
        if recipe is not None and not (data / name / MANIFEST).is_file():
            with waiting_lock(data / f".{name}.making", f"the set {name}"):
                if not (data / name / MANIFEST).is_file():
                    say(f"making the set {name}")
                    _make_set(recipe, data / name, suite.sources)
    for arm, run in runs.items():
        model = str(suite.models[arm])
        out = Path(model.removeprefix("run:"))
        if model.startswith("run:") and not (out / RUN_EXPORT).is_dir():
            from radnet.pretrain.run import pretrain  # takes seconds, and is rarely needed

            with waiting_lock(out.with_name(f".{out.name}.making"), f"the run of the arm {arm}"):
                say(f"pretraining for the arm {arm}")
                pretrain([f"data={data / run.set}", f"out={out}", *run.overrides])


def _make_set(recipe: SetRecipe, out: Path, sources: str | None) -> None:
    from radnet.scans.phantom import write_phantom_archive
    from radnet.shards.build import build_shards

    if recipe.phantom is not None:
        archive = out.with_name(f"{out.name}.archive")
        shutil.rmtree(archive, ignore_errors=True)
        write_phantom_archive(archive, **recipe.phantom)
        build_shards(archive, out, PUBLIC_SECRET, _settings(recipe))
        shutil.rmtree(archive, ignore_errors=True)
        return
    source = Path(sources or ".") / recipe.source
    if not source.exists():
        raise UsageError("The source of a set is not there", file=source, fix="Correct suite.sources, or prepare=false")
    if recipe.archive:
        build_shards(source, out, PUBLIC_SECRET, _settings(recipe))
        return
    if recipe.task is None:
        raise RadnetError(
            "The suite does not say how this set is made", file=out, fix="Give it task, archive or phantom"
        )
    from radnet.configs import validated
    from radnet.transfer.prepare import PrepareOptions, is_public, prepare_task
    from radnet.transfer.tasks import task_named

    task = task_named(recipe.task)
    options = validated(PrepareOptions, recipe.options, f"the options of the set {out.name}")
    prepare_task(task, source, out, None if is_public(task) else PUBLIC_SECRET, options)


def _settings(recipe: SetRecipe) -> BuildSettings:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in recipe.options.items()
    }
    try:
        return BuildSettings(**values)
    except TypeError as error:
        raise UsageError(f"A set of the suite has a wrong option: {error}", seen=recipe.options) from error
