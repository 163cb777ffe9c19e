"""Section: maps of the feature space, as figures and as one interactive page."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from radnet.analysis.maps import has_umap, principal_components, umap_points
from radnet.analysis.report.figures import scatter_panels
from radnet.analysis.report.html import Section, figure, table, warning
from radnet.analysis.report.map_page import map_page
from radnet.analysis.report.sets import choose_items
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import Study
from radnet.analysis.report.thumbnails import atlas
from radnet.console import progress, warn
from radnet.files import write_atomically
from radnet.hashing import settings_hash

MAP_PAGE = "map.html"
MOST_POINTS = 20_000
PER_SHEET, COLUMNS = 1024, 32
PCA, UMAP = "PCA", "UMAP"


def maps_section(study: Study) -> Section:
    """Compute, draw and describe."""
    domains, patients = study.domains(), study.patients()
    chosen = choose_items(patients, MOST_POINTS, seed=study.settings.seed)
    if study.settings.map == "umap" and not has_umap():
        warn('map=umap needs the package umap-learn (pip install "radnet[maps]"); only PCA is drawn')
    points: dict[tuple[str, str], NDArray[np.float32]] = {}
    explained: list[Row] = []
    for name in study.compared:
        rows = study.store.part("map", {**study.identity(name, *study.sets), "set": None, "other": None, "method": PCA,
                                        "items": len(chosen)}, partial(_pca, study, name, chosen))  # fmt: skip
        points |= _points(rows, name, PCA, len(chosen))
        if rows and "explained_1" in rows[0]:
            explained.append(
                {"model": name, "first_axis": rows[0]["explained_1"], "second_axis": rows[0]["explained_2"]}
            )
        if study.settings.map == "umap" and has_umap():
            identity = {
                **study.identity(name, *study.sets),
                "set": None,
                "other": None,
                "method": UMAP,
                "items": len(chosen),
            }
            rows = study.store.part("map", identity, partial(_umap, study, name, chosen))
            points |= _points(rows, name, UMAP, len(chosen))
    if not points:
        return Section("maps", "Maps", [warning("No model has finite features of at least four items to draw.")])
    labels = np.concatenate([one.labels for one in study.sets])
    fields = {"set": domains[chosen], "label": labels[chosen], "patient": patients[chosen]}
    sheets = _sheets(study, chosen)
    page = map_page(points, fields, sheets, per_sheet=PER_SHEET, columns=COLUMNS, left_out=len(domains) - len(chosen))
    write_atomically(study.settings.out / MAP_PAGE, page)
    panels = {f"{model}: {method}": values for (model, method), values in points.items()}
    by_set = scatter_panels(study.figures / "maps_by_set.png", panels, fields["set"], "set")
    parts = [
        f'<p><a href="{MAP_PAGE}">The interactive map</a>: pictures on hover, colours by set, label and patient.</p>',
        figure(by_set, "All items of all sets, coloured by set. Distances between islands of a UMAP mean nothing."),
    ]
    if (fields["label"] != "").any():
        drawn = scatter_panels(study.figures / "maps_by_label.png", panels, fields["label"], "label")
        parts.append(figure(drawn, "The same, coloured by label."))
    parts.append(table("Share of the variance that the two axes of the PCA keep", explained))
    return Section("maps", "Maps", parts)


def _pca(study: Study, name: str, chosen: NDArray[np.int64]) -> list[Row]:
    found = principal_components(study.pooled(name)[chosen])
    first, second = found.explained.tolist()
    return _rows(study, name, PCA, chosen, found.points, {"explained_1": first, "explained_2": second})


def _umap(study: Study, name: str, chosen: NDArray[np.int64]) -> list[Row]:
    return _rows(study, name, UMAP, chosen, umap_points(study.pooled(name)[chosen], seed=study.settings.seed), {})


def _rows(
    study: Study, name: str, method: str, chosen: NDArray[np.int64], points: NDArray[np.float32], extra: Row
) -> list[Row]:
    domains = study.domains()[chosen]
    keys = np.concatenate([one.table["key"].to_numpy(dtype=np.str_) for one in study.sets])[chosen]
    return [
        {
            "model": name,
            "method": method,
            "set": str(domains[i]),
            "key": str(keys[i]),
            "x": float(x),
            "y": float(y),
            **extra,
        }
        for i, (x, y) in enumerate(points)
    ]


def _points(rows: list[Row], name: str, method: str, items: int) -> dict[tuple[str, str], NDArray[np.float32]]:
    if len(rows) != items or "x" not in rows[0]:
        return {}
    return {(name, method): np.array([[row["x"], row["y"]] for row in rows], dtype=np.float32)}


def _sheets(study: Study, chosen: NDArray[np.int64]) -> list[bytes]:
    """Sheets of thumbnails, kept beside the parts of the report."""
    side = 64 if len(chosen) <= 6000 else 32
    sets = [one.identity() for one in study.sets]
    key = settings_hash({"sets": sets, "chosen": chosen.tolist(), "side": side, "window": study.settings.window})
    sheets = []
    with progress("thumbnails", len(chosen)) as meter:
        for start in range(0, len(chosen), PER_SHEET):
            items = chosen[start : start + PER_SHEET]
            path = study.settings.out / ".parts" / f"sheet-{key[:24]}-{start}.jpg"
            if not path.is_file():
                write_atomically(path, atlas(study, items, side, COLUMNS))
            sheets.append(path.read_bytes())
            meter.advance(len(items))
    return sheets
