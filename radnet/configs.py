"""Composing the Hydra configs that ship with the package, from any directory."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from radnet.errors import UsageError, did_you_mean

Settings = TypeVar("Settings", bound=BaseModel)


def config_directory() -> Path:
    """`configs/`: inside the package when installed from a wheel, at the top of a checkout otherwise."""
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def names_in(group: str) -> list[str]:
    """Names of the YAML files of a config group ("task", "protocol", "experiment"), sorted."""
    return sorted(path.stem for path in (config_directory() / group).glob("*.yaml"))


def read_member(group: str, name: str) -> dict[str, Any]:
    """One YAML file of a config group as it stands, without Hydra, which takes its time.

    Args:
        group: Directory in `configs/`.
        name: File in it without its ending; it must be there.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (config_directory() / group / f"{name}.yaml").read_text(encoding="utf-8")
    return {str(key): value for key, value in yaml.load(text, Loader=loader).items()}  # noqa: S506 - both are safe


def group_settings(group: str, name: str) -> dict[str, Any]:
    """As `read_member`, of a name that somebody has typed.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in names_in(group):
        raise UsageError(f"There is no {group} config of this name", seen=name, fix=did_you_mean(name, names_in(group)))
    return read_member(group, name)


def compose(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The config `name` with overrides, interpolations resolved.

    Args:
        name: File in `configs/` without its ending.
        overrides: Hydra overrides (`backbone=resnet18`, `optimizer.lr=0.1`, `experiment=demo`).

    Returns:
        Plain nested dictionaries and lists.

    Raises:
        UsageError: An override is misspelt or malformed, or a mandatory value is missing.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config_directory()), version_base="1.3", job_name=name):
        try:
            config = hydra_compose(name, overrides=list(overrides))
            missing = OmegaConf.missing_keys(config)
            if missing:
                key = sorted(missing)[0]
                raise UsageError("A setting is missing", seen=key, fix=f"Give it as: {key}=VALUE")
            resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise _explained(overrides, error, list(_keys(OmegaConf.to_container(hydra_compose(name))))) from error
    return {str(key): value for key, value in dict(resolved).items()}  # type: ignore[arg-type]


def _explained(overrides: Sequence[str], error: Exception, known: Sequence[str]) -> UsageError:
    """Hydra's error in the words of the person who typed the override."""
    text = str(error)
    group = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if group:
        folder, value = group.groups()
        return UsageError(
            f"There is no {folder} config of this name", seen=value, fix=did_you_mean(value, names_in(folder))
        )
    key = re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", text)
    if key:
        unknown = key.group(1)
        return UsageError("There is no setting of this name", seen=unknown, fix=did_you_mean(unknown, known))
    return UsageError(
        f"The overrides cannot be read: {text.splitlines()[0]}",
        seen=" ".join(overrides),
        fix="Overrides are key=value, lists are key=[a,b]; see radnet --help",
    )


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield prefix + str(key)
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def validated(model: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Settings of the right types and ranges.

    Args:
        model: The pydantic model of the settings.
        values: What the user gave.
        where: How the user knows these settings ("method=simclr"), for the message.

    Raises:
        UsageError: A key is unknown or missing, or a value is wrong.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            fix = did_you_mean(key, model.model_fields)
            raise UsageError(f"There is no setting of this name in {where}", seen=key, fix=fix) from error
        if first["type"] == "missing":
            raise UsageError(f"A setting is missing in {where}", seen=key, fix="Give it a value") from error
        raise UsageError(f"A setting in {where} is wrong: {key}: {first['msg']}", seen=first["input"]) from error
