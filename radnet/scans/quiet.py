"""Keeping the reading libraries silent: their warnings quote header values, which can identify a patient."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pydicom.config import disable_value_validation

LOGGERS = ("pydicom", "nibabel.global")
_QUIET = ContextVar("_QUIET", default=False)


@contextmanager
def quiet_readers() -> Iterator[None]:
    """Within the block pydicom and nibabel neither warn nor log, and pydicom does not judge header values."""
    if _QUIET.get():  # a block inside of another has nothing to do, and it takes a while
        yield
        return
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    token = _QUIET.set(True)
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            _QUIET.reset(token)
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled
