"""From 5,000 result records to the site, twice, and the page with their rows in Chromium.

    python benchmarks/leaderboard.py [--models 20]

The records are made up: models x 10 tasks x 5 protocols x 5 fractions, with learning curves, class scores, tests and
resamples. The browser is Debian's chromium, driven by playwright; without it the two bars of the page are left out.
"""

import hashlib
import math
import random
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import Bar, Report, arguments, finish, seconds

from radnet.leaderboard import write_leaderboard
from radnet.records import (
    Counts,
    Curve,
    Difference,
    Interval,
    ModelCard,
    Overlap,
    ProtocolCard,
    Resampled,
    ResultRecord,
    TaskCard,
    cell_hash,
    current_environment,
    write_record,
)

TASKS = (
    "body_region", "lits_liver", "brats_tumour", "chestxray14", "head_hemorrhage", "covid_ct", "organ_mnist",
    "contrast_phase", "liver_lesion", "vertebra_group",
)  # fmt: skip
PROTOCOLS = ("knn", "linear", "finetune", "segment", "paper-linear")
FRACTIONS = (1.0, 0.5, 0.1, 0.01, 0.001)
ARCHITECTURES = ("resnet50", "vit_small_patch16_224", "tf_efficientnet_lite0", "convnext_tiny")
QUALITY = {"imagenet": 0.03, "random": -0.12, "in-domain": 0.04}
METRIC = "balanced_accuracy"
CLASSES = ("head", "neck", "thorax", "abdomen", "pelvis", "legs")
MOST_S, PAGE_MOST_S = 20.0, 1.5
EPOCHS, RESAMPLES = 30, 400
HERE = current_environment()

SORT = """async () => {
  const start = performance.now();
  RADNET_GRID.setSort("score", "desc");
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - start;
}"""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--models", type=int, default=20, help="models; each has 250 records")
    options = parser.parse_args()
    tasks = 1 if options.quick else len(TASKS)
    models = 8 if options.quick else options.models
    report = Report("leaderboard", {"models": models, "tasks": tasks})
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        count = sum(1 for record in records(models, tasks) if write_record(record, results / "made"))
        rows, pages = [], []
        for turn in range(2):
            before = cpu_s()
            wall = seconds(lambda: write_leaderboard(results))
            rows.append({"turn": turn + 1, "records": count, "wall s": wall, "CPU s": cpu_s() - before})
            pages.append(content_hash(results))
        report.add("records to site", rows)
        report.bars += [
            Bar(f"{count} records to site", min(row["wall s"] for row in rows), MOST_S, at_least=False, unit=" s"),
            Bar("different bytes the second time", float(pages[0] != pages[1]) or 1e-9, 0.5, at_least=False, unit=""),
        ]
        report.notes.append("the records are made up: nothing here comes from a phantom or a patient")
        browse(results / "site" / "index.html", count, report)
    finish(report, options)


def cpu_s() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def content_hash(results: Path) -> str:
    """One hash over all that the leaderboard wrote."""
    digest = hashlib.sha256()
    for path in sorted(results.rglob("*")):
        if path.is_file() and "made" not in path.parts:
            digest.update(path.relative_to(results).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def browse(page: Path, count: int, report: Report) -> None:
    """First paint and one sort, in milliseconds of the browser's own clock; the median of three visits."""
    path = shutil.which("chromium")
    if path is None:
        report.notes.append("no chromium: the page was not opened")
        return
    from playwright.sync_api import sync_playwright

    rows = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for visit in range(3):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.as_uri())
            tab.wait_for_selector(".tabulator-row")
            paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
            table = tab.evaluate("performance.now()") / 1000
            rows.append(
                {"visit": visit + 1, "first paint s": paint, "table s": table, "sort s": tab.evaluate(SORT) / 1000}
            )
            tab.close()
        browser.close()
    report.add(f"the page with {count} rows", rows)
    for name in ("first paint s", "sort s"):
        middle = sorted(row[name] for row in rows)[1]
        report.bars.append(Bar(f"{count} rows: {name[:-2]}", middle, PAGE_MOST_S, at_least=False, unit=" s"))


def records(models: int, tasks: int) -> Iterator[ResultRecord]:
    """Made-up records, the same in every run."""
    generator = random.Random(0)  # noqa: S311
    cards = list(model_cards(models))
    for number, task in enumerate(TASKS[:tasks]):
        task_card = TaskCard(name=task, manifest_hash=sha(task), metric=METRIC, classes=CLASSES, synthetic=False)
        for protocol in PROTOCOLS:
            protocol_card = ProtocolCard(name=protocol, settings={"epochs": EPOCHS}, hash=sha(protocol))
            for fraction in FRACTIONS:
                shared = [generator.gauss(0, 0.02) for _ in range(RESAMPLES)]
                for card in cards:
                    yield record(card, task_card, protocol_card, fraction, number, shared, generator)


def model_cards(count: int) -> Iterator[ModelCard]:
    """ImageNet and random weights of every architecture, then in-domain models."""
    for number in range(count):
        architecture = ARCHITECTURES[number // 2 % 4] if number < 8 else ARCHITECTURES[number % 4]
        arm = ("imagenet", "random")[number % 2] if number < 8 else "in-domain"
        name = {"imagenet": f"timm:{architecture}", "random": f"random:{architecture}"}.get(
            arm, f"run:archive/{number}"
        )
        yield ModelCard(
            name=name,
            arm=arm,
            architecture=architecture,
            weights_sha256=sha(name),
            pretraining={"imagenet": "ImageNet-1k", "random": "none"}.get(arm, f"our CT, {1000 * number} steps"),
            method=None if arm == "random" else "simclr",
            parameters=25_000_000,
            in_chans=3 if arm == "imagenet" else 1,
            synthetic=False,
        )


def record(
    model: ModelCard,
    task: TaskCard,
    protocol: ProtocolCard,
    fraction: float,
    number: int,
    shared: list[float],
    generator: random.Random,
) -> ResultRecord:
    """One made-up record of a task, harder with its number."""
    half, patients = 0.012 + 0.006 * number, 60 - 5 * number
    level = 0.8 - 0.03 * number + QUALITY[model.arm] + 0.05 * math.log10(fraction) + generator.gauss(0, 0.01)
    value = min(max(level, 0.05), 0.95)
    differences = None
    if model.arm != "imagenet":
        gap = QUALITY[model.arm] - 0.03 + generator.gauss(0, 0.012)
        p = min(1.0, max(1e-4, math.erfc(abs(gap) / half * 1.96 / math.sqrt(2))))
        differences = {
            f"{METRIC} vs timm:{model.architecture}": Difference(
                value=gap, low=gap - half, high=gap + half, p=p, test="randomisation of patients", patients=patients
            )
        }
    rising = tuple(round(value - 0.3 * math.exp(-epoch / 5) + generator.gauss(0, 0.004), 4) for epoch in range(EPOCHS))
    falling = tuple(round(0.2 + 2 * math.exp(-epoch / 6) + generator.gauss(0, 0.02), 4) for epoch in range(EPOCHS))
    epochs = tuple(float(epoch) for epoch in range(EPOCHS))
    return ResultRecord(
        created="2026-01-31T12:00:00+00:00",
        status="done",
        model=model,
        task=task,
        protocol=protocol,
        fraction=fraction,
        seed=0,
        counts=Counts(
            train_items=max(1, int(3200 * fraction)),
            val_items=400,
            test_items=1000,
            train_patients=max(1, int(200 * fraction)),
            val_patients=30,
            test_patients=patients,
        ),
        metrics={
            METRIC: Interval(value=value, low=value - half, high=value + half),
            "macro_auroc": Interval(value=0.97, low=0.95, high=0.98),
        },
        selected={"epoch": 29},
        differences=differences,
        per_class={"f1": {name: Interval(value=value, low=value - half, high=value + half) for name in CLASSES}},
        curves={
            f"val_{METRIC}": Curve(over="epoch", at=epochs, values=rising),
            "train_loss": Curve(over="epoch", at=epochs, values=falling),
        },
        overlap=Overlap(checked=True, test_items=1000, sets=(sha("set"),)) if model.arm == "in-domain" else None,
        resampled=Resampled(
            draws=sha(f"{task.name} {protocol.name} {fraction}"),
            values=tuple(round(value + noise + generator.gauss(0, 0.005), 6) for noise in shared),
        ),
        environment=HERE,
        wall_time_s=12.5,
        cell=cell_hash(model, task, protocol, fraction, 0),
    )


def sha(text: str) -> str:
    """64 hex digits that stand for a hash."""
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
