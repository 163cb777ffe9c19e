"""From the official download of a data set to a shard set with labels or masks: `radnet task prepare`."""

from radnet.transfer.prepare.contract import Conversion, Converter, PrepareOptions, Request
from radnet.transfer.prepare.registry import CONVERTERS, converter_named
from radnet.transfer.prepare.run import PrepareReport, is_public, prepare_task

__all__ = [
    "CONVERTERS",
    "Conversion",
    "Converter",
    "PrepareOptions",
    "PrepareReport",
    "Request",
    "converter_named",
    "is_public",
    "prepare_task",
]
