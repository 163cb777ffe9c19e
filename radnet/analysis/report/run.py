"""`radnet analyze`: from settings to a report that can be interrupted and goes on."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from radnet.analysis.report.domains import domains_section
from radnet.analysis.report.html import Section, page, table, warning
from radnet.analysis.report.maps import MAP_PAGE, maps_section
from radnet.analysis.report.neighbours import neighbours_section
from radnet.analysis.report.sets import DomainSet, open_sets, shared_patients
from radnet.analysis.report.settings import AnalyzeSettings
from radnet.analysis.report.similarity import similarity_section
from radnet.analysis.report.spectrum import spectrum_section
from radnet.analysis.report.store import NUMBERS, Row, Store
from radnet.analysis.report.study import Study, extract
from radnet.analysis.report.wkw import wkw_section
from radnet.console import say
from radnet.errors import UsageError
from radnet.files import explained_disk_errors, write_atomically
from radnet.models import LoadedModel, ModelName, load_model
from radnet.models.load import check_model

INDEX = "index.html"
SECTIONS: tuple[tuple[str, Callable[[Study], Section]], ...] = (
    ("similarity", similarity_section),
    ("neighbours", neighbours_section),
    ("domains", domains_section),
    ("spectrum", spectrum_section),
    ("maps", maps_section),
    ("who knew what", wkw_section),
)
NOT_IN_BASE = (
    "models",
    "tasks",
    "out",
    "workers",
    "device",
    "cache",
    "batch_size",
    "records",
    "checkpoints",
    "map",
    "duplicates",
)
"""Settings that decide no number by themselves: parts name their models and sets."""


def analyze(settings: AnalyzeSettings, more: Sequence[tuple[str, str]] = ()) -> Path:
    """Make a report, or go on with one.

    Args:
        settings: See `configs/analyze.yaml`.
        more: (model, name in the report) of further models, such as checkpoints of a run.

    Returns:
        The page.

    Raises:
        UsageError: A model or set does not exist, or `out` holds something else.
        RadnetError: A slice cannot be read, weights cannot be had, or the disk is full.
    """
    require_report_or_nothing(settings.out)
    require_report_or_nothing(settings.out)
    with explained_disk_errors(settings.out, "what was finished is kept; the same command goes on"):
        asked = [(name, name) for name in settings.models] + list(more)
        for name, _ in asked:
            check_model(ModelName.parse(name))
        sets = open_sets(settings.tasks, settings.items, seed=settings.seed)
        models = load_models(asked, settings)
        base = settings.model_dump(mode="json", exclude=set(NOT_IN_BASE))
        store = Store(settings.out, base)
        if settings.torch_device().type == "cpu":
            say(f"{len(models)} models x {len(sets)} sets on {torch.get_num_threads()} CPU thread(s)")
        study = Study(settings, models, sets, extract(models, sets, settings), store)
        _tables_of_inputs(study)
        sections = [_inputs(study)]
        for title, make in SECTIONS:
            say(f"{title} …")
            sections.append(make(study))
        names = store.write_tables()
        links = [(f"{NUMBERS}/{name}.parquet", f"{name}.parquet") for name in names]
        links = [(MAP_PAGE, "interactive map"), *links] if (settings.out / MAP_PAGE).is_file() else links
        lead = (
            f"{len(models)} models on {len(sets)} sets, {sum(len(one) for one in sets)} items. Numbers stand in "
            f"{NUMBERS}/ as parquet and JSON."
        )
        write_atomically(settings.out / INDEX, page("The feature space", lead, sections, links))
    if store.kept:
        say(f"{store.kept} parts were there already, {store.computed} were computed")
    return settings.out / INDEX


def require_report_or_nothing(out: Path) -> None:
    """Refuse a directory that holds something else than a report; make it where there is none.

    Raises:
        UsageError: It does, or the path is a file.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("The output path is a file, a directory is needed", file=out, fix="Choose another path")
    if out.is_dir() and any(out.iterdir()) and not (out / ".parts").is_dir():
        raise UsageError("The output directory holds something else than a report", file=out, fix="Choose another path")
    (out / ".parts").mkdir(parents=True, exist_ok=True)


def load_models(asked: Sequence[tuple[str, str]], settings: AnalyzeSettings) -> dict[str, LoadedModel]:
    """The models by the name that the report calls them.

    Paths are shortened to their last two parts, as in result records; equal names get a number.
    """
    models: dict[str, LoadedModel] = {}
    for name, shown in asked:
        loaded = load_model(ModelName.parse(name), seed=settings.seed, size=settings.size)
        scheme, _, value = shown.partition(":")
        short = f"{scheme}:{'/'.join(value.split('/')[-2:])}" if scheme in ("run", "local-dir") else shown
        if short in models:
            short = next(f"{short} ({number})" for number in range(2, 1000) if f"{short} ({number})" not in models)
        models[short] = loaded
    return models


def _tables_of_inputs(study: Study) -> None:
    """What was analysed, as tables beside the numbers."""
    for one in study.sets:
        study.store.part("sets", {**one.identity(), "name": one.name}, partial(_set_rows, one))
    for name, model in study.models.items():
        row = {
            "model": name,
            "architecture": model.architecture,
            "arm": model.arm,
            "pretraining": model.pretraining,
            "parameters": model.parameters,
            "channels": model.in_chans,
            "weights_sha256": model.weights_sha256[:16],
        }
        study.store.part("models", study.identity(name), partial(list, [row]))
    if len(study.sets) > 1:
        identity = {"sets": [one.identity() for one in study.sets]}
        study.store.part("shared_patients", identity, partial(shared_patients, study.sets))


def _set_rows(one: DomainSet) -> list[Row]:
    known = one.labels[one.labels != ""]
    row: Row = {
        "set": one.name,
        "modality": one.shards.manifest.modality,
        "items": len(one),
        "left_out": len(one.shards) - len(one),
        "patients": len(set(one.patients.tolist())),
        "series": len(set(one.series.tolist())),
        "label": one.label,
        "labelled": len(known),
        "classes": len(set(known.tolist())),
        "synthetic": one.shards.manifest.synthetic,
        "content": one.shards.manifest.content_hash()[:16],
    }
    return [row]


def _inputs(study: Study) -> Section:
    window = ", ".join(f"{name} {value}" for name, value in study.settings.window.items())
    parts = [
        table(f"Models; all see {study.settings.size} px, CT through the window {window}.", study.store.rows("models")),
        table("Sets", study.store.rows("sets")),
    ]
    if any(row.get("synthetic") != "none" for row in study.store.rows("sets")):
        parts.insert(
            0, warning("Some of these images come from a phantom: they show how this works, nothing of patients.")
        )
    return Section("inputs", "Models and sets", parts)
