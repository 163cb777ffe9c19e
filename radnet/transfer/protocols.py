"""The registry of protocols; a new one is one file and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from radnet.errors import UsageError, did_you_mean
from radnet.transfer.contract import FeatureProtocol, FeatureSplit, ModelProtocol, Protocol, ProtocolResult
from radnet.transfer.knn import KnnProtocol
from radnet.transfer.linear import LinearProtocol

__all__ = [
    "PROTOCOLS",
    "FeatureProtocol",
    "FeatureSplit",
    "ModelProtocol",
    "Protocol",
    "ProtocolResult",
    "build_protocol",
]

PROTOCOLS: Mapping[str, type[Protocol]] = MappingProxyType(
    {protocol.name: protocol for protocol in (KnnProtocol, LinearProtocol)}
)
"""Every protocol by name."""


def build_protocol(name: str, settings: Mapping[str, Any] | None = None, *, threads: int = 1) -> Protocol:
    """A protocol with some of its settings changed.

    Args:
        name: One of `PROTOCOLS`.
        settings: Setting name -> value; what is not named keeps its default. Lists become tuples.
        threads: Threads that it may take; no part of its hash.

    Raises:
        UsageError: Unknown protocol or setting, or a value of another type or out of range.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"Unknown protocol {name!r}", fix=did_you_mean(name, PROTOCOLS))
    kind = PROTOCOLS[name]
    known = kind.setting_names()
    values: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        if key not in known:
            raise UsageError(f"The protocol {name!r} has no setting {key!r}", fix=did_you_mean(key, known))
        values[key] = _like(getattr(kind, key), value, f"{name}.{key}")
    return kind(**values, threads=threads)


def _like(default: Any, value: Any, key: str) -> Any:
    """`value` as the type of `default`; whole numbers pass as float, a list or one number as tuple of floats."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, tuple):
        items = [value] if number else value
        if isinstance(items, list | tuple) and all(
            isinstance(item, int | float) and not isinstance(item, bool) for item in items
        ):
            return tuple(float(item) for item in items)
    elif isinstance(default, float):
        if number:
            return float(value)
    elif type(value) is type(default):
        return value
    wanted = {tuple: "a list of numbers", float: "a number", int: "a whole number", str: "text"}
    raise UsageError(
        f"The setting {key} must be {wanted[type(default)]}", seen=value, fix=f"The default is {default!r}"
    )
