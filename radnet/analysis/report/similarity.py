"""Section: how alike models are, layer by layer, and what the study's measures of weights say."""

from functools import partial
from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radnet.analysis.layers import layer_activations
from radnet.analysis.report.figures import bars, heat_maps
from radnet.analysis.report.html import Section, figure, table
from radnet.analysis.report.sets import choose_items
from radnet.analysis.report.store import Row
from radnet.analysis.report.study import Study
from radnet.analysis.significance import cka_interval, cka_permutation_test
from radnet.analysis.similarity import linear_cka, minibatch_cka, mutual_knn, procrustes_similarity
from radnet.analysis.weight_cka import feature_reuse, first_layers, uniqueness
from radnet.console import progress
from radnet.errors import RadnetError
from radnet.files import atomic_file
from radnet.hashing import settings_hash

GRAM_ITEMS = 1000
"""Items of the comparisons that need a matrix of all pairs."""


def similarity_section(study: Study) -> Section:
    """Compute, draw and describe."""
    pairs = list(combinations(study.compared, 2))
    for a, b in pairs:
        study.store.part("similarity", _identity(study, a, b), partial(_outputs, study, a, b))
    for a, b in combinations_with_replacement(study.compared, 2):
        study.store.part("cka_layers", _identity(study, a, b), partial(_layers, study, a, b))
    for name in study.compared:
        study.store.part("weights_uniqueness", study.identity(name), partial(_uniqueness, study, name))
    for a, b in pairs:
        study.store.part("weights_feature_reuse", _identity(study, a, b), partial(_reuse, study, a, b))
    parts: list[str] = []
    if pairs:
        parts.append(
            table(
                "Outputs of two models on the same items of all sets. Unbiased CKA has its interval over patients; p "
                "holds it against shuffled items, one a patient. Chance gives CKA 0 and mutual kNN k / (N - 1).",
                study.store.rows("similarity"),
            )
        )
    maps = [_grid(study, a, b) for a, b in combinations_with_replacement(study.compared, 2)]
    drawn = heat_maps(study.figures / "cka_layers.png", [one for one in maps if one is not None], "unbiased linear CKA")
    parts.append(figure(drawn, "Linear CKA between layers, by unbiased minibatches; the last layer is the output."))
    unique = [row for row in study.store.rows("weights_uniqueness") if row.get("uniqueness") is not None]
    if unique:
        drawn = bars(
            study.figures / "uniqueness.png",
            [f"{row['model']}\n{row['layer']}" for row in unique],
            [row["uniqueness"] for row in unique],
            [row["deviation"] for row in unique],
            'the study\'s "uniqueness"',
        )
        parts.append(
            figure(drawn, 'The study\'s "uniqueness" of the first three layers; bars are deviations over parts.')
        )
    parts.append(table('The study\'s "uniqueness" (CKA of weights)', study.store.rows("weights_uniqueness")))
    if pairs:
        parts.append(
            table(
                'The study\'s "feature reuse" (CKA of weights). It is meant for one network before and after '
                "finetuning; of networks that have nothing to do with each other it says how alike their weights are, "
                "not what they compute.",
                study.store.rows("weights_feature_reuse"),
            )
        )
    return Section("similarity", "Similarity", parts)


def _identity(study: Study, a: str, b: str) -> dict[str, object]:
    own = study.identity(a, *study.sets)
    return {**own, "set": None, "other": None, "other_model": b, "other_identity": study.model_identity(b)}


def _outputs(study: Study, a: str, b: str) -> list[Row]:
    """All measures between the outputs of two models."""
    x, y, patients = study.pooled(a), study.pooled(b), study.patients()
    settings = study.settings
    chosen = choose_items(patients, GRAM_ITEMS, seed=settings.seed)
    interval = cka_interval(x[chosen], y[chosen], patients[chosen], seed=settings.seed)
    row: Row = {
        "model": a,
        "other_model": b,
        "items": len(x),
        "cka_unbiased": interval.value,
        "low": interval.low,
        "high": interval.high,
        "cka_biased": linear_cka(x, y),
        "cka_rbf_unbiased": float(minibatch_cka([x], [y], kernel="rbf", seed=settings.seed)[0, 0]),
        "procrustes": procrustes_similarity(x[chosen], y[chosen]),
        "mutual_knn": mutual_knn(x, y, settings.k),
    }
    try:
        test = cka_permutation_test(x, y, patients, permutations=settings.permutations, seed=settings.seed)
        row |= {"null_95": test.null_high, "p": test.p_value}
    except RadnetError as error:
        row |= {"null_95": None, "p": None, "reason": error.what}
    return [row]


def _layers(study: Study, a: str, b: str) -> list[Row]:
    """CKA between all layers of two models."""
    left, right = _activations(study, a), _activations(study, b)
    values = minibatch_cka(list(left.values()), list(right.values()), seed=study.settings.seed)
    return [
        {"model": a, "layer": one, "other_model": b, "other_layer": other, "cka": values[i, j]}
        for i, one in enumerate(left)
        for j, other in enumerate(right)
    ]


def _activations(study: Study, name: str) -> dict[str, NDArray[np.float32]]:
    """Activations of the layers of a model on some items of all sets, kept beside the parts of the report."""
    chosen = choose_items(study.patients(), study.settings.layer_items, seed=study.settings.seed)
    key = settings_hash(
        {"identity": study.identity(name, *study.sets), "items": chosen.tolist(), "view": _view(study, name)}
    )
    path = study.settings.out / ".parts" / f"layers-{key[:24]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return {layer: stored[layer] for layer in stored.files}
    model, device = study.models[name], study.settings.torch_device()
    view, size = study.view(model), study.settings.batch_size

    def batches() -> Any:
        for start in range(0, len(chosen), size):
            places = [study.locate(int(item)) for item in chosen[start : start + size]]
            pictures = [view(one.shards.read_image(row))[0] for one, row in places]
            yield torch.from_numpy(np.stack(pictures)).to(device)

    with progress(f"layers of {name}", len(chosen)) as meter:
        found = layer_activations(model.backbone.to(device).eval(), batches(), on_batch=meter.advance)
    stored_as: dict[str, Any] = dict(found)
    with atomic_file(path) as file:
        np.savez(file, **stored_as)
    return found


def _view(study: Study, name: str) -> dict[str, Any]:
    return study.view(study.models[name]).describe()


def _grid(study: Study, a: str, b: str) -> tuple[str, str, list[str], list[str], NDArray[np.float64]] | None:
    """Names and values of one heat map."""
    rows = [r for r in study.store.rows("cka_layers") if r.get("model") == a and r.get("other_model") == b]
    if not rows or "cka" not in rows[0]:
        return None
    left, right = list(dict.fromkeys(r["layer"] for r in rows)), list(dict.fromkeys(r["other_layer"] for r in rows))
    values = np.array([np.nan if r["cka"] is None else r["cka"] for r in rows]).reshape(len(left), len(right))
    return a, b, left, right, values


def _uniqueness(study: Study, name: str) -> list[Row]:
    rows: list[Row] = []
    for layer, weights in first_layers(study.models[name].backbone).items():
        row: Row = {"model": name, "layer": layer, "rows": len(weights), "columns": weights.shape[1]}
        try:
            mean, deviation = uniqueness(weights)
            rows.append({**row, "uniqueness": mean, "deviation": deviation})
        except RadnetError as error:
            rows.append({**row, "uniqueness": None, "deviation": None, "reason": error.what})
    return rows


def _reuse(study: Study, a: str, b: str) -> list[Row]:
    before, after = (first_layers(study.models[name].backbone) for name in (a, b))
    rows: list[Row] = []
    for (layer, x), (other, y) in zip(before.items(), after.items(), strict=False):
        row: Row = {"before": a, "after": b, "layer": layer}
        if layer != other or x.shape != y.shape:
            rows.append({**row, "feature_reuse": None, "reason": f"the layers differ: {x.shape} and {y.shape}"})
        else:
            rows.append({**row, "feature_reuse": feature_reuse(x, y)})
    return rows
