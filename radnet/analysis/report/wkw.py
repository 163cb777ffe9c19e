"""Section: who knew what. Each model votes with its nearest neighbours of other patients; who is right, and alone?"""

from functools import partial
from html import escape

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.neighbours import nearest_neighbours
from radnet.analysis.report.figures import bars, contact_sheet
from radnet.analysis.report.html import Section, figure, table
from radnet.analysis.report.neighbours import study_file
from radnet.analysis.report.sets import UNKNOWN, DomainSet
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import Study
from radnet.analysis.report.thumbnails import thumbnail
from radnet.analysis.wkw import MOST_MODELS, known_by_one, who_knew_what
from radnet.transfer.knn import vote

TEMPERATURE = 0.07
SHOWN = 8


def wkw_section(study: Study) -> Section:
    """Compute, draw and describe."""
    models = study.compared[:MOST_MODELS]
    parts: list[str] = []
    first = 0
    for one in study.sets:
        known = np.flatnonzero(one.labels != UNKNOWN)
        if len(models) > 1 and one.label is not None and len(np.unique(one.labels[known])) > 1:
            parts += _of_set(study, one, models, known, first)
        first += len(one)
    if not parts:
        parts = ['<p class="about">This needs two models and a set whose label tells two classes apart.</p>']
    return Section("wkw", "Who knew what", parts)


def _of_set(study: Study, one: DomainSet, models: list[str], known: NDArray[np.int64], first: int) -> list[str]:
    settings = study.settings
    identity = {
        "set": one.name,
        "what": one.identity(),
        "models": {name: study.models[name].weights_sha256 for name in models},
        "k": settings.k,
    }
    usable = [name for name in models if np.isfinite(study.features[name, one.name]).all()]
    rows = study.store.part("wkw_items", identity, partial(_items, study, one, usable, known))
    if not rows or "reason" in rows[0]:
        return [table(f"{one.name}: no votes", rows)]
    names = [name for name in usable if name in rows[0]]
    if len(names) < 2:
        return []
    correct = np.array([[bool(row[name]) for row in rows] for name in names])
    patients = np.array([row["patient"] for row in rows])

    def groups() -> list[Row]:
        found = who_knew_what(correct, patients, resamples=settings.resamples, seed=settings.seed)
        return [
            {
                "set": one.name,
                "label": one.label,
                "right": " + ".join(names[m] for m in group.models) or "nobody",
                "models": len(group.models),
                "items": group.count,
                "share": group.share,
                "low": group.low,
                "high": group.high,
                "expected": group.expected,
                "ratio_low": group.ratio_low,
                "ratio_high": group.ratio_high,
            }
            for group in found
        ]

    counted = study.store.part("wkw", identity, groups)
    text = [row["right"].replace(" + ", "\n+ ") for row in counted]
    shares, expected = [row["share"] for row in counted], [row["expected"] for row in counted]
    reach = (
        [max(0.0, row["share"] - (row["low"] if row["low"] is not None else row["share"])) for row in counted],
        [max(0.0, (row["high"] if row["high"] is not None else row["share"]) - row["share"]) for row in counted],
    )
    drawn = bars(
        study.figures / f"wkw_{study_file(one.name)}.png", text, shares, reach, "share of items", expected=expected
    )
    parts = [
        f"<h3>{escape(one.name)}: {escape(str(one.label))}</h3>",
        figure(drawn, "Which models were right together, all others wrong; hatched: if they were right independently."),
        table(
            f"Votes of the {settings.k} nearest items of other patients on {one.label} ({len(rows)} items, "
            f"{len(np.unique(patients))} patients); intervals resample patients. The ratio is share / expected.",
            counted,
        ),
    ]
    sheet = []
    for model, items in known_by_one(correct).items():
        chosen = np.random.default_rng(settings.seed).permutation(items)[:SHOWN]
        cells: list[tuple[NDArray[np.uint8], str, str | None]] = [
            (thumbnail(study, first + rows[i]["item"]), f"{rows[i]['label']} ({names[model][:18]})", None)
            for i in chosen
        ]
        if cells:
            sheet.append(cells)
    drawn_sheet = contact_sheet(study.figures / f"wkw_{study_file(one.name)}_alone.png", sheet)
    parts.append(figure(drawn_sheet, "Items that only one model got right, a row a model."))
    return parts


def _items(study: Study, one: DomainSet, models: list[str], known: NDArray[np.int64]) -> list[Row]:
    """Whether each model's neighbours name the label of each item."""
    names, target = np.unique(one.labels[known], return_inverse=True)
    right = {}
    for model in models:
        features = study.features[model, one.name][known]
        similarity, neighbour = nearest_neighbours(features, study.settings.k, groups=one.patients[known])
        scores = vote(similarity, neighbour, target.astype(np.int64), classes=len(names), temperature=TEMPERATURE)
        # an item without any neighbour of another patient has equal votes and is known to nobody
        right[model] = (scores.argmax(1) == target) & (neighbour >= 0).any(1)
    return [
        {
            "set": one.name,
            "item": int(item),
            "key": str(one.table["key"].iloc[item]),
            "patient": str(one.patients[item]),
            "label": str(one.labels[item]),
            **{model: bool(right[model][place]) for model in models},
        }
        for place, item in enumerate(known)
    ]
