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
from radnet.transfer.statistics import patient_draws, percentile_interval

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
            "for all labels with equal weight and for each, with its interval over patients; chance draws items of "
            "other patients at random.",
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
    names, classes = np.unique(labels, return_inverse=True)
    people, patient = np.unique(patients, return_inverse=True)
    # sums of each patient and class: a resample of patients is then a product of small matrices
    right, asked = np.zeros((len(people), len(names))), np.zeros((len(people), len(names)))
    found = np.isfinite(same)
    np.add.at(right, (patient[found], classes[found]), same[found])
    np.add.at(asked, (patient[found], classes[found]), 1)
    draws = patient_draws(len(people), resamples=study.settings.resamples, seed=study.settings.seed)
    by_class = np.array([np.nanmean(chance[classes == number]) for number in range(len(names))])
    groups: list[tuple[str, list[int]]] = [("all, equal weight", list(range(len(names))))]
    groups += [(str(one_class), [number]) for number, one_class in enumerate(names)]
    rows: list[Row] = []
    for name_of_class, columns in groups:
        mine = asked[:, columns].sum(1) > 0
        precision = float(_mean_precision(np.ones((1, len(people))), right[:, columns], asked[:, columns])[0])
        result: Row = {
            **row,
            "of": name_of_class,
            "items": int(np.isin(classes, columns).sum()),
            "patients": int(mine.sum()),
            "precision": precision,
        }
        if np.isfinite(precision) and mine.sum() > 1:
            values = _mean_precision(draws.astype(np.float64), right[:, columns], asked[:, columns])
            interval = percentile_interval(precision, values, patients=int(mine.sum()))
            result |= {"low": interval.low, "high": interval.high}
        result["chance"] = float(by_class[columns].mean())
        result["fewer_than_k"] = int((neighbour[np.isin(classes, columns)] < 0).any(1).sum())
        rows.append(result)
    return rows


def _mean_precision(
    draws: NDArray[np.float64], right: NDArray[np.float64], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean over classes of the precision in each resample of patients, (B,); NaN where no class is there.

    Args:
        draws: How often each patient counts, (B, P).
        right: Sum of the precisions of each patient's items of each class, (P, K).
        asked: Number of these items, (P, K).
    """
    above, below = draws @ right, draws @ asked
    there = below > 0
    precision = np.divide(above, below, out=np.zeros_like(above), where=there)
    count = there.sum(1)
    return np.asarray(np.divide(precision.sum(1), count, out=np.full(len(count), np.nan), where=count > 0))


def _neighbourhoods(study: Study, name: str, one: DomainSet) -> list[Row]:
    found = search(study.features[name, one.name], study.settings.k, seed=study.settings.seed)
    if found.index != "exact":
        say(f"neighbours in {one.name}: {found.index}, recall {found.recall:.3f} on {found.recall_items} items")
    known = np.flatnonzero(one.labels != UNKNOWN)
    label = agreement(found.neighbour, one.labels)[known]
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
