"""Section: retrieval, purity, hubness, pictures that are there twice, and what lies beside what."""

from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radnet.analysis.duplicates import CANDIDATES, CORRELATION, candidate_pairs, near_duplicates
from radnet.analysis.neighbours import agreement, chance_agreement, hubness, nearest_neighbours, search
from radnet.analysis.report.contact_sheet import Cell, contact_sheet
from radnet.analysis.report.figures import COLOURS
from radnet.analysis.report.html import Section, figure, table
from radnet.analysis.report.sets import UNKNOWN, DomainSet
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import Study
from radnet.analysis.report.thumbnails import thumbnail
from radnet.console import progress, say
from radnet.transfer.statistics import bootstrap_values, percentile_interval

QUERIES, SHOWN_NEIGHBOURS, SHOWN_DUPLICATES = 8, 8, 12
SAME, OTHER = COLOURS[2], COLOURS[1]


def neighbours_section(study: Study) -> Section:
    """Compute, draw and describe."""
    for name in study.compared:
        for one in study.sets:
            identity = {**study.identity(name, one), "k": study.settings.k}
            study.store.part("retrieval", identity, partial(_retrieval, study, name, one))
            study.store.part("neighbourhoods", identity, partial(_neighbourhoods, study, name, one))
    parts = [
        table(
            f"Retrieval: share of an item's {study.settings.k} nearest items of other patients that have its label, "
            "mean over labels of equal weight, with its interval over patients; chance draws items of other patients "
            "at random.",
            study.store.rows("retrieval"),
        ),
        table(
            "Neighbourhoods: share of neighbours of the same patient and of the same label with nobody excluded, "
            "hubness (skewness of how often an item is a neighbour) and how the neighbours were found.",
            study.store.rows("neighbourhoods"),
        ),
        *[_sheet(study, name) for name in study.compared],
    ]
    if study.settings.duplicates:
        parts += _duplicates_parts(study)
    return Section("neighbours", "Neighbours", parts)


def _retrieval(study: Study, name: str, one: DomainSet) -> list[Row]:
    row: Row = {"model": name, "set": one.name, "label": one.label}
    known = np.flatnonzero(one.labels != UNKNOWN)
    if one.label is None or len(np.unique(one.labels[known])) < 2:
        return [{**row, "reason": "no label that tells two classes apart"}]
    features, labels, patients = study.features[name, one.name][known], one.labels[known], one.patients[known]
    if len(np.unique(patients)) < 2:
        return [{**row, "reason": "one patient"}]
    neighbour = nearest_neighbours(features, study.settings.k, groups=patients)[1]
    same = agreement(neighbour, labels)
    chance = chance_agreement(labels, patients)
    classes = np.unique(labels, return_inverse=True)[1]

    def macro(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over classes of the mean over their items, (B,)."""
        used = np.where(np.isfinite(same), weights, 0)
        value = np.nan_to_num(same)
        above = np.stack([(used * value)[:, classes == c].sum(1) for c in range(classes.max() + 1)], axis=1)
        below = np.stack([used[:, classes == c].sum(1) for c in range(classes.max() + 1)], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.nanmean(above / below, axis=1))

    settings = study.settings
    values = bootstrap_values(macro, patients, resamples=settings.resamples, seed=settings.seed)
    precision = float(macro(np.ones((1, len(same))))[0])
    interval = percentile_interval(precision, values, patients=len(np.unique(patients)))
    by_class = [np.nanmean(chance[classes == c]) for c in range(classes.max() + 1)]
    return [
        {
            **row,
            "items": len(known),
            "classes": int(classes.max() + 1),
            "precision": precision,
            "low": interval.low,
            "high": interval.high,
            "chance": float(np.mean(by_class)),
            "fewer_than_k": int((neighbour < 0).any(1).sum()),
        }
    ]


def _neighbourhoods(study: Study, name: str, one: DomainSet) -> list[Row]:
    found = search(study.features[name, one.name], study.settings.k, seed=study.settings.seed)
    if found.index != "exact":
        say(f"neighbours in {one.name}: {found.index}, recall {found.recall:.3f} on {found.recall_items} items")
    known = np.flatnonzero(one.labels != UNKNOWN)
    label = agreement(found.neighbour[known], one.labels) if len(known) else np.array([np.nan])
    hubs = hubness(found.neighbour)
    return [
        {
            "model": name,
            "set": one.name,
            "k": found.neighbour.shape[1],
            "same_patient": float(np.nanmean(agreement(found.neighbour, one.patients))),
            "same_patient_chance": float(np.nanmean(chance_agreement(one.patients, np.arange(len(one))))),
            "same_label": float(np.nanmean(label)) if np.isfinite(label).any() else None,
            "hubness_skewness": hubs.skewness,
            "largest_hub": hubs.largest,
            "orphans": hubs.orphans,
            "index": found.index,
            "recall": found.recall,
        }
    ]


def _sheet(study: Study, name: str) -> str:
    """A few items of each set with their nearest items of other patients, of all sets."""
    features, patients, domains = study.pooled(name), study.patients(), study.domains()
    if not np.isfinite(features).all():
        return ""
    path = study.figures / f"neighbours_{study_file(name)}.png"
    similarity, neighbour = nearest_neighbours(features, SHOWN_NEIGHBOURS, groups=patients)
    generator = np.random.default_rng(study.settings.seed)
    each = max(1, QUERIES // len(study.sets))
    chosen = np.concatenate([generator.permutation(np.flatnonzero(domains == one.name))[:each] for one in study.sets])
    rows = []
    for item in chosen[:QUERIES].tolist():
        row: list[Cell] = [(thumbnail(study, item), f"{domains[item]}", "#1b1f24")]
        for other, cosine in zip(neighbour[item].tolist(), similarity[item].tolist(), strict=True):
            if other >= 0:
                colour = SAME if domains[other] == domains[item] else OTHER
                row.append((thumbnail(study, other), f"{domains[other]} {cosine:.2f}", colour))
        rows.append(row)
    drawn = contact_sheet(path, rows)
    return figure(
        drawn, f"{name}: an item (black frame) and its nearest of other patients; green frames are of its set."
    )


def study_file(name: str) -> str:
    """A model's name as part of a file's."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def proposer(study: Study) -> str:
    """The model whose features propose duplicates: the first that was trained."""
    return next((name for name in study.compared if study.models[name].arm != "random"), study.compared[0])


def _duplicates_parts(study: Study) -> list[str]:
    name = proposer(study)
    identity = {**study.identity(name, *study.sets), "set": None, "other": None}
    rows = study.store.part("duplicates", identity, partial(_duplicates, study, name))
    found = [row for row in rows if row.get("correlation") is not None]
    summary: dict[tuple[str, str], Row] = {}
    for row in found:
        key = (row["set"] + row["series"], row["other"] + row["other_series"])
        entry = summary.setdefault(
            key,
            {
                "set": row["set"],
                "other": row["other"],
                "series": row["series"][:12],
                "other_series": row["other_series"][:12],
                "same_patient": row["same_patient"],
                "pairs": 0,
                "best_correlation": row["correlation"],
                "least_overlap": row["overlap"],
            },
        )
        entry["pairs"] += 1
        entry["best_correlation"] = max(entry["best_correlation"], row["correlation"])
        entry["least_overlap"] = min(entry["least_overlap"], row["overlap"])
    study.store.part("duplicate_series", identity, lambda: sorted(summary.values(), key=lambda row: -row["pairs"]))
    shown: list[Row] = []
    seen: set[str] = set()
    for row in found:  # one pair of each two series, best first
        both = f"{row['set']} {row['series']} {row['other']} {row['other_series']}"
        if both not in seen and len(shown) < SHOWN_DUPLICATES:
            seen.add(both)
            shown.append(row)
    pairs: list[list[Cell]] = [
        [
            (thumbnail(study, row["item"]), f"{row['set']} {row['key']}", None),
            (thumbnail(study, row["other_item"]), f"{row['other']} {row['other_key']}", None),
        ]
        for row in shown
    ]
    flat = [pairs[i] + pairs[i + 1] if i + 1 < len(pairs) else pairs[i] for i in range(0, len(pairs), 2)]
    flat = [flat[i] + flat[i + 1] if i + 1 < len(flat) else flat[i] for i in range(0, len(flat), 2)]
    drawn = contact_sheet(study.figures / "duplicates.png", flat)
    return [
        table(
            f"Pictures that are there twice, by series: proposed by features of {name}, proven by grey values that "
            f"agree where the pictures overlap (correlation at least {CORRELATION}). Every pair: numbers/duplicates.",
            study.store.rows("duplicate_series") if found else [row for row in rows if "reason" in row],
        ),
        figure(
            drawn, "One pair of each two series (first and second, third and fourth, … picture of a row), best first."
        ),
    ]


def _duplicates(study: Study, name: str) -> list[Row]:
    features, series, patients, domains = study.pooled(name), study.series(), study.patients(), study.domains()
    places = np.unique(np.stack([domains, series]), axis=1, return_inverse=True)[1]  # a series may be in two sets

    def picture(item: int) -> NDArray[Any]:
        one, row = study.locate(item)
        image = one.shards.read_image(row)
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image

    looked_at = len(candidate_pairs(features, places, k=CANDIDATES)[0])
    with progress("looking for pictures that are there twice", looked_at) as meter:
        found = near_duplicates(features, places, picture, on_pair=meter.advance)
    rows: list[Row] = []
    for pair in found:
        (one, row), (other, other_row) = study.locate(pair.first), study.locate(pair.second)
        rows.append(
            {
                "set": one.name,
                "other": other.name,
                "key": str(one.shards.index["key"].iloc[row]),
                "other_key": str(other.shards.index["key"].iloc[other_row]),
                "series": str(series[pair.first]),
                "other_series": str(series[pair.second]),
                "same_patient": bool(patients[pair.first] == patients[pair.second]),
                "similarity": pair.similarity,
                "correlation": pair.correlation,
                "overlap": pair.overlap,
                "item": pair.first,
                "other_item": pair.second,
            }
        )
    return rows
