"""Which compressed pixel data can be decoded, and with what."""

from functools import lru_cache

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from radnet.scans.sources import RefusedError

LOSSY_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless})
MAYBE_LOSSY_SYNTAXES = frozenset({JPEG2000, JPEG2000MC, HTJ2K})
"""Allow both; taken for lossy unless the header denies it."""

PREFERRED_PLUGINS = ("pyjpegls", "gdcm", "pylibjpeg", "pydicom", "pillow")
"""The first decodes JPEG-LS in half the time of GDCM; GDCM decodes lossless JPEG 2000 in four fifths of the others'
time."""
JPEG_SYNTAXES = frozenset(
    {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless}
)
"""Here pydicom's pylibjpeg plugin would call pylibjpeg-libjpeg, whose licence (GPL) does not fit this project."""
JPEG_2000_SYNTAXES = frozenset(JPEG2000TransferSyntaxes)

GDCM_EXTENDED_BITS = 8
"""GDCM decodes JPEG Extended up to here."""


def syntax_name(syntax: UID) -> str:
    """A transfer syntax for use in a sentence."""
    return str(syntax.name) if syntax.name != str(syntax) else "an unknown transfer syntax"


@lru_cache(maxsize=64)
def decoding_plugin(syntax: UID, bits: int) -> str:
    """The plugin to decode `syntax` with; empty where pydicom needs none.

    Args:
        syntax: The transfer syntax.
        bits: Bits stored a pixel.

    Raises:
        RefusedError: No decoder is installed, or nobody writes one ("transfer_syntax").
    """
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise RefusedError("transfer_syntax", f"Pixels stored as {syntax_name(syntax)} cannot be decoded") from error
    if not syntax.is_encapsulated:
        return ""
    available = decoder.available_plugins
    if syntax == JPEGExtended12Bit and bits > GDCM_EXTENDED_BITS:
        raise RefusedError("transfer_syntax", f"No decoder is installed for {syntax_name(syntax)} with {bits} bits")
    for plugin in PREFERRED_PLUGINS:
        if plugin in available and not (plugin == "pylibjpeg" and syntax in JPEG_SYNTAXES):
            return plugin
    raise RefusedError("transfer_syntax", f"No decoder is installed for {syntax_name(syntax)}")
