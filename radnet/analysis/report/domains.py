"""Section: where the domain boundary lies, between sets and within them."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.domains import domain_boundary, generalisation_gap, mixing_entropy
from radnet.analysis.frechet import frechet_limit
from radnet.analysis.mmd import mmd_test
from radnet.analysis.report.figures import Grid, heat_maps
from radnet.analysis.report.html import Section, figure, table, warning
from radnet.analysis.report.sets import UNKNOWN, DomainSet, choose_items, shared_patients
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import Study
from radnet.errors import RadnetError

MOST_VALUES = 4
"""Values of a column that are compared with each other: those with the most patients."""
THICKNESS, SPACING = "slice_thickness_mm", "spacing_z_mm"


def domains_section(study: Study) -> Section:
    """Compute, draw and describe."""
    for name in study.compared:
        for a, b in combinations(study.sets, 2):
            left, right = _side(study, name, a), _side(study, name, b)
            identity = study.identity(name, a, b)
            study.store.part("domains", identity, partial(_compared, study, name, left, right))
            for x, y in ((left, right), (right, left)):
                study.store.part(
                    "generalisation_gap",
                    {**identity, "from": x.name},
                    partial(_gap, study, name, x, y),
                )
        for one in study.sets:
            for column in study.settings.within:
                identity = {**study.identity(name, one), "column": column}
                study.store.part("domains_within", identity, partial(_within, study, name, one, column))
    both = shared_patients(study.sets)
    parts = [
        warning(
            f"{row['set']} and {row['other']} share {row['shared_patients']} patients; they are never on both sides of "
            "a fold, but the two sets are not independent."
        )
        for row in both
    ]
    names = [one.name for one in study.sets]
    for label, title, key, top in (
        ("domains_auc", "domain AUC (0.5: alike)", "auc", 1.0),
        ("domains_a_distance", "A-distance (0: alike, 2: apart)", "a_distance", 2.0),
        ("domains_mixing", "mixing entropy (1: mixed)", "mixing_entropy", 1.0),
    ):
        grids = [_grid(study, model, names, key) for model in study.compared]
        drawn = heat_maps(study.figures / f"{label}.png", grids if len(names) > 1 else [], title, highest=top)
        parts.append(figure(drawn, title))
    gaps = [_gaps(study, model, names) for model in study.compared]
    if any(np.isfinite(grid[4]).any() for grid in gaps):
        drawn = heat_maps(
            study.figures / "generalisation_gap.png", gaps, "balanced accuracy lost", lowest=-0.2, highest=0.8
        )
        parts.append(
            figure(drawn, "Score that a probe loses when it is trained on the row's set and used on the column's.")
        )
    parts += [
        table(
            "Every two sets. AUC and proxy A-distance of a classifier that is tested on other patients; MMD with its "
            "permutation test over patients; entropy of the domains among neighbours; Fréchet distance as it is and "
            "with the bias of small sets taken off.",
            study.store.rows("domains"),
        ),
        table("Generalisation gap of a probe", study.store.rows("generalisation_gap")),
        table("Domains within a set: scanner, kernel, thickness, site", study.store.rows("domains_within")),
    ]
    return Section("domains", "Domain boundary", parts)


@dataclass(frozen=True)
class _Side:
    """Features and facts of one side, thinned."""

    name: str
    features: NDArray[np.float32]
    patients: NDArray[np.str_]
    labels: NDArray[np.str_]


def _side(study: Study, model: str, one: DomainSet, rows: NDArray[Any] | None = None, name: str = "") -> _Side:
    rows = np.arange(len(one)) if rows is None else rows
    rows = rows[choose_items(one.patients[rows], study.settings.domain_items, seed=study.settings.seed)]
    return _Side(name or one.name, study.features[model, one.name][rows], one.patients[rows], one.labels[rows])


def _compared(study: Study, model: str, a: _Side, b: _Side) -> list[Row]:
    settings = study.settings
    row: Row = {
        "model": model,
        "set": a.name,
        "other": b.name,
        "items": len(a.features),
        "other_items": len(b.features),
        "patients": len(np.unique(a.patients)),
        "other_patients": len(np.unique(b.patients)),
    }
    sides = (a.features, b.features, a.patients, b.patients)
    boundary = domain_boundary(*sides, resamples=settings.resamples, seed=settings.seed)
    test = mmd_test(*sides, permutations=settings.permutations, seed=settings.seed)
    frechet: Row = {"frechet": None, "frechet_corrected": None}
    if min(len(a.features), len(b.features)) >= 16:
        measured = frechet_limit(a.features, b.features, seed=settings.seed)
        frechet = {
            "frechet": measured.biased,
            "frechet_corrected": measured.corrected,
            "frechet_components": measured.components,
        }
    return [
        {
            **row,
            "auc": boundary.auc.value,
            "auc_low": boundary.auc.low,
            "auc_high": boundary.auc.high,
            "a_distance": boundary.a_distance.value,
            "a_low": boundary.a_distance.low,
            "a_high": boundary.a_distance.high,
            "mmd_squared": test.value,
            "mmd_p": test.p_value,
            "mixing_entropy": mixing_entropy(*sides, k=settings.k, seed=settings.seed),
            **frechet,
            "shared_patients": boundary.shared_patients,
        }
    ]


def _gap(study: Study, model: str, a: _Side, b: _Side) -> list[Row]:
    row: Row = {"model": model, "set": a.name, "other": b.name}
    settings = study.settings
    try:
        gap = generalisation_gap(
            a.features,
            b.features,
            a.labels,
            b.labels,
            a.patients,
            b.patients,
            resamples=settings.resamples,
            seed=settings.seed,
        )
    except RadnetError as error:
        return [{**row, "gap": None, "reason": error.what}]
    return [
        {
            **row,
            "at_home": gap.at_home,
            "abroad": gap.abroad,
            "gap": gap.gap.value,
            "gap_low": gap.gap.low,
            "gap_high": gap.gap.high,
            "classes": ", ".join(gap.classes),
        }
    ]


def column_values(one: DomainSet, column: str) -> NDArray[np.str_]:
    """A column as domains; thicknesses in mm as three classes, taken from the spacing where the file told none."""
    if column != THICKNESS:
        return one.column(column)
    known = [name for name in (THICKNESS, SPACING) if name in one.table.columns]
    values = np.full(len(one), np.nan)
    for name in known:
        values = np.where(np.isnan(values), one.table[name].to_numpy(dtype=np.float64), values)
    bins = np.select(
        [values <= 1.5, values <= 3.0, values > 3.0], ["thin (<= 1.5 mm)", "<= 3 mm", "thick (> 3 mm)"], UNKNOWN
    )
    return bins.astype(np.str_)


def _within(study: Study, model: str, one: DomainSet, column: str) -> list[Row]:
    values = column_values(one, column)
    names = [name for name in np.unique(values) if name != UNKNOWN]
    people = {str(name): len(np.unique(one.patients[values == name])) for name in names}
    usable = sorted((name for name in people if people[name] >= 2), key=lambda name: -people[name])[:MOST_VALUES]
    if len(usable) < 2:
        return []
    rows: list[Row] = []
    for a, b in combinations(usable, 2):
        sides = [_side(study, model, one, np.flatnonzero(values == name), name) for name in (a, b)]
        compared = _compared(study, model, *sides)
        gap = _gap(study, model, *sides)[0]
        extra = {"gap": gap.get("gap"), "gap_low": gap.get("gap_low"), "gap_high": gap.get("gap_high")}
        rows += [{"within": one.name, "column": column, **row, **extra} for row in compared]
    return rows


def _grid(study: Study, model: str, names: list[str], key: str) -> Grid:
    values = np.full((len(names), len(names)), np.nan)
    for row in study.store.rows("domains"):
        if row["model"] == model and row.get(key) is not None:
            i, j = names.index(row["set"]), names.index(row["other"])
            values[i, j] = values[j, i] = row[key]
    return "", model, names, names, values


def _gaps(study: Study, model: str, names: list[str]) -> Grid:
    values = np.full((len(names), len(names)), np.nan)
    for row in study.store.rows("generalisation_gap"):
        if row["model"] == model and row.get("gap") is not None:
            values[names.index(row["set"]), names.index(row["other"])] = row["gap"]
    return "trained on", f"used on ({model})", names, names, values
