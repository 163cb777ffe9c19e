"""Publishing an export: to a directory or to the Hugging Face hub, with its whole model card, and proved there.

What was published is fetched again and must give the same features in timm: with one and three channels, as one vector
and as feature maps.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radnet.console import say, warn
from radnet.errors import RadnetError, UsageError
from radnet.files import explained_disk_errors, new_directory, require_directory
from radnet.models.card import CardFacts, model_card
from radnet.models.counts import counts_of
from radnet.models.export import CARD
from radnet.models.hub import fetch_from_hub, hub_place, upload_to_hub
from radnet.models.onnx_form import ONNX
from radnet.models.prove import require_same_features
from radnet.models.provenance import (
    CONFIG,
    RADNET_KEY,
    WEIGHTS,
    Provenance,
    provenance_from_config,
    read_config,
    require_export_or_nothing,
)
from radnet.models.transform import view_from_config
from radnet.models.weights import weights_sha256
from radnet.records import ResultRecord, scan_records
from radnet.zoo import remember_published

TARGETS = "local-dir:DIRECTORY or hf-hub:ORG/NAME"


@dataclass(frozen=True)
class Published:
    """What came of it.

    Attributes:
        source: How it is loaded: "local-dir:DIRECTORY" or "hf-hub:ORG/NAME".
        name: What timm calls it after `import radnet`; empty when the zoo could not be written to.
        results: Records in its card.
        compared: How often features were compared.
    """

    source: str
    name: str
    results: int
    compared: int


def publish(
    export: Path,
    target: str,
    *,
    results: Path | None = None,
    data: tuple[str, ...] = (),
    licence: str | None = None,
    private: bool = False,
    overwrite: bool = False,
) -> Published:
    """Publish an export.

    Args:
        export: Directory of an export.
        target: "local-dir:DIRECTORY" or "hf-hub:ORG/NAME".
        results: Directory of result records; those of these weights go into the card.
        data: Shard sets that were trained on, for their counts, when the provenance has none.
        licence: Of the weights; None takes what the export states.
        private: Make a private repository on the hub.
        overwrite: Replace an export in the directory; on the hub, add a version to a repository that exists.

    Raises:
        UsageError: The target or the export is none, or says too little of itself.
        RadnetError: The weights are damaged, the place cannot be written to or reached, or features differ.
    """
    scheme, _, place = target.partition(":")
    if scheme not in ("local-dir", "hf-hub") or not place:
        raise UsageError("A model is published to a directory or to the hub", seen=target, fix=f"Give {TARGETS}")
    if scheme == "hf-hub" and (hub_place(place)[1] is not None or "/" not in place):
        raise UsageError("A model on the hub is named ORG/NAME", seen=place, fix="For example hf-hub:my-group/ct-dino")
    require_directory(export, "an export")
    config = read_config(export)
    origin = provenance_from_config(config, export)
    if licence is not None:
        origin = replace(origin, licence=licence)
    if scheme == "hf-hub" and not origin.licence:
        raise UsageError(
            "What is published for everybody states its licence, and this export states none",
            file=export,
            fix="Give --licence, for example --licence cc-by-4.0",
        )
    origin = _counted(origin, data)
    with _staged(export, config, origin) as stage:
        compared = require_same_features(export, f"local-dir:{stage}")
        found = _records(results, stage)
        source = f"{scheme}:{place}" if scheme == "hf-hub" else f"local-dir:{Path(place).name}"
        _write_card(stage, source, config, origin, found)
        if scheme == "local-dir":
            compared += _to_directory(export, stage, Path(place), overwrite)
        else:
            upload_to_hub(stage, place, private=private, overwrite=overwrite)
            with fetch_from_hub(place, stage) as fetched:
                compared += require_same_features(export, f"local-dir:{fetched}")
        cfg = read_config(stage)["pretrained_cfg"]
    absolute = f"local-dir:{Path(place).resolve()}" if scheme == "local-dir" else target
    label = place.rstrip("/").split("/")[-1]
    try:
        name = remember_published(label, absolute, cfg).name
    except RadnetError as error:
        name = ""
        warn(f"it is published, but timm will not know it by a name of its own: {error}")
    return Published(target, name, len(found), compared)


def _counted(origin: Provenance, data: tuple[str, ...]) -> Provenance:
    """The provenance with counts of the training slices, from the sets that are named if it has none.

    Raises:
        UsageError: A set is not one that was trained on.
    """
    if not data:
        return origin
    contents, counts = counts_of(data)
    strange = sorted(contents.keys() - set(origin.data.values()))
    if strange:
        raise UsageError(
            "A set is not one that these weights were trained on: its content differs",
            seen=[contents[digest] for digest in strange],
            fix=f"They were trained on: {', '.join(origin.data) or 'not stated'}",
        )
    missing = [name for name, digest in origin.data.items() if digest not in contents]
    if missing:
        raise UsageError(
            "Counts are of all that was trained on, and a set is missing", seen=missing, fix="Give --data for each set"
        )
    return replace(origin, counts=counts)


@contextmanager
def _staged(export: Path, config: dict[str, Any], origin: Provenance) -> Iterator[Path]:
    """A copy of the export with the new provenance, in a scratch directory."""
    if not (export / WEIGHTS).is_file():
        raise RadnetError(f"This export has no {WEIGHTS}", file=export, fix="Export the run again")
    with tempfile.TemporaryDirectory(prefix="radnet-publish-") as scratch:
        stage = Path(scratch) / "export"
        with explained_disk_errors(stage):
            stage.mkdir()
            for name in (WEIGHTS, ONNX):
                if (export / name).is_file():
                    shutil.copyfile(export / name, stage / name)
            own = {**config[RADNET_KEY], "provenance": origin.as_settings()}
            cfg = {**config["pretrained_cfg"], "license": origin.licence or "not stated"}
            whole = {**config, "pretrained_cfg": cfg, RADNET_KEY: own}
            (stage / CONFIG).write_text(json.dumps(whole, indent=2), encoding="utf-8")
        yield stage


def _records(results: Path | None, stage: Path) -> list[ResultRecord]:
    """The records of exactly these weights."""
    if results is None:
        return []
    digest = weights_sha256(_backbone(stage))
    records, broken = scan_records(results)
    if broken:
        warn(f"{len(broken)} result record(s) cannot be read and are not in the card, the first: {broken[0].error}")
    return [record for record in records if record.model.weights_sha256 == digest]


def _backbone(stage: Path) -> Any:
    """The model without classifier, as it is evaluated and hashed everywhere else."""
    import timm

    return timm.create_model(f"local-dir:{stage}", pretrained=True, num_classes=0)


def _write_card(
    stage: Path, source: str, config: dict[str, Any], origin: Provenance, results: list[ResultRecord]
) -> None:
    view = view_from_config(config)
    if view is None:
        raise UsageError("This export does not state its preprocessing", file=stage, fix="Export the run again")
    facts = CardFacts(
        source=source,
        architecture=str(config["architecture"]),
        classes=int(config.get("num_classes", 0)),
        view=view,
        provenance=origin,
        weights_sha256=weights_sha256(_backbone(stage)),
        results=results,
        onnx=(stage / ONNX).is_file(),
    )
    (stage / CARD).write_text(model_card(facts), encoding="utf-8")


def _to_directory(export: Path, stage: Path, out: Path, overwrite: bool) -> int:
    """Copy the staged export to its place; returns how often features were compared."""
    if out.resolve() == export.resolve():
        raise UsageError("The export is published to another directory than its own", file=out, fix="Choose another")
    require_export_or_nothing(out, overwrite=overwrite)
    with new_directory(out, overwrite=overwrite) as partial:
        for file in stage.iterdir():
            shutil.copyfile(file, partial / file.name)
        compared = require_same_features(export, f"local-dir:{partial}")
    say(f"features of {out} compared with those of {export}: equal")
    return compared
