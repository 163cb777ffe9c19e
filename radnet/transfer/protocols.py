"""The registry of protocols; a new one is one file and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from radnet.errors import UsageError, did_you_mean
from radnet.transfer.contract import FeatureProtocol, FeatureSplit, ModelProtocol, Protocol, ProtocolResult
from radnet.transfer.finetune import FinetuneProtocol
from radnet.transfer.knn import KnnProtocol
from radnet.transfer.linear import LinearProtocol
from radnet.transfer.paper import PaperFinetuneProtocol, PaperLinearProtocol
from radnet.transfer.segmentation.paper import PaperSegmentProtocol
from radnet.transfer.segmentation.protocol import SegmentProtocol

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
    {
        protocol.name: protocol
        for protocol in (
            *(KnnProtocol, LinearProtocol, FinetuneProtocol, SegmentProtocol),
            *(PaperFinetuneProtocol, PaperLinearProtocol, PaperSegmentProtocol),
        )
    }
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
    """`value` as the type of `default`; whole numbers pass as float, one number or text as a tuple of one."""
    if isinstance(default, tuple):
        items = value if isinstance(value, list | tuple) else [value]
        kind = type(default[0]) if default else float
        if all(_fits(item, kind) for item in items):
            return tuple(kind(item) for item in items)
        wanted = f"a list of {_WORDS[kind][1]}"
    else:
        kind = type(default)
        if _fits(value, kind):
            return kind(value)
        wanted = _WORDS[kind][0]
    raise UsageError(f"The setting {key} must be {wanted}", seen=value, fix=f"The default is {default!r}")


_WORDS = {
    float: ("a number", "numbers"),
    int: ("a whole number", "whole numbers"),
    str: ("text", "texts"),
    bool: ("true or false", "true or false"),
}


def _fits(value: Any, kind: type) -> bool:
    """Whether a value passes for a type: no number is a truth value, and whole numbers are numbers."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind
