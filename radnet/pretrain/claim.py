"""Whose directory this is: a new run's, or that of a run with the same settings that goes on."""

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from radnet.configs import validated
from radnet.console import say
from radnet.errors import UsageError
from radnet.files import write_atomically
from radnet.locks import waiting_lock
from radnet.models import Provenance
from radnet.models.load import RUN_EXPORT
from radnet.pretrain.processes import Processes
from radnet.pretrain.settings import PretrainSettings
from radnet.pretrain.stopping import STOPPED

SETTINGS = "settings.json"
LOCK = ".lock"
PATIENCE_S = 60.0
"""Processes that a killed torchrun or a stopped job left behind have so long to save and go."""
FORMAT = 2
FIXED = (
    "method.name",
    "backbone",
    "backbone_arguments",
    "batch_size",
    "optimizer.name",
    "view_dtype",
    "data",
    "data_weights",
    "initial_weights",
)
"""What can never change within a run: tensors would not fit, or steps would mean something else."""


@dataclass(frozen=True)
class Claim:
    """A run directory that is ours.

    Attributes:
        out: The directory.
        is_finished: There is nothing left to do.
        changed: On rank 0, where settings differ from those before: what `settings.json` is to hold. None otherwise.
    """

    out: Path
    is_finished: bool
    changed: dict[str, Any] | None = None

    def accept_changes(self) -> None:
        """Write the changed settings down, once the run was found to go on with them; its export is no longer its end.

        The export stays, beside the run's own place for it: whoever asks for the run's weights gets none until there
        are new ones.
        """
        if self.changed is None:
            return
        if (export := self.out / RUN_EXPORT).is_dir():
            kept = self.out / f"{RUN_EXPORT}-before-change-{len(self.changed['changes'])}"
            export.rename(kept)
            say(f"the export of the run as it was: {kept}")
        _write(self.out / SETTINGS, self.changed)


def claim(out: Path, settings: PretrainSettings, origin: Provenance, processes: Processes, closing: ExitStack) -> Claim:
    """Make the run directory, or check that it belongs to a run with the same settings. Rank 0 decides.

    Args:
        out: The run directory.
        settings: What is asked for now, the method's settings resolved.
        origin: What an export says before the first step: content hashes of the data and of the initial weights.
        processes: This process's place.
        closing: The directory belongs to these processes alone until it closes.

    Returns:
        What became of it; changed settings are not written yet.

    Raises:
        UsageError: The directory holds something else, or a run that differs in more than `allow_changes` allows, or
            other processes are at this run.
    """
    weights = origin.initial_weights.get("weights_sha256")
    mine = {"settings": settings.sha256(), "data": list(origin.data.values()), "weights": weights}

    claimed: list[Claim] = []

    def decide() -> dict[str, Any]:
        _refuse_what_is_no_run(out)
        closing.enter_context(waiting_lock(out / LOCK, "this run", patience_s=PATIENCE_S))
        claimed.append(_decide(out, settings, origin))
        return {**mine, "finished": claimed[0].is_finished}

    heard = processes.rank_0_decides(decide)
    if {name: heard[name] for name in mine} != mine:
        raise UsageError(
            f"Rank {processes.rank} has other settings, other data or other initial weights than rank 0",
            seen=settings.data,
            fix="Start all processes with the same command, and give every node the same files",
        )
    return claimed[0] if claimed else Claim(out, bool(heard["finished"]))


def _refuse_what_is_no_run(out: Path) -> None:
    if (out / SETTINGS).is_file() or not out.exists():
        return
    if not out.is_dir() or any(path.name != LOCK for path in out.iterdir()):
        raise UsageError("The output exists and is no run", file=out, fix="Give another out=…")


def _decide(out: Path, settings: PretrainSettings, origin: Provenance) -> Claim:
    known = out / SETTINGS
    fresh = {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "provenance": asdict(origin),
        "changes": [],
    }
    if not known.is_file():
        _write(known, fresh)
        return Claim(out, is_finished=False)
    stored = read_settings(out)
    before, now = _flat(stored["settings"]), _flat(settings.identity())
    keys = [*now, *(key for key in before if key not in now and key.split(".")[0] in settings.identity())]
    differing = {key: (before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)}
    if "method.name" in differing:  # every setting of another method differs, which tells nothing
        differing = {
            key: pair for key, pair in differing.items() if not key.startswith("method.") or key == "method.name"
        }
    data = stored["provenance"]["data"]
    if list(data.values()) != list(origin.data.values()):
        differing["data"] = (", ".join(data), f"{', '.join(origin.data)}, which has other content")
    weights = stored["provenance"].get("initial_weights", {})
    if weights.get("weights_sha256") != origin.initial_weights.get("weights_sha256"):
        differing["initial_weights"] = (weights.get("pretraining"), origin.initial_weights.get("pretraining"))
    fixed = sorted(key for key in differing if any(key == one or key.startswith(f"{one}.") for one in FIXED))
    said = "; ".join(f"{key}: {was!r} before, {is_now!r} now" for key, (was, is_now) in differing.items())
    if fixed and settings.allow_changes:
        raise UsageError(
            f"A run cannot change {', '.join(fixed)} on its way: {said}", file=out, fix="Give another out=…"
        )
    if differing and not settings.allow_changes:
        raise UsageError(
            f"This directory holds a run with other settings: {said}",
            file=out,
            fix="Give another out=…, or the settings of before"
            + ("" if fixed else "; allow_changes=true goes on with the new ones"),
        )
    (out / STOPPED).unlink(missing_ok=True)
    if not differing:
        return Claim(out, is_finished=(out / RUN_EXPORT).is_dir())
    say(f"going on with changed settings: {said}")
    changes = [*stored["changes"], {key: list(pair) for key, pair in differing.items()}]
    return Claim(out, is_finished=False, changed={**fresh, "changes": changes})


def read_settings(run: Path) -> dict[str, Any]:
    """`settings.json` of a run: "settings", "provenance" and "changes".

    Raises:
        UsageError: `run` is no run, or one of another version of radnet.
    """
    path = run / SETTINGS
    if not path.is_file():
        raise UsageError("This is no run: it has no settings.json", file=run, fix="Make one with: radnet pretrain")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        written = stored.get("format", 1)
    except (ValueError, AttributeError) as error:
        raise UsageError("The settings of this run cannot be read", file=path, fix="Start it again") from error
    if written != FORMAT:
        raise UsageError(
            f"This run was begun by a version of radnet with another format of settings, {written}; this one reads "
            f"{FORMAT}",
            file=path,
            fix="Finish it with that version, or start again with another out=…; finished exports still load",
        )
    return dict(stored)


def stored_settings(run: Path) -> tuple[PretrainSettings, Provenance]:
    """The settings of a run and what its exports say, steps not counted.

    Raises:
        UsageError: As `read_settings`.
    """
    stored = read_settings(run)
    settings = validated(PretrainSettings, stored["settings"], f"{run / SETTINGS}")
    return settings, Provenance(**stored["provenance"])


def _write(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys, the way they are typed."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
