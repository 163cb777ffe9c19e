"""The zoo: a directory of exports, and of the names of published ones, that timm knows as `radnet_…`.

    import radnet, timm
    timm.list_models("radnet*", pretrained=True)
    timm.create_model("radnet_my_backbone", pretrained=True, num_classes=0)

Every directory in it with `config.json` and `model.safetensors` is a model; `published.json` lists those that lie
elsewhere, on the hub or in another directory. The directory is $RADNET_ZOO, or one for the data of this user.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radnet.errors import RadnetError
from radnet.files import write_atomically

ZOO_VARIABLE = "RADNET_ZOO"
PREFIX = "radnet_"
PUBLISHED = "published.json"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = 1

default_cfgs: dict[str, dict[str, Any]] = {}
"""What timm's `register_model` reads of this module: the pretrained configuration of every name."""

_ours: set[str] = set()


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes:
        name: What timm calls it.
        source: "local-dir:PATH" or "hf-hub:ORG/NAME".
        pretrained_cfg: Of its `config.json`.
    """

    name: str
    source: str
    pretrained_cfg: dict[str, Any]


def zoo_directory() -> Path:
    """$RADNET_ZOO, else the platform's directory for data of this user."""
    if named := os.environ.get(ZOO_VARIABLE):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "radnet" / "zoo"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "radnet" / "zoo"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "radnet" / "zoo"


def name_in_timm(label: str) -> str:
    """The name under which timm knows an export called `label`: lower case, digits and underscores.

    A full stop would be the beginning of a tag to timm.
    """
    plain = re.sub(r"[^0-9a-z]+", "_", label.lower()).strip("_")
    return plain if plain.startswith(PREFIX) else PREFIX + plain


def read_zoo(directory: Path) -> tuple[list[Entry], list[str]]:
    """What a zoo holds.

    Returns:
        The entries by name, and a sentence on everything there that is none.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    try:
        places = sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{directory}: {error.strerror}"]
    found: list[tuple[str, str]] = [(path.name, f"local-dir:{path}") for path in places]
    configs: dict[str, dict[str, Any]] = {}
    try:
        published = _published(directory)
    except RadnetError as error:
        published = {}
        problems.append(str(error))
    for label, known in published.items():
        found.append((label, known["source"]))
        configs[known["source"]] = known["pretrained_cfg"]
    for label, source in found:
        name = name_in_timm(label)
        try:
            if name in entries and _same_place(entries[name].source, source):
                continue  # published into the zoo itself
            if name in entries:
                raise ValueError(f"the name {name} is taken by {entries[name].source}")
            if source.startswith("local-dir:"):
                configs[source] = _config_of(Path(source.removeprefix("local-dir:")))
            entries[name] = Entry(name, source, configs[source])
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{source}: {error}")
    return list(entries.values()), problems


def register_zoo(directory: Path | None = None) -> list[str]:
    """Make every model of a zoo known to timm. What cannot be registered is named in a warning and left out.

    Args:
        directory: None for `zoo_directory()`.

    Returns:
        The names that were registered.
    """
    entries, problems = read_zoo(directory or zoo_directory())
    names = []
    for entry in entries:
        try:
            register_entry(entry)
            names.append(entry.name)
        except (TypeError, ValueError) as error:  # a configuration that this timm does not know
            problems.append(f"{entry.source}: {error}")
    for problem in problems:
        from radnet.console import warn  # only here: it takes a tenth of a second, and this runs whenever timm comes

        warn(f"left out of the zoo: {problem}")
    return names


def register_entry(entry: Entry) -> None:
    """Make one model known to timm, in place of what radnet registered under the name before.

    Raises:
        TypeError: timm does not know its configuration.
        ValueError: The name is one of timm's own.
    """
    import timm
    from timm.models import PretrainedCfg, register_model

    if timm.is_model(entry.name) and entry.name not in _ours:
        raise ValueError(f"timm has a model {entry.name} of its own")
    scheme, _, place = entry.source.partition(":")
    where = {"hf_hub_id": place, "source": "hf-hub"} if scheme == "hf-hub" else {"file": place, "source": "local-dir"}
    cfg = {**entry.pretrained_cfg, **where}
    if default_cfgs.get(entry.name) == cfg:
        return
    PretrainedCfg(**cfg)  # register_model would find out too late, with the name half registered
    default_cfgs[entry.name] = cfg
    _quietly(register_model, _entry_point(entry))
    _ours.add(entry.name)


def source_of(name: str) -> str | None:
    """Where a registered name loads from, "local-dir:PATH" or "hf-hub:ORG/NAME"; None for names that are not ours."""
    if name not in _ours:
        return None
    known = default_cfgs[name]
    return f"hf-hub:{known['hf_hub_id']}" if known["source"] == "hf-hub" else f"local-dir:{known['file']}"


def remember_published(label: str, source: str, pretrained_cfg: dict[str, Any]) -> Entry:
    """Add a published model to the zoo's list and to timm.

    Args:
        label: What it is called.
        source: "local-dir:PATH" or "hf-hub:ORG/NAME".
        pretrained_cfg: Of its `config.json`.

    Raises:
        RadnetError: The list cannot be read or written, or timm has a model of this name.
    """
    directory = zoo_directory()
    entry = Entry(name_in_timm(label), source, pretrained_cfg)
    known = {key: value for key, value in _published(directory).items() if name_in_timm(key) != entry.name}
    known[label] = {"source": source, "pretrained_cfg": pretrained_cfg}
    write_atomically(directory / PUBLISHED, json.dumps({"format": FORMAT, "models": known}, indent=2) + "\n")
    try:
        register_entry(entry)
    except (TypeError, ValueError) as error:
        raise RadnetError(
            f"timm cannot take this name: {error}", seen=label, fix="Publish under another name"
        ) from error
    return entry


def _published(directory: Path) -> dict[str, dict[str, Any]]:
    path = directory / PUBLISHED
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if listed["format"] != FORMAT:
            raise ValueError(f"its format is {listed['format']}, this radnet reads {FORMAT}")
        models = {
            str(label): {"source": str(known["source"]), "pretrained_cfg": dict(known["pretrained_cfg"])}
            for label, known in dict(listed["models"]).items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RadnetError(
            f"The list of published models cannot be read ({error})", file=path, fix="Mend or remove the file"
        ) from error
    return models


def _same_place(one: str, other: str) -> bool:
    places = [source.removeprefix("local-dir:") for source in (one, other) if source.startswith("local-dir:")]
    return one == other or (len(places) == 2 and Path(places[0]).resolve() == Path(places[1]).resolve())


def _config_of(directory: Path) -> dict[str, Any]:
    if not (directory / WEIGHTS).is_file():
        raise ValueError(f"there is no {WEIGHTS}")
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    return dict(config["pretrained_cfg"])


def _entry_point(entry: Entry) -> Callable[..., Any]:
    """What timm calls for the name. It goes through timm's own scheme, so both ways load the same weights."""

    def create(
        pretrained: bool = False, pretrained_cfg: Any = None, pretrained_cfg_overlay: Any = None, **arguments: Any
    ) -> Any:
        import timm

        # a tag after the name comes here as text; there is one set of weights, so it says nothing
        own = dict(pretrained_cfg) if isinstance(pretrained_cfg, dict) else {}
        overlay = {**own, **(pretrained_cfg_overlay or {})} or None
        return timm.create_model(entry.source, pretrained=pretrained, pretrained_cfg_overlay=overlay, **arguments)

    create.__name__ = create.__qualname__ = entry.name
    create.__module__ = __name__
    create.__doc__ = f"{entry.source}, exported by radnet."
    return create


def _quietly(register: Callable[..., Any], entry_point: Callable[..., Any]) -> None:
    """Register without timm's warning about names that are taken: only names of our own are replaced."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register(entry_point)
