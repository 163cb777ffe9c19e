"""The registry of converters; a new one is a file and a line here, and the task's YAML names it."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

from radnet.errors import UsageError, did_you_mean
from radnet.transfer.prepare.contract import Converter

_HERE = "radnet.transfer.prepare"
CONVERTERS: Mapping[str, str] = MappingProxyType(
    {
        "images": f"{_HERE}.csv_images:Images",
    }
)
"""Name -> module and class, imported when it is asked for."""


def converter_named(name: str) -> Converter:
    """A converter.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in CONVERTERS:
        raise UsageError("There is no converter of this name", seen=name, fix=did_you_mean(name, CONVERTERS))
    module, _, attribute = CONVERTERS[name].partition(":")
    return cast(Converter, getattr(import_module(module), attribute)())
