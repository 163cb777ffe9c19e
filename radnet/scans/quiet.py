"""Keeping the reading libraries silent: their warnings quote header values, which can identify a patient."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation

LOGGERS = ("pydicom", "nibabel.global")


@contextmanager
def quiet_readers() -> Iterator[None]:
    """Within the block pydicom and nibabel neither warn nor log, and pydicom does not judge header values."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled
