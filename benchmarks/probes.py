"""The probes on frozen features: kNN and a sweep of the linear probe against scikit-learn, and both within a limit.

    python benchmarks/probes.py [--turns 3]

- kNN: radnet's search against scikit-learn's brute force, 20,000 training and 5,000 test items of 384 dimensions, one
  thread each. The neighbours must be the same ones.
- Sweep: the linear probe with its 13 regularisations against the same with one, and against one fit of scikit-learn's
  LogisticRegression, on features that are as correlated as a network's.
- Memory: both probes in a process that may allocate a tenth of what the features take on disk (RLIMIT_DATA counts
  what is allocated, not what is mapped). The features are memory-mapped.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import Bar, Report, arguments, finish, in_turns, seconds
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from radnet.transfer.contract import FeatureRows, FeatureSplit
from radnet.transfer.knn import KnnProtocol, nearest, unit_length
from radnet.transfer.linear import STRENGTHS, LinearProtocol

SAME_ANSWER = 1e-5


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, default=3, help="turns of each arm; the median counts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        limited(json.loads(options.child))
        return
    report = Report("probes", {"turns": options.turns})
    with threadpool_limits(limits=1):
        compare_knn(report, options.turns, quick=options.quick)
        compare_sweep(report, options.turns, quick=options.quick)
    within_limit(report, quick=options.quick)
    finish(report, options)


def network_like(items: int, dimensions: int, classes: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features with the spectrum of a network's: a few strong directions, many weak ones, not negative in the main."""
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=items)
    strength = np.logspace(0, -2, 64)
    hidden = (rng.normal(size=(items, 64)) + 0.4 * rng.normal(size=(classes, 64))[target]) * strength
    features = np.maximum(
        hidden @ rng.normal(size=(64, dimensions)) + 0.01 * rng.normal(size=(items, dimensions)), -0.5
    )
    return features.astype(np.float32), target


def compare_knn(report: Report, turns: int, *, quick: bool) -> None:
    """20,000 x 5,000 x 384, k = 200."""
    base, query = (2_000, 500) if quick else (20_000, 5_000)
    features, _ = network_like(base + query, 384, 10, 0)
    train, test = features[:base], features[base:]
    found: dict[str, Any] = {}

    def radnet() -> float:
        return seconds(lambda: found.update(radnet=nearest(train, test, k=200)))

    def library() -> float:
        def search() -> None:
            # on features of unit length the Euclidean order is that of the cosine, and scikit-learn's quickest path
            index = NearestNeighbors(n_neighbors=200, algorithm="brute").fit(unit_length(train))
            distance, neighbour = index.kneighbors(unit_length(test))
            found.update(library=(1 - distance**2 / 2, neighbour))

        return seconds(search)

    times = in_turns({"radnet (faiss)": radnet, "scikit-learn brute force": library}, turns)
    similarity = float(np.abs(found["radnet"][0] - found["library"][0]).max())
    same = float((np.sort(found["radnet"][1], 1) == np.sort(found["library"][1], 1)).all(1).mean())
    rows = [{"search": name, "seconds": value} for name, value in times.items()]
    report.add(f"{base:,} x {query:,} x 384, k = 200", rows)
    report.bars += [
        Bar("kNN: speed against scikit-learn", times["scikit-learn brute force"] / times["radnet (faiss)"], 1.0),
        Bar("kNN: largest difference of a similarity", similarity, SAME_ANSWER, at_least=False, unit=""),
        Bar("kNN: items with the same 200 neighbours (the rest ties in the last digit)", same, 0.99, unit=""),
    ]


def split(features: Any, target: NDArray[np.int64]) -> FeatureSplit:
    """A split whose items have a patient each."""
    return FeatureSplit(features, target, np.arange(len(target)).astype(np.str_))


def compare_sweep(report: Report, turns: int, *, quick: bool) -> None:
    """13 regularisations against one."""
    items, dimensions, classes = (600, 128, 4) if quick else (4_000, 512, 8)
    features, target = network_like(items + 2_000, dimensions, classes, 1)
    train = split(features[:items], target[:items])
    val = split(features[items : items + 1_000], target[items : items + 1_000])
    test = features[items + 1_000 :]

    def probe(strengths: tuple[float, ...]) -> float:
        protocol = LinearProtocol(C=strengths)
        return seconds(
            lambda: protocol.fit_predict(train, val, test, classes=classes, metric="balanced_accuracy", seed=0)
        )

    def library() -> float:
        def fit() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scaled = StandardScaler().fit_transform(train.features)
                LogisticRegression(C=1.0, max_iter=1000).fit(scaled, train.target)

        return seconds(fit)

    arms = {
        "13 regularisations": lambda: probe(STRENGTHS),
        "one (C = 1)": lambda: probe((1.0,)),
        "scikit-learn, one fit (C = 1)": library,
    }
    times = in_turns(arms, turns)
    rows = [{"linear probe": name, "seconds": value} for name, value in times.items()]
    report.add(f"{items:,} items, {dimensions} dimensions, {classes} classes", rows)
    sweep = times["13 regularisations"]
    report.bars += [
        Bar("sweep of 13 against one fit", sweep / times["one (C = 1)"], 3.0, at_least=False),
        Bar("sweep of 13 against one fit of scikit-learn", sweep / times["scikit-learn, one fit (C = 1)"], 3.0, False),
    ]


def within_limit(report: Report, *, quick: bool) -> None:
    """Both probes on features of ten times what the process may allocate for its work."""
    items, dimensions = (200_000, 256) if quick else (500_000, 512)
    allowance = items * dimensions * 4 // (2 if quick else 10)
    with tempfile.TemporaryDirectory(prefix="radnet-probes-") as folder:
        rng = np.random.default_rng(2)
        target = rng.integers(2, size=items)
        file = Path(folder) / "features.npy"
        stored = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(items, dimensions))
        for start in range(0, items, 10_000):
            part = target[start : start + 10_000]
            stored[start : start + 10_000] = rng.normal(size=(len(part), dimensions)) + 0.1 * part[:, None]
        stored.flush()
        np.save(Path(folder) / "target.npy", target)
        del stored
        settings = {"folder": folder, "allowance": allowance}
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--child", json.dumps(settings)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603
    if done.returncode:
        report.notes.append(f"the limited process failed: {done.stderr.strip().splitlines()[-1:]}")
    rows = json.loads(done.stdout) if done.returncode == 0 else []
    if rows:
        report.add(f"features of {items * dimensions * 4 / 1e6:.0f} MB, {allowance / 1e6:.0f} MB allowed", rows)
    report.bars.append(Bar("probes that finish within the limit", len(rows), 2, unit=""))


def limited(settings: dict[str, Any]) -> None:
    """The child: everything is loaded and warm, then the limit is set."""
    folder = Path(settings["folder"])
    features = np.load(folder / "features.npy", mmap_mode="r")
    target = np.load(folder / "target.npy")
    warm, _ = network_like(300, features.shape[1], 2, 3)
    patients = np.full(len(target), "p")
    rows = []
    protocols = [LinearProtocol(), KnnProtocol()]
    for protocol in protocols:
        small = FeatureSplit(warm, np.arange(300) % 2, patients[:300])
        protocol.fit_predict(small, small, warm, classes=2, metric="accuracy", seed=0)
    used = allocated()
    resource.setrlimit(resource.RLIMIT_DATA, (used + settings["allowance"], resource.RLIM_INFINITY))
    held_out = len(target) - 2_000
    train = FeatureSplit(FeatureRows(features, np.arange(held_out)), target[:held_out], patients[:held_out])
    val = FeatureSplit(
        FeatureRows(features, np.arange(held_out, held_out + 1_000)), target[held_out:-1_000], patients[:1_000]
    )
    test = FeatureRows(features, np.arange(held_out + 1_000, len(target)))
    for protocol in protocols:
        start = time.perf_counter()
        result = protocol.fit_predict(train, val, test, classes=2, metric="accuracy", seed=0)
        right = float((result.scores.argmax(1) == target[-1_000:]).mean())
        rows.append({"probe": protocol.name, "seconds": time.perf_counter() - start, "accuracy": right})
    sys.stdout.write(json.dumps(rows))


def allocated() -> int:
    """Bytes that RLIMIT_DATA counts: private writable memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmData"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this benchmark needs /proc (Linux)")


if __name__ == "__main__":
    main()
