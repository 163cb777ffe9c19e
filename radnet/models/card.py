"""The model card of an export, in the Hugging Face hub's format: metadata for machines, the rest for people."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from radnet.models.provenance import Provenance
from radnet.models.snippets import loading_snippet, timm_alone_snippet
from radnet.records import ResultRecord
from radnet.views.evaluation import EvaluationView

HUB_LICENCES = {
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "openrail",
    "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense", "isc", "artistic-2.0", "odc-by", "pddl",
}  # fmt: skip
"""Licences that the hub knows by name; any other is given as "other" with its name beside it."""

SHOWN_COUNTS = ("region", "slice thickness", "manufacturer")
_MOST_ROWS = 12


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Attributes:
        source: How it is loaded: "local-dir:DIRECTORY" or "hf-hub:ORG/NAME".
        architecture: timm's name.
        classes: Outputs of its classifier, 0 for a backbone.
        view: Preprocessing for evaluation.
        provenance: Where the weights come from.
        weights_sha256: Hash of all tensors.
        results: Records of these weights.
        onnx: Whether `model.onnx` lies beside it.
    """

    source: str
    architecture: str
    classes: int
    view: EvaluationView
    provenance: Provenance
    weights_sha256: str
    results: Sequence[ResultRecord] = ()
    onnx: bool = False


def model_card(facts: CardFacts) -> str:
    """The whole `README.md`."""
    text = f"---\n{_metadata(facts).to_yaml()}\n---\n\n{_body(facts)}"
    return str(ModelCard(text, ignore_metadata_errors=False).content)


def _metadata(facts: CardFacts) -> ModelCardData:
    licence = facts.provenance.licence
    known: dict[str, Any] = {"license": "unknown"}
    if licence:
        known = {"license": licence.lower()}
        if licence.lower() not in HUB_LICENCES:
            known = {"license": "other", "license_name": licence}
    done = [record for record in facts.results if record.status == "done"]
    return ModelCardData(
        library_name="timm",
        pipeline_tag="image-classification" if facts.classes else "image-feature-extraction",
        tags=["radnet", "feature-extraction", *(() if facts.provenance.source else ("medical", "computed-tomography"))],
        model_name=facts.source.partition(":")[2].split("/")[-1] if done else None,
        eval_results=[result for record in done for result in _eval_results(record)] or None,
        **known,
    )


def _eval_results(record: ResultRecord) -> list[EvalResult]:
    """Every metric of a record in the hub's form; the interval and the cell are among its arguments."""
    settings = f"{record.protocol.name}, {100 * record.fraction:g} % of the training items, seed {record.seed}"
    if record.condition is not None:
        settings += f", {_images(record)}"
    return [
        EvalResult(
            task_type="image-classification",
            task_name=record.task.name,
            dataset_type=re.sub(r"[^a-z0-9_-]+", "-", record.task.name.lower()),
            dataset_name=record.task.name + (" (synthetic)" if record.task.synthetic else ""),
            dataset_config=settings,
            dataset_split="test",
            dataset_args={"manifest_sha256": record.task.manifest_hash},
            metric_type=name,
            metric_name=name.replace("_", " "),
            metric_value=round(interval.value, 6),
            metric_args={
                "low_95": round(interval.low, 6),
                "high_95": round(interval.high, 6),
                "protocol_hash": record.protocol.hash,
                "cell": record.cell,
            },
        )
        for name, interval in sorted(record.metrics.items())
    ]


def _body(facts: CardFacts) -> str:
    origin = facts.provenance
    synthetic = (
        "\n**Trained on synthetic scans of a phantom. It shows how the software works and knows nothing of "
        "patients.**\n"
        if origin.synthetic
        else ""
    )
    parts = [
        f"# {facts.architecture} ({origin.method})\n{synthetic}",
        _data(facts),
        _method(facts),
        _loading(facts),
        _results(facts.results),
        _USE,
        f"## Licence\n\n{origin.licence or 'Not stated by who made the weights: ask them before you use these.'}\n",
    ]
    return "\n".join(parts)


def _data(facts: CardFacts) -> str:
    origin = facts.provenance
    lines = ["## Data", ""]
    if origin.source:
        lines.append(f"Weights of another project, imported: {origin.trained_on}.")
    elif origin.data:
        lines += ["| shard set | content hash (`content_sha256` of its manifest) |", "|---|---|"]
        lines += [f"| {name} | `{digest}` |" for name, digest in origin.data.items()]
    else:
        lines.append("Not stated.")
    if origin.counts:
        lines += ["", "Slices that were trained on:", ""]
        for heading in SHOWN_COUNTS:
            lines += _count_table(heading, origin.counts.get(heading, {}))
    elif origin.data:
        lines += ["", "Regions, thicknesses and manufacturers were not counted."]
    return "\n".join(lines) + "\n"


def _count_table(heading: str, counts: dict[str, int]) -> list[str]:
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown, rest = ranked[:_MOST_ROWS], ranked[_MOST_ROWS:]
    if rest:
        shown = [*shown, (f"{len(rest)} others", sum(count for _, count in rest))]
    return [f"| {heading} | slices |", "|---|---|", *(f"| {value} | {count} |" for value, count in shown), ""]


def _method(facts: CardFacts) -> str:
    origin, view = facts.provenance, facts.view
    rows = {
        "method": origin.method,
        "architecture": f"{facts.architecture} (timm), {len(view.mean)} channel(s), {view.size} px"
        + (f", {facts.classes} classes" if facts.classes else ", no classifier"),
    }
    if origin.source:
        rows["source"] = " ".join(
            str(origin.source[key]) for key in ("file", "layout", "url") if origin.source.get(key) is not None
        )
        rows["SHA-256 of the source"] = f"`{origin.source.get('sha256', '')}`"
    else:
        rows |= {
            "steps": str(origin.steps),
            "slices shown": f"{origin.slices_seen} (repeats counted)",
            "began with": str(origin.initial_weights.get("pretraining", "random weights")),
            "window in pretraining": f"`{json.dumps(origin.window)}`" if origin.window else "not stated",
        }
    if origin.weights:
        rows["weights"] = origin.weights
    rows |= {
        "window in evaluation": f"`{json.dumps(view.describe()['window'])}`",
        "SHA-256 of the tensors": f"`{facts.weights_sha256}`",
        "radnet": origin.code_version or "not stated",
    }
    return "\n".join(
        ["## Method", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]
    )


def _loading(facts: CardFacts) -> str:
    scheme, _, place = facts.source.partition(":")
    where = f" from the directory that holds `{place}`" if scheme == "local-dir" else ""
    onnx = (
        "\n`model.onnx` gives the same features without torch: input `pictures`, float32 (B, C, size, size).\n"
        if facts.onnx
        else ""
    )
    return f"""## How to load it

With radnet installed,{where or " anywhere"}; `hu` is a slice in Hounsfield units, int16 (rows, columns):

```python
{loading_snippet(facts.source)}
```

With timm alone, the same preprocessing in numpy and OpenCV:

```python
{timm_alone_snippet(facts.source, facts.view)}
```
{onnx}"""


def _results(results: Sequence[ResultRecord]) -> str:
    done = [record for record in results if record.status == "done"]
    if not done:
        return "## Results\n\nNo result record of these weights was at hand.\n"
    lines = [
        "## Results",
        "",
        "On the test patients of each task, with 95 % intervals over patients.",
        "",
        "| task | images | protocol | training items | seed | metric | value | interval | test patients |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in sorted(done, key=lambda one: (one.task.name, one.protocol.name, -one.fraction, one.seed)):
        value = record.metrics[record.task.metric]
        patients = "" if record.counts is None else str(record.counts.test_patients)
        synthetic = " (synthetic)" if record.task.synthetic else ""
        cells = [
            f"{record.task.name}{synthetic}",
            _images(record),
            record.protocol.name,
            f"{100 * record.fraction:g} %",
            str(record.seed),
            record.task.metric,
            f"{value.value:.4f}",
            f"{value.low:.4f} to {value.high:.4f}",
            patients,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _images(record: ResultRecord) -> str:
    """What was done to the images of a cell."""
    return "as they are" if record.condition is None else f"{record.condition.name} on {record.condition.on}"


_USE = """## Intended use and limits

For research: features of CT slices for kNN, linear probes, finetuning and segmentation, and comparisons of ways to
pretrain. Not a medical device, and not validated for any clinical use.

Features follow the scanners, protocols, body regions and patients that were trained on; what the table above does not
hold, the network has not seen. A window or a size other than the one stated here gives other features. Pixels must be
Hounsfield units: rescaled or clipped pictures are something else. Check on patients of your own before you rely on a
result, and that none of them was in the pretraining data.
"""
