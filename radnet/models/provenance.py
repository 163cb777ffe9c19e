"""Where weights come from: what an export says of itself under the `radnet` key of its config.json."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from radnet.errors import RadnetError, UsageError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
RADNET_KEY = "radnet"
_PARTS = {
    "architecture": (str, "string"),
    **dict.fromkeys(("pretrained_cfg", "model_args", RADNET_KEY), (dict, "object")),
}
"""Of config.json, what timm and radnet read without looking twice: part -> its type, and JSON's word for that."""


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; it sits under the `radnet` key of an export's config.json.

    Attributes:
        method: Pretraining method ("simclr").
        data: Content hashes of the shard sets, by name.
        synthetic: Whether any pretraining data came from a phantom.
        steps: Optimisation steps done.
        slices_seen: Slices shown to the network, repeats counted.
        settings_sha256: Hash of the run's settings.
        code_version: Version of radnet.
        licence: Licence of the weights, as their maker states it; empty when not stated.
        window: Window policy during pretraining.
        initial_weights: Where training began: "architecture", "weights_sha256", "pretraining" in words, "method",
            "data" (content hashes) and "synthetic"; {} for random weights.
        counts: What the training slices are: heading ("region", "slice thickness", "manufacturer", …) -> value ->
            slices; {} when not counted.
        weights: Which weights of the run these are, in words; empty for the last ones.
        source: Of weights that another project made: "file", "sha256", "layout", and as stated by who imported them
            "trained_on", "url" and "arm"; {} for radnet's own.
    """

    method: str
    data: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    steps: int = 0
    slices_seen: int = 0
    settings_sha256: str = ""
    code_version: str = ""
    licence: str = ""
    window: dict[str, Any] = field(default_factory=dict)
    initial_weights: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    weights: str = ""
    source: dict[str, Any] = field(default_factory=dict)

    def as_settings(self) -> dict[str, Any]:
        """What goes into config.json."""
        return asdict(self)

    @property
    def trained_on(self) -> str:
        """What the weights were trained on, in a few words."""
        if self.source:
            return str(self.source.get("trained_on") or "not stated by who imported them")
        sets = ", ".join(self.data) or "not stated"
        words = f"{sets}{' (synthetic)' if self.synthetic else ''}, {self.steps} steps"
        before = self.initial_weights.get("pretraining")
        return f"{before}; then {words}" if before else words


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` of an export.

    Raises:
        RadnetError: There is none or it cannot be read, or a part is of another type than timm and radnet write.
    """
    path = directory / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise RadnetError(
            "This is no export: it has no readable config.json",
            file=directory,
            fix="Make one with: radnet export RUN OUT",
        ) from error
    wrong = [
        f"{part} is no {word}"
        for part, (kind, word) in _PARTS.items()
        if not isinstance(config.get(part, kind()), kind)
    ]
    if RADNET_KEY in config and "pretrained_cfg" not in config:
        wrong.append("pretrained_cfg is missing")
    if wrong:
        raise RadnetError(
            f"The config.json of this export is damaged: {', '.join(wrong)}",
            file=path,
            fix="Export the run again, or fetch the export again",
        )
    return config


def is_export(directory: Path) -> bool:
    """Whether radnet wrote this directory."""
    return (directory / CONFIG).is_file() and RADNET_KEY in read_config(directory)


def require_export_or_nothing(out: Path, *, overwrite: bool) -> None:
    """Let nothing but an export be replaced.

    Raises:
        UsageError: `out` is to be overwritten and holds something else.
    """
    if overwrite and out.is_dir() and any(out.iterdir()) and not is_export(out):
        raise UsageError(
            "The output directory holds something else than an export of radnet, which is not replaced",
            file=out,
            fix="Choose another path, or remove the directory yourself",
        )


def provenance_from_config(config: dict[str, Any], where: object) -> Provenance:
    """What an export says of itself.

    Args:
        config: Its config.json.
        where: How the export is called in messages.

    Raises:
        UsageError: It says nothing, or a part is missing.
    """
    own = config.get(RADNET_KEY)
    stated = own.get("provenance") if isinstance(own, dict) else None
    if not isinstance(stated, dict) or not stated.get("method"):
        raise UsageError(
            "This export does not say where its weights come from (no provenance under the key radnet of config.json)",
            file=str(where),
            fix="Export the run again, or state their origin: radnet import model.safetensors --architecture … --out …",
        )
    unknown = sorted(stated.keys() - {known.name for known in fields(Provenance)})
    if unknown:
        raise UsageError(
            "This export was written by another version of radnet: its provenance has parts that this one does not "
            "know",
            seen=unknown,
            file=str(where),
            fix="Update radnet",
        )
    return Provenance(**stated)
