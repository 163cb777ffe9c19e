"""The feature space: CKA against the textbook, all-pairs neighbours against bare faiss, a whole report of four domains.

python benchmarks/analysis.py            # all three
python benchmarks/analysis.py --only report
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import torch
from common import Bar, Report, arguments, finish, in_turns, seconds, shared_data
from domains import SECRET, build_domains
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from radnet.analysis.neighbours import nearest_neighbours
from radnet.analysis.report.run import analyze
from radnet.analysis.report.settings import settings_from_overrides
from radnet.analysis.similarity import linear_cka_matrix
from radnet.scans.keys import KeyedHash
from radnet.scans.phantom import write_phantom_archive
from radnet.shards.build import BuildSettings, build_shards

THREADS = 2
MODELS = ("timm:tf_efficientnet_lite0", "random:tf_efficientnet_lite0", "random:resnet10t")
COPIES = (("abdomen_pelvis_ts1", "abdomen_ts1_short"), ("thorax_cta_aorta", "thorax_cta_pulmonary"))
"""Volumes that show the same, as the data's README says."""
GIB = 1 << 30


def textbook_cka(x: NDArray[np.float32], y: NDArray[np.float32], dtype: type = np.float32) -> float:
    """Linear CKA from centred N x N Gram matrices of a precision: float32 is quick, float64 is what it should be."""
    grams = []
    for features in (x.astype(dtype), y.astype(dtype)):
        gram = features @ features.T
        mean = gram.mean(0)
        gram -= mean
        gram -= mean[:, None]
        gram += mean.mean()
        grams.append(gram)
    k, m = grams
    return float(np.vdot(k, m) / np.sqrt(np.vdot(k, k)) / np.sqrt(np.vdot(m, m)))


def measure_cka(report: Report, quick: bool) -> None:
    items, d, layers = (1000, 64, 3) if quick else (10_000, 768, 12)
    generator = np.random.default_rng(0)
    shared = generator.normal(size=(items, d)).astype(np.float32)
    xs, ys = (
        [shared + (1 + n) * 0.3 * generator.normal(size=(items, d)).astype(np.float32) for n in range(layers)]
        for _ in range(2)
    )
    tried = [(0, 0), (layers - 1, 1)] if quick else [(0, 0), (0, layers - 1), (layers - 1, 1)]
    found = np.zeros((layers, layers))

    def ours() -> float:
        def work() -> None:
            found[:] = linear_cka_matrix(xs, ys)

        return seconds(work)

    def theirs() -> float:
        return seconds(lambda: [textbook_cka(xs[i], ys[j]) for i, j in tried])

    turns = in_turns({"ours": ours, "textbook": theirs}, 1)
    i, j = tried[-1]
    difference = abs(textbook_cka(xs[i], ys[j], np.float64) - found[i, j])
    whole = turns["textbook"] / len(tried) * layers**2
    report.add(
        f"linear CKA, {layers} x {layers} layers, {items} x {d}",
        [
            {"arm": "linear_cka_matrix", "s": turns["ours"], "pairs": layers**2},
            {"arm": "textbook, as measured", "s": turns["textbook"], "pairs": len(tried)},
            {"arm": "textbook, all pairs (extrapolated)", "s": whole, "pairs": layers**2},
        ],
    )
    report.notes.append(f"the textbook was timed in float32, on {len(tried)} pairs, which cost the same as any other")
    report.bars.append(Bar("linear CKA against the textbook", whole / turns["ours"], 10))
    report.bars.append(Bar("difference to the textbook in float64", max(difference, 1e-12), 1e-5, False, ""))


def measure_neighbours(report: Report, quick: bool, turns: int) -> None:
    items, d, k = (3000, 32, 20) if quick else (100_000, 384, 20)
    features = np.random.default_rng(0).normal(size=(items, d)).astype(np.float32)

    def bare() -> float:
        with threadpool_limits(limits=THREADS):
            return seconds(lambda: faiss.knn(features, features, k, metric=faiss.METRIC_INNER_PRODUCT))

    def ours() -> float:
        return seconds(lambda: nearest_neighbours(features, k, threads=THREADS))

    found = in_turns({"bare faiss.knn": bare, "nearest_neighbours": ours}, turns)
    report.add(f"all-pairs neighbours, {items} x {d}, k {k}", [{"arm": a, "s": s} for a, s in found.items()])
    ratio = found["nearest_neighbours"] / found["bare faiss.knn"]
    report.bars.append(Bar("all-pairs neighbours against bare faiss.knn", ratio, 1.5, at_least=False))


def phantom_domains(out: Path) -> dict[str, Path]:
    """Two sets of phantoms in place of the real domains."""
    sets = {}
    for number, name in enumerate(("ct", "ct_other")):
        write_phantom_archive(out / f"{name}_archive", patients=4, series_per_patient=1, slices=4, size=48, seed=number)
        build_shards(
            out / f"{name}_archive", out / name, KeyedHash(SECRET), BuildSettings(split_fractions=(0.5, 0.2, 0.3))
        )
        sets[name] = out / name
    return sets


def measure_report(report: Report, quick: bool, work: Path) -> None:
    data = None if quick else shared_data()
    if data is None:
        report.notes.append("the report is of phantoms: no real data (RADNET_SHARED), or --quick")
    sets = phantom_domains(work) if data is None else build_domains(data, work)
    models = ["random:test_resnet", "random:test_vit"] if quick else list(MODELS)
    overrides = [
        f"models=[{','.join(models)}]",
        f"tasks=[{','.join(map(str, sets.values()))}]",
        f"out={work / 'report'}",
    ]
    overrides += [f"cache={work / 'cache'}", "device=cpu"]
    overrides += ["size=32", "permutations=19", "resamples=100", "map=none", "within=[]"] if quick else []
    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    with threadpool_limits(limits=THREADS):
        analyze(settings_from_overrides(overrides))
    spent_s = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    row = {"models": len(models), "sets": len(sets), "s": spent_s, "peak GiB": peak}
    if not quick:
        row["again, s"] = seconds(lambda: analyze(settings_from_overrides(overrides)))
    numbers = work / "report" / "numbers"
    domains = pd.read_parquet(numbers / "domains.parquet")
    report.add("a report", [row])
    report.bars.append(Bar("report, wall time", spent_s / 60, 10, False, " min"))
    report.bars.append(Bar("report, peak memory", peak, 4, False, " GiB"))
    if data is None or "auc" not in domains:
        return
    wanted = (domains["model"] == MODELS[0]) & (domains["set"] == "ct") & (domains["other"] == "natural")
    apart = domains[wanted].iloc[0]
    report.add(
        "CT against ImageNet pictures", [{name: apart[name] for name in ("auc", "auc_low", "auc_high", "a_distance")}]
    )
    report.bars.append(Bar("domain AUC of ImageNet weights, CT against natural pictures", apart["auc"], 0.99, unit=""))
    found = pd.read_parquet(numbers / "duplicates.parquet")
    keys = KeyedHash(SECRET)
    rows = []
    for names in COPIES:
        series = {keys.key("series", f"ct/{name}/ct.nii.gz") for name in names}
        pairs = found[[{a, b} == series for a, b in zip(found["series"], found["other_series"], strict=True)]]
        rows.append({"volumes": " and ".join(names), "pairs found": len(pairs)})
        report.bars.append(Bar(f"repeated slices of {names[1]} found", len(pairs), 1, unit=""))
    report.add("pictures that are there twice", rows)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("cka", "neighbours", "report"), help="one of the three")
    parser.add_argument("--turns", type=int, default=1, help="of the neighbour searches")
    parser.add_argument("--work", type=Path, help="directory of sets, features and the report; by default thrown away")
    options: argparse.Namespace = parser.parse_args()
    report = Report("analysis", {"threads": THREADS, "models": MODELS})
    # first: the peak of its memory is that of the process
    if options.only in (None, "report"):
        with tempfile.TemporaryDirectory() as scratch:
            measure_report(report, options.quick, options.work or Path(scratch))
    if options.only in (None, "cka"):
        with threadpool_limits(limits=THREADS):
            measure_cka(report, options.quick)
    if options.only in (None, "neighbours"):
        measure_neighbours(report, options.quick, options.turns)
    finish(report, options)


if __name__ == "__main__":
    sys.exit(main())
