"""Section: who knew what. Each model votes with its nearest neighbours of other patients; who is right, and alone?

Where result records are given, their predictions vote as well, as those of the study's finetuned networks did.
"""

from collections.abc import Sequence
from functools import partial
from html import escape

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.neighbours import nearest_neighbours
from radnet.analysis.report.contact_sheet import Cell, contact_sheet
from radnet.analysis.report.figures import bars
from radnet.analysis.report.html import Section, figure, table
from radnet.analysis.report.neighbours import study_file
from radnet.analysis.report.records import Votes, votes_of_records
from radnet.analysis.report.sets import UNKNOWN, DomainSet
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import Study
from radnet.analysis.report.thumbnails import thumbnail
from radnet.analysis.wkw import MOST_MODELS, known_by_one, who_knew_what
from radnet.hashing import settings_hash
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
    if study.settings.records is not None:
        for votes in votes_of_records(study.settings.records):
            parts += _shown(study, votes, votes.title, _pooled_items(study, votes))
    if not parts:
        parts = [
            '<p class="about">This needs two models and a set whose label tells two classes apart, or records=… of '
            "two models on one test set.</p>"
        ]
    return Section("wkw", "Who knew what", parts)


def _of_set(study: Study, one: DomainSet, models: list[str], known: NDArray[np.int64], first: int) -> list[str]:
    usable = [name for name in models if np.isfinite(study.features[name, one.name]).all()]
    identity = {
        "set": one.name,
        "what": one.identity(),
        "models": {name: study.model_identity(name) for name in usable},
    }
    rows = study.store.part("wkw_items", identity, partial(_items, study, one, usable, known))
    if not rows or "reason" in rows[0]:
        return [table(f"{one.name}: no votes", rows)]
    if len(usable) < 2:
        return []
    votes = Votes(
        f"{one.name}: {one.label}",
        usable,
        np.array([[bool(row[name]) for row in rows] for name in usable]),
        np.array([row["key"] for row in rows]),
        np.array([row["patient"] for row in rows]),
        np.array([row["label"] for row in rows]),
    )
    about = f"Votes of the {study.settings.k} nearest items of other patients on {one.label}"
    return _shown(study, votes, about, [first + int(row["item"]) for row in rows])


def _shown(study: Study, votes: Votes, about: str, items: Sequence[int | None]) -> list[str]:
    """Counts, figure and pictures of one comparison; `items` are positions among the pooled items, where known."""
    settings = study.settings
    what = {"title": votes.title, "models": votes.models, "keys": votes.keys.tolist(), "right": votes.correct.tolist()}
    identity = settings_hash(what)
    counted = study.store.part("wkw", {"votes": identity}, partial(_groups, study, votes))
    if not counted or "share" not in counted[0]:
        return [table(f"{votes.title}: no counts", counted)]
    names = [row["right"].replace(" + ", "\n+ ") for row in counted]
    reach = [
        [max(0.0, sign * ((row[end] if row[end] is not None else row["share"]) - row["share"])) for row in counted]
        for sign, end in ((-1, "low"), (1, "high"))
    ]
    # titles of two conditions or seeds may begin alike
    path = study.figures / f"wkw_{study_file(votes.title)[:60]}_{identity[:8]}.png"
    shares, expected = [row["share"] for row in counted], [row["expected"] for row in counted]
    drawn = bars(path, names, shares, (reach[0], reach[1]), "share of items", expected=expected)
    sheet = []
    for model, alone in known_by_one(votes.correct).items():
        chosen = np.random.default_rng(settings.seed).permutation(alone)
        cells: list[Cell] = []
        for place in chosen.tolist():
            item = items[place]
            if item is not None and len(cells) < SHOWN:
                cells.append((thumbnail(study, item), f"{votes.target[place]} ({votes.models[model][:18]})", None))
        if cells:
            sheet.append(cells)
    sheet_path = path.with_name(path.stem + "_alone.png")
    people = len(np.unique(votes.patients))
    return [
        f"<h3>{escape(votes.title)}</h3>",
        figure(drawn, "Which models were right together, all others wrong; hatched: if they were right independently."),
        table(
            f"{about}: {len(votes.keys)} items, {people} patients; intervals resample patients. The ratio is share / "
            "expected.",
            counted,
        ),
        figure(contact_sheet(sheet_path, sheet), "Items that only one model got right, a row a model."),
    ]


def _groups(study: Study, votes: Votes) -> list[Row]:
    found = who_knew_what(votes.correct, votes.patients, resamples=study.settings.resamples, seed=study.settings.seed)
    return [
        {
            "comparison": votes.title,
            "right": " + ".join(votes.models[m] for m in group.models) or "nobody",
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


def _pooled_items(study: Study, votes: Votes) -> list[int | None]:
    """Where the items of a comparison lie among the pooled items: in the set that has the most of them."""
    best: list[int | None] = [None] * len(votes.keys)
    first = 0
    for one in study.sets:
        known = {
            (key, patient): first + place
            for place, (key, patient) in enumerate(zip(one.column("key").tolist(), one.patients.tolist(), strict=True))
        }
        found = [known.get(pair) for pair in zip(votes.keys.tolist(), votes.patients.tolist(), strict=True)]
        if sum(item is not None for item in found) > sum(item is not None for item in best):
            best = found
        first += len(one)
    return best


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
