"""Section: how features use their space, by model and set, and how that moves over a run's checkpoints."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.report.figures import lines
from radnet.analysis.report.html import Section, figure, table
from radnet.analysis.report.sets import DomainSet
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import CHECKPOINT, Study
from radnet.analysis.spectrum import (
    alignment,
    alpha_req,
    covariance_eigenvalues,
    lidar,
    neighbouring_pairs,
    participation_ratio,
    rankme,
    uniformity,
)
from radnet.errors import RadnetError

MEASURES = ("rankme", "lidar", "alpha_req", "participation_ratio", "uniformity", "alignment")


def spectrum_section(study: Study) -> Section:
    """Compute, draw and describe."""
    for name in study.models:
        for one in study.sets:
            study.store.part("spectrum", study.identity(name, one), partial(_measured, study, name, one))
    drawn = lines(study.figures / "eigenvalues.png", _eigenvalues(study), "rank (log10)")
    parts = [
        figure(
            drawn, "Eigenvalues of the covariance (log10 of the share) over their rank (log10): alpha-ReQ is the slope."
        ),
        table(
            "RankMe, LiDAR (objects are series of at least two slices, so neighbouring slices stand for "
            "augmentations), alpha-ReQ, participation ratio, uniformity and alignment (of neighbouring slices). RankMe "
            "and LiDAR are at most as large as the number of items or objects.",
            study.store.rows("spectrum"),
        ),
    ]
    curves = _over_checkpoints(study)
    drawn = lines(study.figures / "checkpoints.png", curves, "step")
    parts.append(figure(drawn, "The same over the checkpoints of a run."))
    return Section("spectrum", "Spectrum", parts)


def _measured(study: Study, name: str, one: DomainSet) -> list[Row]:
    features = study.features[name, one.name]
    eigenvalues = covariance_eigenvalues(features)
    place = one.table["slice"].to_numpy() if "slice" in one.table.columns else np.arange(len(one))
    row: Row = {
        "model": name,
        "set": one.name,
        "items": len(features),
        "dimensions": features.shape[1],
        "rankme": rankme(features),
        "alpha_req": alpha_req(eigenvalues),
        "participation_ratio": participation_ratio(eigenvalues),
        "uniformity": uniformity(features, seed=study.settings.seed),
        "alignment": alignment(features, neighbouring_pairs(one.series, place)),
        "objects": int((np.unique(one.series, return_counts=True)[1] > 1).sum()),
    }
    try:
        row["lidar"] = lidar(features, one.series)
    except RadnetError as error:
        row |= {"lidar": None, "reason": error.what}
    return [row]


def _eigenvalues(study: Study) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for one in study.sets:
        for name in study.compared:
            features: NDArray[Any] = study.features[name, one.name]
            if not np.isfinite(features).all() or len(features) < 3:
                continue
            values = covariance_eigenvalues(features)
            values = values[values > 1e-10 * max(values[0], 1e-300)]
            if not len(values) or values.sum() == 0:
                continue
            ranks = np.unique(np.geomspace(1, len(values), 40).astype(int))
            share = np.log10(values[ranks - 1] / values.sum())
            panels.setdefault(one.name, {})[name] = (np.log10(ranks).tolist(), share.tolist())
    return panels


def _over_checkpoints(study: Study) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for row in study.store.rows("spectrum"):
        found = CHECKPOINT.match(str(row.get("model")))
        if found is None:
            continue
        for measure in MEASURES:
            if row.get(measure) is not None:
                x, y = panels.setdefault(measure, {}).setdefault(f"{found['run']}, {row['set']}", ([], []))
                x.append(float(found["step"]))
                y.append(row[measure])
    return panels
