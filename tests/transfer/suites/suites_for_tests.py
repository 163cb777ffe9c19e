"""A small suite on the phantom set, and its records without what time and place leave in them."""

import json
from pathlib import Path
from typing import Any

from radnet.shards import ShardSet
from radnet.transfer.suites.run import Benchmark
from radnet.transfer.suites.spec import BenchmarkConfig, Suite

LEFT_OUT = ("created", "wall_time_s", "environment")


def suite_of(**changes: Any) -> Suite:
    """Two models, two protocols, two fractions, one task."""
    task = {"use": "vertebra_group", "set": "phantom", "size": 32}
    block = {
        "experiment": "T",
        "models": ["first", "second"],
        "tasks": [task],
        "protocols": ["knn", "linear"],
        "fractions": [1.0, 0.5],
    }
    settings = {
        "name": "test",
        "description": "for tests",
        "models": {"first": "random:resnet10t", "second": "random:resnet14t"},
        "reference": "first",
        "blocks": [block],
    }
    return Suite.model_validate({**settings, **changes})


def benchmark_of(root: Path, shards: ShardSet, suite: Suite | None = None, **changes: Any) -> Benchmark:
    """A benchmark below `root` whose set is the phantom's."""
    data = root / "data"
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "phantom").exists():
        (data / "phantom").symlink_to(shards.path)
    settings: dict[str, Any] = {
        "suite": {},
        "data": str(data),
        "work": str(root / "work"),
        "results": str(root / "results"),
        "prepare": False,
        "jobs": 1,
        "only": {},
        "resamples": 100,
        "batch_size": 32,
        "workers": 0,
        "device": "cpu",
        "cache": str(root / "cache"),
        "repeat": False,
        "pretraining_sets": (),
        "gflops_per_s": 10.0,
    }
    return Benchmark.of(BenchmarkConfig.model_validate({**settings, **changes}), suite or suite_of(), "cpu")


def contents(results: Path) -> dict[str, Any]:
    """Records by file, without `LEFT_OUT`, and predictions by file."""
    found: dict[str, Any] = {}
    for file in sorted(results.glob("*.json")):
        record = json.loads(file.read_text())
        found[file.name] = {key: value for key, value in record.items() if key not in LEFT_OUT}
    for file in sorted((results / "predictions").glob("*.parquet")):
        found[file.name] = file.read_bytes()
    return found
