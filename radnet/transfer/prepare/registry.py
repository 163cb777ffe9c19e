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
        "body_region": f"{_HERE}.body_region:BodyRegion",
        "brats": f"{_HERE}.brats:Brats",
        "chestxray14": f"{_HERE}.chestxray14:ChestXray14",
        "cifar10": f"{_HERE}.cifar10:Cifar10",
        "covid_ct": f"{_HERE}.covid_ct:CovidCt",
        "head_hemorrhage": f"{_HERE}.head_hemorrhage:HeadHemorrhage",
        "imagenet": f"{_HERE}.imagenet:ImageNet",
        "images": f"{_HERE}.csv_images:Images",
        "lits": f"{_HERE}.lits:Lits",
        "medmnist": f"{_HERE}.medmnist:MedMnist",
        "volumes": f"{_HERE}.volumes:Volumes",
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
